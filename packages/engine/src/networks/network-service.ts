import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { SkerryError, type Network, type NetworkSpec, type NetworkStatus, type Nic, type Vm } from '@skerry/api';
import type { Resources } from '../store/index.ts';
import type { VmNetworks, VmNic } from '../vms/index.ts';
import { allocateAddress, allocateSubnet, checkSubnet, gatewayOf, macFor } from './addresses.ts';
import type { EgressService } from './egress.ts';
import { NetworkCut } from './cut.ts';
import { readHostNetwork } from './host-facts.ts';
import { switchConfig, type PlannedNetwork, type PlannedVm } from './plan.ts';
import type { SwitchService } from './switch-service.ts';

/** Networks as resources, and VMs plugged into them: what the store says is what the switch gets, as a whole. */

export const NETWORK_KIND = { kind: 'network', collection: 'networks' } as const;
export const DEFAULT_NETWORK = 'default';
const DEFAULT_DOMAIN = 'skerry';
/** Switch and ways out wait this long for the next VM: each costs 100 ms of a core to start. */
const IDLE_MS = 3000;

export interface NetworkPorts {
  readonly networks: Resources<NetworkSpec, NetworkStatus>;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly switches: SwitchService;
  readonly egress: EgressService;
}

interface Allocation {
  readonly network: string;
  readonly mac: string;
  readonly address: string;
}

export class NetworkService implements VmNetworks {
  readonly #ports: NetworkPorts;
  /** Given out, but perhaps not in the store yet: VM name -> its NICs. */
  readonly #promised = new Map<string, readonly Allocation[]>();
  readonly #plugged = new Map<string, PlannedVm>();
  #allocating: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | undefined;
  #mayRetire = false;
  #syncing: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  constructor(ports: NetworkPorts) {
    this.#ports = ports;
  }

  async list(): Promise<readonly Network[]> {
    return (await this.#ports.networks.list()).items as readonly Network[];
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#ports.networks.findByName(name)) !== undefined;
  }

  /** Makes the network if it is not there. @throws SkerryError `invalid`, `in-use` (subnet), `no-space` */
  ensure(name: string, wanted: { subnet?: string | undefined; egress: boolean }, domain: string): Promise<void> {
    return this.#oneByOne(async () => {
      const known = await this.#ports.networks.findByName(name);
      const mode = wanted.egress ? 'nat' : 'isolated';
      if (known !== undefined) {
        if (known.spec.mode !== mode)
          await this.#ports.networks.update(known.id, ({ spec }) => ({ spec: { ...spec, mode } }));
        return;
      }
      const used = (await this.list()).map((network) => network.status.subnet);
      const { routes } = await readHostNetwork();
      const subnet =
        wanted.subnet === undefined ? allocateSubnet(used, routes) : checkSubnet(wanted.subnet, used, routes);
      await this.#ports.networks.create({
        name,
        spec: { mode, domain, ...(wanted.subnet === undefined ? {} : { subnet: wanted.subnet }) },
        status: { subnet, gateway: gatewayOf(subnet), datapath: 'user' },
      });
    });
  }

  /** A network of its own with the addresses of another: nothing connects the two. @throws SkerryError `not-found`, `conflict` */
  async copy(from: string, to: string): Promise<void> {
    const { spec, status } = await this.#ports.networks.byName(from);
    await this.#ports.networks.create({ name: to, spec, status });
  }

  /** A cut through the networks of these names that are in use. */
  async cut(names: readonly string[]): Promise<NetworkCut> {
    const used = new Set([...this.#plugged.values()].flatMap((vm) => vm.nics.map(({ networkId }) => networkId)));
    const known = await Promise.all(names.map((name) => this.#ports.networks.findByName(name)));
    const ids = known.flatMap((network) => (network !== undefined && used.has(network.id) ? [network.id] : []));
    return new NetworkCut(this.#ports.switches, ids);
  }

  async idOf(name: string): Promise<string> {
    return (await this.#ports.networks.byName(name)).id;
  }

  async describe(name: string): Promise<{ name: string; spec: NetworkSpec; status: NetworkStatus }> {
    const { spec, status } = await this.#ports.networks.byName(name);
    return { name, spec, status };
  }

  /** Makes it what it was: its VMs believe in its addresses. */
  async restore({ name, spec, status }: { name: string; spec: NetworkSpec; status: NetworkStatus }): Promise<void> {
    const known = await this.#ports.networks.findByName(name);
    if (known === undefined) await this.#ports.networks.create({ name, spec, status });
    else await this.#ports.networks.update(known.id, () => ({ spec, status }));
  }

  /** @throws SkerryError `in-use` while a VM has a NIC in it */
  async delete(name: string): Promise<void> {
    const network = await this.#ports.networks.findByName(name);
    if (network === undefined) return;
    const user = (await this.#ports.vms()).find((vm) => vm.status.nics.some((nic) => nic.network === name));
    if (user !== undefined) {
      throw new SkerryError('in-use', `${user.name} is on the network '${name}'`, {
        remedy: `Delete it first: \`skerry delete ${user.name}\`.`,
      });
    }
    await this.#ports.networks.delete(network.id);
    await this.#sync();
  }

  async allocate(name: string, nics: readonly Nic[]): Promise<Allocation[]> {
    if (nics.some((nic) => nic.network === DEFAULT_NETWORK))
      await this.ensure(DEFAULT_NETWORK, { egress: true }, DEFAULT_DOMAIN);
    return this.#oneByOne(async () => {
      const vms = await this.#ports.vms();
      for (const vm of vms) this.#promised.delete(vm.name);
      const taken = [...vms.flatMap((vm) => vm.status.nics), ...[...this.#promised.values()].flat()];
      const allocated: Allocation[] = [];
      const seed = randomUUID();
      for (const [index, nic] of nics.entries()) {
        const { status } = await this.#ports.networks.byName(nic.network);
        const used = new Set(
          [...taken, ...allocated].filter((other) => other.network === nic.network).map((other) => other.address),
        );
        const address = allocateAddress(status.subnet, used, nic.address);
        allocated.push({ network: nic.network, mac: nic.mac ?? macFor(seed, index), address });
      }
      this.#promised.set(name, allocated);
      return allocated;
    });
  }

  async nicsOf(vm: Vm): Promise<VmNic[]> {
    const nics: VmNic[] = [];
    for (const [index, nic] of vm.status.nics.entries()) {
      const { spec, status } = await this.#ports.networks.byName(nic.network);
      nics.push({
        ...nic,
        prefixLength: Number(status.subnet.split('/')[1]),
        // The first NIC has the default route, unless its network leads nowhere.
        gateway: index === 0 && spec.mode === 'nat' ? status.gateway : undefined,
        dns: [status.gateway],
        domain: spec.domain,
        socketName: `nic${index}`,
      });
    }
    return nics;
  }

  async attach(vm: Vm, runtimeDir: string): Promise<void> {
    if (vm.status.nics.length === 0) return;
    await this.plug(vm, runtimeDir);
    await this.#sync();
  }

  /** Without telling the switch yet: for many at once, before `sync`. */
  async plug(vm: Vm, runtimeDir: string): Promise<void> {
    const nics = await Promise.all(
      vm.status.nics.map(async (nic, index) => ({
        networkId: (await this.#ports.networks.byName(nic.network)).id,
        mac: nic.mac,
        address: nic.address,
        socketPath: join(runtimeDir, `nic${index}`),
      })),
    );
    this.#plugged.set(vm.id, { id: vm.id, name: vm.name, nics });
  }

  async detach(vmId: string): Promise<void> {
    if (!this.#plugged.delete(vmId)) return;
    await this.#sync();
  }

  /** After a restart of the daemon, once all VMs that live are plugged: the switch may have gone on alone. */
  async recover(): Promise<void> {
    await (this.#plugged.size > 0 ? this.#sync() : this.#retire());
  }

  /** Ends switch and ways out unless something is plugged in; in turn with every other change of them. */
  async #retire(): Promise<void> {
    this.#mayRetire = true;
    await this.#sync();
  }

  /** Lets go of switch and ways out; they go on for the VMs that use them. */
  async close(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#syncing?.catch(() => undefined);
    if (this.#plugged.size === 0) await this.#retire();
    await this.#ports.egress.close();
    await this.#ports.switches.close();
  }

  /** Requests that come while one is under way share the next one: it has all they want. */
  #sync(): Promise<void> {
    if (this.#syncing === undefined) {
      this.#syncing = this.#syncNow().finally(() => (this.#syncing = undefined));
      return this.#syncing;
    }
    this.#again ??= this.#syncing
      .catch(() => undefined)
      .then(() => {
        this.#again = undefined;
        return this.#sync();
      });
    return this.#again;
  }

  async #syncNow(): Promise<void> {
    const { egress, switches } = this.#ports;
    const used = new Set([...this.#plugged.values()].flatMap((vm) => vm.nics.map((nic) => nic.networkId)));
    const networks = (await this.list()).filter((network) => used.has(network.id));
    const leadingOut = networks
      .filter((network) => network.spec.mode === 'nat')
      .map(({ id, status }) => ({ id, subnet: status.subnet, gateway: status.gateway }));
    clearTimeout(this.#idle);
    if (networks.length > 0) {
      this.#mayRetire = false;
      const planned: PlannedNetwork[] = networks.map(({ id, spec, status }) => {
        const out = leadingOut.find((other) => other.id === id);
        return {
          id,
          subnet: status.subnet,
          gateway: status.gateway,
          domain: spec.domain,
          ...(out === undefined ? {} : { egressSocketPath: egress.socketPath(out) }),
        };
      });
      await switches.sync(switchConfig(planned, [...this.#plugged.values()], await readHostNetwork()));
    } else {
      if (!this.#mayRetire) {
        // A restart, or a node that goes down and up, finds them still there; then no process of ours stays behind.
        this.#idle = setTimeout(() => void this.#retire().catch(() => undefined), IDLE_MS).unref();
        return;
      }
      await switches.retire();
    }
    await egress.sync(leadingOut);
  }

  #oneByOne<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#allocating.then(body, body);
    this.#allocating = result.catch(() => undefined);
    return result;
  }
}

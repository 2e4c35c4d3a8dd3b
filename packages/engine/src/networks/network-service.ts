import { access } from 'node:fs/promises';
import { join } from 'node:path';
import {
  SkerryError,
  type Network,
  type NetworkSpec,
  type Nic,
  type NicStatus,
  type Ruleset,
  type Vm,
  type VmSpec,
} from '@skerry/api';
import type { KeptSegments } from '@skerry/switch';
import type { LaunchTap } from '../hypervisors/index.ts';
import type { VmNetworks, VmNic } from '../vms/index.ts';
import type { Datapath } from './datapath.ts';
import { readHostNetwork } from './host-facts.ts';
import { assertConfirmed, assertLanNic } from './lan-plan.ts';
import { dropOnItsWay, NetworkCut, putOnItsWay } from './cut.ts';
import { assertNicSupported, tagOf, tapName, type KernelSupport } from './kernel/index.ts';
import { otherEnd } from './link-plan.ts';
import { mtuOf } from './mtu-plan.ts';
import type { NetworkFaults } from './network-faults.ts';
import { hasNames, reachesGateway, withOthers } from './names-plan.ts';
import type { NetworkVerbs } from './network-verbs.ts';
import { DEFAULT_NETWORK, NicAddresses } from './nic-addresses.ts';
import { checkVmRoutes, routesOfNics } from './route-plan.ts';
import type { PlannedNetwork, PlannedNic, PlannedVm } from './plan.ts';
import type { SwitchService } from './switch-service.ts';

/** VMs plugged into networks: what the store says is what the datapath gets, as a whole. */

/** Switch and ways out wait this long for the next VM: each costs 100 ms of a core to start. */
const IDLE_MS = 3000;

export interface NetworkPorts {
  readonly verbs: NetworkVerbs;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly switches: SwitchService;
  readonly datapath: Datapath;
  /** Of the daemon: taps are named after it. */
  readonly instance: string;
  readonly support: () => Promise<KernelSupport>;
  readonly faults: NetworkFaults;
  /** Whatever names a VM, such as rules, is to mean it under its new name. */
  readonly renamed: (before: string, after: string) => Promise<void>;
}

type OfItsPlace = 'networkId' | 'index' | 'socketPath';

export class NetworkService implements VmNetworks {
  readonly #ports: NetworkPorts;
  readonly #addresses: NicAddresses;
  readonly #plugged = new Map<string, PlannedVm>();
  #idle: NodeJS.Timeout | undefined;
  #mayRetire = false;
  #syncing: Promise<void> | undefined;
  #again: Promise<void> | undefined;

  constructor(ports: NetworkPorts) {
    this.#ports = ports;
    this.#addresses = new NicAddresses(ports);
  }

  /** A cut through the networks of these names that are in use. */
  async cut(names: readonly string[]): Promise<NetworkCut> {
    const used = new Set([...this.#plugged.values()].flatMap((vm) => vm.nics.map(({ networkId }) => networkId)));
    const known = (await this.#ports.verbs.list()).filter(({ name, id }) => names.includes(name) && used.has(id));
    // Frames of bridges can't be held.
    const ids = known.filter(({ status }) => status.datapath === 'user').map(({ id }) => id);
    return new NetworkCut(this.#ports.switches, ids);
  }

  /** What is on its way in networks of these ids, whose VMs become others. */
  async dropOnItsWay(ids: readonly string[]): Promise<void> {
    await dropOnItsWay(this.#ports.switches, ids);
  }

  /** What a cut kept, by the ids of networks whose VMs are plugged in now and stand still; of bridges there is nothing. */
  async putOnItsWay(kept: KeptSegments): Promise<void> {
    await putOnItsWay(this.#ports.switches, kept);
  }

  async check({ nics, routes = [] }: Pick<VmSpec, 'nics' | 'routes'>): Promise<void> {
    const { verbs } = this.#ports;
    // Where its routes lead can only be said of a network that is there.
    if (routes.length > 0) await this.#addresses.ensureDefault(nics);
    const places: Network['status'][] = [];
    for (const nic of nics) {
      if (nic.network === DEFAULT_NETWORK && routes.length === 0) continue;
      const network = await verbs.byName(nic.network);
      const { spec, status } = network;
      assertConfirmed(network);
      if (status.datapath === 'kernel') assertNicSupported(nic, spec, await this.#ports.support());
      assertLanNic(nic, spec.mode);
      places.push(status);
    }
    checkVmRoutes(routes, places);
  }

  /** One that is not there yet will be. */
  async isOnSwitch(network: string): Promise<boolean> {
    const { verbs } = this.#ports;
    return !(await verbs.exists(network)) || (await verbs.byName(network)).status.datapath === 'user';
  }

  async assertHot({ network }: Pick<Nic, 'network'>, runtimeDir: string, index: number): Promise<void> {
    if (!(await this.isOnSwitch(network))) return;
    const hasSocket = await access(join(runtimeDir, `nic${index}`)).then(
      () => true,
      () => false,
    );
    if (hasSocket) return;
    throw new SkerryError('unsupported', `eth${index} can not be on '${network}': it was started on a bridge`, {
      remedy: 'Choose another NIC or a network of the kernel datapath; or stop the VM, change it, and start it again.',
      details: { nic: `eth${index}`, network },
    });
  }

  allocate<T>(nics: readonly Nic[], write: (allocated: NicStatus[]) => Promise<T>): Promise<T> {
    return this.#addresses.allocate(nics, write);
  }

  allocateMore<T>(nic: Nic, write: (allocated: NicStatus) => Promise<T>, instead?: Pick<NicStatus, 'mac'>): Promise<T> {
    return this.#addresses.allocateMore(nic, write, instead);
  }

  async nicsOf(vm: Vm): Promise<VmNic[]> {
    const nics: VmNic[] = [];
    const networks = await Promise.all(vm.status.nics.map((nic) => this.#ports.verbs.byName(nic.network)));
    const places = vm.status.nics.map((nic, index) => {
      const { spec, status } = networks[index] as Network;
      return { ...nic, ...status, routes: spec.routes ?? [] };
    });
    const routes = routesOfNics(places, vm.spec.routes ?? []);
    for (const [index, nic] of vm.status.nics.entries()) {
      const { spec, status } = networks[index] as Network;
      const isServed = reachesGateway(vm.spec.nics[index] ?? {});
      nics.push({
        ...nic,
        index: nic.index ?? index,
        prefixLength: Number(status.subnet.split('/')[1]),
        // The first NIC has the default route, unless its network leads nowhere.
        gateway: index === 0 && isServed && leadsOut(spec.mode) && status.gateway !== '' ? status.gateway : undefined,
        routes: routes[index] ?? [],
        mtu: mtuOf({ ...spec, uplinkMtu: status.uplink?.mtu }),
        dns: isServed ? await dnsOf(spec, status) : [],
        domain: isServed && hasNames(spec.mode) ? spec.domain : undefined,
        socketName: `nic${nic.index ?? index}`,
        ...(status.datapath === 'kernel' ? { tap: await this.#tapOf(vm.id, nic.index ?? index) } : {}),
      });
    }
    return nics;
  }

  async #tapOf(vmId: string, nicIndex: number): Promise<LaunchTap> {
    const { instance, support } = this.#ports;
    return { name: tapName(tagOf(instance), vmId, nicIndex), vhost: (await support()).vhost };
  }

  async cableOutUntilMs(vmId: string, index: number): Promise<number> {
    const { faults } = this.#ports;
    const other = await this.otherEnd(vmId, index);
    const own = faults.cableOutUntilMs(vmId, index);
    if (other === undefined) return own;
    return other.isAskedOut ? Infinity : Math.max(own, faults.cableOutUntilMs(other.vmId, other.index));
  }

  async otherEnd(vmId: string, index: number): Promise<ReturnType<typeof otherEnd>> {
    const vms = await this.#ports.vms();
    const nics = vms.find(({ id }) => id === vmId)?.status.nics ?? [];
    const nic = nics.find((each, place) => (each.index ?? place) === index);
    const network = nic && (await this.#ports.verbs.list()).find(({ name }) => name === nic.network);
    return network?.spec.mode === 'link' ? otherEnd(network.name, vmId, vms) : undefined;
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
        networkId: (await this.#ports.verbs.byName(nic.network)).id,
        index: nic.index ?? index,
        ...plannedNic(nic, vm.spec.nics[index]),
        socketPath: join(runtimeDir, `nic${nic.index ?? index}`),
      })),
    );
    this.#plugged.set(vm.id, { id: vm.id, name: vm.name, nics, role: vm.spec.role });
  }

  async detach(vmId: string): Promise<void> {
    if (!this.#plugged.delete(vmId)) return;
    await this.#sync();
  }

  async renamed(before: string, after: string): Promise<void> {
    await this.#ports.renamed(before, after);
  }

  /** With what of it does not work at the moment. @throws SkerryError `not-found` */
  async shown(ref: string): Promise<Network> {
    const network = await this.#ports.verbs.get(ref);
    const message = network.status.message ?? (await this.#ports.datapath.lack?.(plannedNetwork(network)));
    return message === undefined ? network : { ...network, status: { ...network.status, message } };
  }

  /** @throws SkerryError `not-found`, `unsupported` (its datapath can not say) */
  async ruleset(ref: string): Promise<Ruleset> {
    const network = await this.#ports.verbs.get(ref);
    const { datapath } = network.status;
    const text = await this.#ports.datapath.ruleset?.(plannedNetwork(network), [...this.#plugged.values()]);
    if (text !== undefined) return { datapath, text };
    throw new SkerryError('unsupported', `The ${datapath} datapath can not say what it enforces`, {
      remedy: `See what is asked of it: \`skerry network show ${network.name}\`, \`skerry network acl list ${network.name}\`.`,
    });
  }

  /** A network has come, gone, or is another: nobody has to be told while nothing is plugged in. */
  async changed(): Promise<void> {
    if (this.#plugged.size > 0) await this.#sync();
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
    await this.#ports.datapath.close();
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
    clearTimeout(this.#idle);
    const { verbs, faults } = this.#ports;
    await faults.read();
    const vms = [...this.#plugged.values()].map((vm) => faults.onVm(vm));
    if (vms.some((vm) => vm.nics.length > 0)) {
      this.#mayRetire = false;
      const networks = (await verbs.list()).map((network) => faults.onNetwork(plannedNetwork(network), vms));
      await this.#ports.datapath.sync(networks, withOthers(vms, networks));
      return;
    }
    if (this.#mayRetire) return await this.#ports.datapath.retire();
    // A restart, or a node that goes down and up, finds them still there; then no process of ours stays behind.
    this.#idle = setTimeout(() => void this.#retire().catch(() => undefined), IDLE_MS).unref();
  }
}

/** Of what is asked of a NIC, as much as its frames have to do with. */
function plannedNic({ mac, address, address6 }: NicStatus, asked: Nic | undefined): Omit<PlannedNic, OfItsPlace> {
  return {
    mac,
    address,
    address6,
    vlan: asked?.vlan,
    trunk: asked?.trunk,
    rateKbit: asked?.rateKbit,
    linkUp: asked?.link !== 'down',
  };
}

function plannedNetwork({ id, name, spec, status }: Network): PlannedNetwork {
  const { subnet, gateway, ipv6, datapath, uplink } = status;
  return { ...spec, id, name, subnet, gateway, ipv6, datapath, uplinkMtu: uplink?.mtu };
}

function leadsOut(mode: NetworkSpec['mode']): boolean {
  return mode === 'nat' || mode === 'bridged';
}

/** On a LAN nobody of ours answers: the servers that the host asks, unless that is itself. */
async function dnsOf({ mode }: NetworkSpec, { gateway }: Network['status']): Promise<string[]> {
  if (mode === 'link') return [];
  if (mode !== 'bridged') return [gateway];
  const servers = (await readHostNetwork()).resolvers.filter((address) => !/^(?:127\.|::1$)/.test(address));
  return servers.length > 0 ? servers : gateway === '' ? [] : [gateway];
}

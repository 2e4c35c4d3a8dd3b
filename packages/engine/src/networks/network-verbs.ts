import {
  SkerryError,
  type Lease,
  type Network,
  type NetworkCreate,
  type NetworkSpec,
  type NodeSpec,
  type Vm,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { BridgedNetworks } from './bridged-networks.ts';
import { checkDeclaredImpairments } from './impair-check-plan.ts';
import { allLeases, type GivenLease } from './leases.ts';
import { withNewName } from './rename-plan.ts';
import { assertThere, planDeclared, planHere, type HerePorts } from './network-here.ts';
import { assertUnused, type NetworkPlan } from './network-plan.ts';
import { planUpdate, type NetworkUpdate } from './network-update-plan.ts';

/** Networks as resources: made, looked at, changed, deleted. What is wrong is refused before anything is changed. */

export const NETWORK_KIND = { kind: 'network', collection: 'networks' } as const;

export interface NetworkVerbPorts extends HerePorts {
  readonly networks: Resources<NetworkSpec, Network['status']>;
  readonly vms: () => Promise<readonly Vm[]>;
  readonly events: Pick<EventLog, 'emit'>;
  /** The node that declares the network of this name, if one does. */
  readonly nodeOf: (network: string) => Promise<string | undefined>;
  /** What guests have got of the DHCP range of the network with this id. */
  readonly givenLeases: (networkId: string) => Promise<readonly GivenLease[]>;
  readonly bridged: BridgedNetworks;
  /** Makes the datapaths what the store says. */
  readonly sync: () => Promise<void>;
}

export class NetworkVerbs {
  readonly #ports: NetworkVerbPorts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(ports: NetworkVerbPorts) {
    this.#ports = ports;
  }

  async list(): Promise<readonly Network[]> {
    return (await this.#ports.networks.list()).items as readonly Network[];
  }

  /** @param ref name or id @throws SkerryError `not-found` */
  async get(ref: string): Promise<Network> {
    const { networks } = this.#ports;
    return ((await networks.find(ref)) ?? (await networks.byName(ref))) as Network;
  }

  async exists(name: string): Promise<boolean> {
    return (await this.#ports.networks.findByName(name)) !== undefined;
  }

  /**
   * What `create` would make.
   * @throws SkerryError `conflict` (name), `invalid`, `in-use` (subnet, VNI), `not-found` (interface), `unsupported`, `no-space`
   */
  async plan({ name, title: _1, labels: _2, confirm, confirmWithinMs, ...spec }: NetworkCreate): Promise<NetworkPlan> {
    if (await this.exists(name)) {
      throw new SkerryError('conflict', `There is a network '${name}' already`, {
        remedy: `Choose another name, or delete it: \`skerry network delete ${name}\`.`,
      });
    }
    if (spec.mode !== 'bridged' && (confirm !== undefined || confirmWithinMs !== undefined)) {
      throw new SkerryError('invalid', `A network of mode ${spec.mode} needs no confirmation`, {
        remedy: 'Leave --confirm and --confirm-within out, or choose --mode bridged.',
      });
    }
    return planHere(this.#ports, { domain: name, ...spec });
  }

  /**
   * @param lack what of it does not hold yet
   * @throws as `plan`, and what the datapath throws: nothing is left then
   */
  create(wanted: NetworkCreate, lack?: string): Promise<Network> {
    return this.oneByOne(async () => {
      const { networks, sync, events } = this.#ports;
      const { name, title, labels } = wanted;
      const { spec, status } = await this.plan(wanted);
      const said = lack === undefined ? status : { ...status, message: lack };
      let network = (await networks.create({ name, title, labels, spec, status: said })) as Network;
      try {
        if (spec.mode === 'bridged') network = await this.#ports.bridged.bring(network, wanted);
        await sync();
      } catch (error) {
        await this.#ports.bridged.release(network);
        await networks.delete(network.id);
        await sync().catch(() => undefined);
        throw error;
      }
      const { subnet } = network.status;
      const message = `${name} created: ${network.spec.mode}, ${subnet}`;
      void events.emit({ type: 'network.created', subject: refOf(network), message });
      return network;
    });
  }

  /** A bridged network stays. @throws SkerryError `not-found`, `invalid`, `timeout`: it has been taken back */
  confirm(ref: string): Promise<Network> {
    return this.oneByOne(async () => {
      const network = await this.get(ref);
      try {
        return await this.#ports.bridged.confirm(network);
      } catch (error) {
        if (SkerryError.from(error).code === 'timeout') await this.#ports.networks.delete(network.id);
        throw error;
      }
    });
  }

  /** Makes the network if it is not there. @throws SkerryError as `plan` */
  async ensure(name: string, spec: NetworkSpec): Promise<void> {
    if (await this.exists(name)) return;
    await this.oneByOne(async () => {
      if (!(await this.exists(name)))
        await this.#ports.networks.create({ name, ...(await planDeclared(this.#ports, name, spec)) });
    });
  }

  /** What `declare` would change of it; undefined: there is none. @throws as `declare` */
  async differing(name: string, declared: NetworkSpec): Promise<readonly string[] | undefined> {
    const known = await this.#ports.networks.findByName(name);
    if (declared.mode === 'bridged') assertThere(name, known as Network | undefined, declared);
    if (known !== undefined) return (await this.#update(known as Network, declared)).changed;
    await planDeclared(this.#ports, name, declared);
    return undefined;
  }

  /** @throws SkerryError `unsupported`: this host can't make its wires what it says they are like */
  async assertImpairable(spec: Pick<NodeSpec, 'vms' | 'networks' | 'impair'>): Promise<void> {
    if (spec.impair !== undefined) checkDeclaredImpairments(spec, await this.#ports.capabilities());
  }

  /** Makes it what a node's file says. @throws as `plan`, and `unsupported`: it would have to be made anew */
  declare(name: string, declared: NetworkSpec): Promise<void> {
    return this.oneByOne(async () => {
      const { networks, sync } = this.#ports;
      const known = await networks.findByName(name);
      if (declared.mode === 'bridged') assertThere(name, known as Network | undefined, declared);
      if (known === undefined) {
        await networks.create({ name, ...(await planDeclared(this.#ports, name, declared)) });
        return;
      }
      const { spec, changed } = await this.#update(known as Network, declared);
      if (changed.length === 0) return;
      await networks.update(known.id, () => ({ spec }));
      await sync();
    });
  }

  async #update(known: Network, declared: NetworkSpec): Promise<NetworkUpdate> {
    const update = planUpdate(known, declared);
    if (update.changed.includes('forwards')) await this.#ports.assertPortsFree({ id: known.id, spec: update.spec });
    return update;
  }

  /**
   * A network of its own with the addresses of another: nothing connects the two.
   * @param rename VMs that its rules name -> what their copies are called
   * @throws SkerryError `not-found`, `conflict`, `unsupported`
   */
  async copy(from: string, to: string, rename: ReadonlyMap<string, string>): Promise<void> {
    const { spec, status } = await this.byName(from);
    if (spec.mode === 'bridged' || spec.mode === 'overlay') {
      throw new SkerryError('unsupported', `${from} leads to other machines, which would meet its addresses twice`, {
        remedy: 'Fork a node whose networks are of mode nat, isolated or host-only.',
      });
    }
    if (status.datapath === 'kernel' && spec.mode !== 'isolated') {
      throw new SkerryError('unsupported', `${from} is in the kernel, where no two networks have the same addresses`, {
        remedy: 'Fork a node whose networks are isolated, or on the user datapath.',
      });
    }
    // The host's ports are the original's.
    let copied: NetworkSpec = { ...spec, forwards: [] };
    for (const [before, after] of rename) copied = withNewName(copied, before, after);
    await this.#ports.networks.create({ name: to, spec: copied, status });
  }

  /** @throws SkerryError `not-found` */
  async byName(name: string): Promise<Network> {
    return (await this.#ports.networks.byName(name)) as Network;
  }

  async idOf(name: string): Promise<string> {
    return (await this.byName(name)).id;
  }

  async describe(name: string): Promise<Pick<Network, 'name' | 'spec' | 'status'>> {
    const { spec, status } = await this.#ports.networks.byName(name);
    return { name, spec, status };
  }

  /** Makes it what it was: its VMs believe in its addresses. */
  async restore({ name, spec, status }: Pick<Network, 'name' | 'spec' | 'status'>): Promise<void> {
    const known = await this.#ports.networks.findByName(name);
    if (spec.mode === 'bridged') return assertThere(name, known as Network | undefined, spec);
    if (known === undefined) await this.#ports.networks.create({ name, spec, status });
    else await this.#ports.networks.update(known.id, () => ({ spec, status }));
  }

  /** @throws SkerryError `in-use` while a VM has a NIC in it */
  delete(name: string): Promise<void> {
    return this.oneByOne(async () => {
      const network = await this.#ports.networks.findByName(name);
      if (network === undefined) return;
      assertUnused(network as Network, await this.#ports.vms());
      await this.#ports.bridged.release(network as Network);
      await this.#ports.networks.delete(network.id);
      await this.#ports.sync();
    });
  }

  /** Says what of it does not hold at the moment, or that all of it does. */
  async say(id: string, message: string | undefined): Promise<Network> {
    return (await this.#ports.networks.update(id, ({ status: { message: _, ...status } }) => ({
      status: message === undefined ? status : { ...status, message },
    }))) as Network;
  }

  /** Whether a user may delete it. @throws SkerryError `in-use`: by VMs, all of which it names, or by a node */
  async assertDeletable(network: Network): Promise<void> {
    assertUnused(network, await this.#ports.vms());
    await this.assertNotDeclared(network);
  }

  nodeOf(name: string): Promise<string | undefined> {
    return this.#ports.nodeOf(name);
  }

  /** @throws SkerryError `in-use`: by a node */
  async assertNotDeclared({ name }: Network): Promise<void> {
    const node = await this.nodeOf(name);
    if (node === undefined) return;
    throw new SkerryError('in-use', `'${name}' belongs to the node ${node}, which declares it`, {
      remedy: `Delete the node (\`skerry node delete ${node}\`), or take the network out of its file and type \`skerry up FILE\`.`,
      details: { network: name, node },
    });
  }

  /** For a user. @throws as `assertDeletable` */
  async remove(network: Network): Promise<void> {
    await this.assertDeletable(network);
    await this.delete(network.name);
    const message = `${network.name} deleted`;
    void this.#ports.events.emit({ type: 'network.deleted', subject: refOf(network), message });
  }

  /** @throws SkerryError `not-found` */
  async leases(ref: string): Promise<Lease[]> {
    const { name, id } = await this.get(ref);
    const [vms, given] = await Promise.all([this.#ports.vms(), this.#ports.givenLeases(id)]);
    return allLeases(name, vms, given);
  }

  /** In turn with all else that gives subnets and addresses away. */
  oneByOne<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body, body);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

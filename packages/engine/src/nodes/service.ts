import {
  checkNodeSpec,
  expandReplicas,
  isBuiltIn,
  NodeSpec,
  SkerryError,
  type Autostart,
  type ImageRecipe,
  type NetworkSpec,
  type Node,
  type NodeStatus,
  type NodeUp,
  type NodeWork,
  type PlanStep,
  type Vm,
  withReplicasOf,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { uninterrupted } from '../tasks/index.ts';
import type { Admission, ShareDirectories, VmService, WorkOptions } from '../vms/index.ts';
import { bringDown, bringUp } from './converge.ts';
import { FORKING } from './forking.ts';
import { memoryAsks } from './memory.ts';
import { networkName, networkSpecOf, nodeState, planUp, type NodeFacts } from './plan.ts';
import { bringBack, RETURNING } from './return.ts';
import { membersOf } from './members.ts';
import { assertMayDelete, assertMayReplace } from './protection-plan.ts';

/** Nodes: what is declared, and the way there. */

export interface NodePorts {
  readonly nodes: Resources<NodeSpec, NodeStatus>;
  readonly vms: VmService;
  readonly admission: Admission;
  readonly events: EventLog;
  /** Digest of the image that a new VM would get, or undefined when it has to be built. */
  readonly imageDigest: (name: string, recipe: ImageRecipe | undefined) => Promise<string | undefined>;
  readonly buildImage: (name: string, recipe: ImageRecipe | undefined, work: WorkOptions) => Promise<void>;
  readonly networks: {
    /** Fields that `declare` would change; undefined: there is none. @throws SkerryError: it can not be made so */
    differing(name: string, declared: NetworkSpec): Promise<readonly string[] | undefined>;
    declare(name: string, declared: NetworkSpec): Promise<void>;
    delete(name: string): Promise<void>;
    /** @throws SkerryError `unsupported`: its wires can't be what it says they are like */
    assertImpairable(spec: NodeSpec): Promise<void>;
  };
  readonly shares: Pick<ShareDirectories, 'check'>;
  readonly assertPortsFree: (spec: NodeSpec, vms: ReadonlyMap<string, Vm>) => Promise<void>;
  /** Called when the forwards of a running VM changed. */
  readonly forwardsChanged: () => Promise<void>;
  /** Called when a node is gone: what was saved of it goes, too. */
  readonly onDeleted?: ((id: string) => Promise<void>) | undefined;
  /** Goes on with what an earlier daemon had begun. */
  readonly resume: (node: Node, work: Exclude<NodeWork, { kind: 'delete' }>) => Promise<unknown>;
  readonly onError: (error: SkerryError, what: string) => void;
}

interface Busy {
  readonly done: Promise<unknown>;
  /** Of an `up`: taking the node down ends it. */
  readonly cancel: AbortController | undefined;
}

export class NodeService {
  readonly #ports: NodePorts;
  readonly #busy = new Map<string, Busy>();

  constructor(ports: NodePorts) {
    this.#ports = ports;
  }

  async list(): Promise<Node[]> {
    const vms = await this.#ports.vms.list();
    const { items } = await this.#ports.nodes.list();
    return (items as Node[]).map((node) => this.#withState(node, membersOf(node.name, vms)));
  }

  /** @param ref name or id */
  async get(ref: string): Promise<Node> {
    const node = ((await this.#ports.nodes.find(ref)) ?? (await this.#ports.nodes.byName(ref))) as Node;
    return this.#withState(node, membersOf(node.name, await this.#ports.vms.list()));
  }

  async plan({ name, spec: declared }: NodeUp): Promise<PlanStep[]> {
    const spec = withReplicasOf(declared, (await this.#ports.nodes.findByName(name))?.spec);
    await this.check(name, spec);
    return planUp(name, expandReplicas(spec), await this.facts(name, spec));
  }

  /**
   * Makes the node what is declared. When it fails or is cancelled, what this call made is taken back, and what ran
   * before runs on.
   * @throws SkerryError `no-space` before anything is changed, when its VMs do not all fit; ...
   */
  async up({ name, title, labels, spec: declared }: NodeUp, work: WorkOptions): Promise<Node> {
    await this.check(name, withReplicasOf(declared, (await this.#ports.nodes.findByName(name))?.spec));
    return this.cancellably(name, work, async (inner) => {
      const { nodes } = this.#ports;
      const before = await nodes.findByName(name);
      const spec = withReplicasOf(declared, before?.spec);
      const autostart = spec.autostart ?? before?.spec.autostart;
      const wanted = { ...spec, power: 'up' as const, ...(autostart === undefined ? {} : { autostart }) };
      assertMayReplace(await this.plan({ name, labels, spec }), await this.members(name));
      using room = await this.#ports.admission.reserve(memoryAsks(expandReplicas(spec), await this.members(name)));
      const facts = await this.facts(name, wanted);
      const status: NodeStatus = { state: 'starting', vms: {} };
      const node =
        before === undefined
          ? await nodes.create({ name, title, labels, spec: wanted, status })
          : await nodes.update(before.id, () => ({
              title,
              labels,
              spec: wanted,
              status: { state: 'starting', vms: before.status.vms },
            }));
      try {
        await bringUp(this.#ports, name, expandReplicas(wanted), facts, { ...inner, room });
      } catch (error) {
        await uninterrupted(() => this.takeBack(name, before as Node | undefined, node.id));
        throw error;
      }
      return this.finish(node.id, 'node.up', `${name} is up`);
    });
  }

  /** Cancels an `up` of it that still runs. @returns what is left: of a node whose first `up` was cancelled nothing is */
  async down(ref: string, work: WorkOptions): Promise<Node> {
    const node = await this.get(ref);
    const down = await this.#exclusively(node.name, 'the node is being taken down', async () => {
      if ((await this.#stopAll(node, work)) === undefined) return undefined;
      return this.finish(node.id, 'node.down', `${node.name} is down`);
    });
    return down ?? { ...node, spec: { ...node.spec, power: 'down' }, status: { state: 'down', vms: {} } };
  }

  /** @throws SkerryError `refused` when it, or a VM of it, is protected; not with `force` */
  async delete(ref: string, { force }: { readonly force: boolean }, work: WorkOptions): Promise<void> {
    const node = await this.get(ref);
    if (!force) assertMayDelete(node, await this.members(node.name));
    await this.#exclusively(node.name, 'the node is being deleted', async () => {
      try {
        if ((await this.#stopAll(node, work, { kind: 'delete' })) !== undefined) await this.discard(node.id);
      } catch (error) {
        // It was cancelled, say: then the next daemon is not to go on with it.
        const told = `${node.name} was not deleted: ${SkerryError.from(error).message}`;
        await uninterrupted(() => this.finish(node.id, 'node.delete-failed', told)).catch(() => undefined);
        throw error;
      }
    });
    void this.#ports.events.emit({ type: 'node.deleted', subject: refOf(node), message: `${node.name} deleted` });
  }

  /**
   * After a restart of the daemon: goes on with what was begun. Does not wait for it.
   * @returns the names of the nodes whose VMs are being started or stopped in their order
   */
  async recover(): Promise<ReadonlySet<string>> {
    const begun = ((await this.#ports.nodes.list()).items as Node[]).filter(
      ({ status }) => status.state === 'starting' || status.state === 'stopping',
    );
    for (const node of begun)
      this.#goOn(node).catch((error: unknown) => this.#ports.onError(SkerryError.from(error), `node ${node.name}`));
    return new Set(begun.map((node) => node.name));
  }

  /** What needs a node as it is, in turn with `up` and `down`. */
  async exclusively<T>(name: string, body: () => Promise<T>): Promise<T> {
    return this.#exclusively(name, undefined, body);
  }

  /** Takes away what there is of it. */
  async discard(id: string): Promise<void> {
    const { vms, nodes, networks } = this.#ports;
    const node = (await nodes.get(id)) as Node;
    await Promise.all(
      [...(await this.members(node.name)).values()].map((vm) =>
        vms.delete(vm.id, { force: true }, {}).catch((error: unknown) => {
          // Whoever recovers VMs may have been sooner.
          if (SkerryError.from(error).code !== 'not-found') throw error;
        }),
      ),
    );
    for (const network of Object.keys(node.spec.networks)) await networks.delete(networkName(node.name, network));
    await this.#ports.onDeleted?.(id);
    await nodes.delete(id);
  }

  async members(name: string): Promise<Map<string, Vm>> {
    return membersOf(name, await this.#ports.vms.list());
  }

  /** Says that it is what it is wanted to be, for whoever has made it so otherwise than by `up` and `down`. */
  async settle(id: string, power: NodeSpec['power']): Promise<Node> {
    await this.#ports.nodes.update(id, ({ spec }) => ({ spec: { ...spec, power } }));
    return this.finish(id, 'node.settled', `node settled: ${power}`);
  }

  /** @returns the node, with whether it comes back after a restart of the host */
  async setAutostart(ref: string, autostart: Autostart): Promise<Node> {
    const { id } = await this.get(ref);
    await this.#ports.nodes.update(id, ({ spec }) => ({ spec: { ...spec, autostart } }));
    return this.get(id);
  }

  #goOn(node: Node): Promise<unknown> {
    const { work, message } = node.status;
    if (message === FORKING) return this.discard(node.id);
    if (work?.kind === 'delete') return this.delete(node.id, { force: true }, {});
    if (work !== undefined) return this.#ports.resume(node, work);
    if (node.spec.power === 'down') return this.down(node.id, {});
    return message === RETURNING ? this.#comeBack(node) : this.#upAgain(node);
  }

  async #comeBack({ id, name, spec }: Node): Promise<void> {
    await this.cancellably(name, {}, async (work) => {
      const lost = await bringBack(this.#ports, expandReplicas(spec), await this.members(name), work);
      const message = `not all came back after a restart of the host: ${lost.join('; ')}`;
      if (lost.length === 0) await this.finish(id, 'node.up', `${name} is up again: its host had restarted`);
      else await this.finish(id, 'node.degraded', `${name}: ${message}`, message);
    });
  }

  async #upAgain({ id, name, spec }: Node): Promise<void> {
    await this.cancellably(name, {}, async (work) => {
      await bringUp(this.#ports, name, expandReplicas(spec), await this.facts(name, spec), work);
      await this.finish(id, 'node.up', `${name} is up`);
    });
  }

  /**
   * @param begun what it is stopped for, and the next daemon goes on with
   * @returns undefined when it is not there any more
   */
  async #stopAll({ id, name }: Node, work: WorkOptions, begun?: NodeWork): Promise<Node | undefined> {
    const { nodes } = this.#ports;
    if ((await nodes.find(id)) === undefined) return undefined;
    const node = await nodes.update(id, ({ spec, status: { work: _, ...status } }) => ({
      spec: { ...spec, power: 'down' },
      status: { ...status, state: 'stopping', ...(begun === undefined ? {} : { work: begun }) },
    }));
    await bringDown(this.#ports.vms, expandReplicas(node.spec), await this.members(name), work);
    return node as Node;
  }

  /** Writes down what it is now. @param lack why it is not all that it should be */
  async finish(id: string, type: string, message: string, lack?: string): Promise<Node> {
    const { nodes, events } = this.#ports;
    const name = (await nodes.get(id)).name;
    const members = await this.members(name);
    const node = await nodes.update(id, ({ spec }) => ({
      status: {
        state: nodeState(spec.power, declaredNames(spec), members, false),
        ...(lack === undefined ? {} : { message: lack }),
        vms: Object.fromEntries([...members].map(([vm, { id: vmId }]) => [vm, vmId])),
      },
    }));
    void events.emit({ type, subject: refOf(node), message });
    return node as Node;
  }

  /** A first `up` that failed leaves nothing; a later one leaves the VMs that ran, and the declaration as it was. */
  async takeBack(name: string, before: Node | undefined, id: string): Promise<void> {
    const { nodes, vms, networks } = this.#ports;
    const members = await this.members(name);
    const known = new Set(Object.values(before?.status.vms ?? {}));
    await Promise.allSettled(
      [...members.values()].filter((vm) => !known.has(vm.id)).map((vm) => vms.delete(vm.id, { force: true }, {})),
    );
    if (before !== undefined) {
      const { title, labels, spec, status } = before;
      await nodes.update(id, () => ({ title, labels, spec, status }));
      for (const [network, declared] of Object.entries(spec.networks))
        await networks.declare(networkName(name, network), networkSpecOf(name, declared)).catch(() => undefined);
      return;
    }
    const { spec } = await nodes.get(id);
    for (const network of Object.keys(spec.networks))
      await networks.delete(networkName(name, network)).catch(() => undefined);
    await nodes.delete(id);
  }

  /** @throws SkerryError `invalid`, `in-use` (a port of the host), `not-found` (an image): it can't be made so */
  async check(name: string, spec: NodeSpec): Promise<void> {
    const [problem, ...others] = checkNodeSpec(spec);
    if (problem !== undefined) {
      throw new SkerryError('invalid', problem.message, {
        remedy: problem.remedy,
        details: { path: problem.path, others: others.map((other) => other.message) },
      });
    }
    for (const vm of Object.values(spec.vms)) await this.#ports.shares.check(vm, undefined);
    await this.#ports.networks.assertImpairable(spec);
    await this.#ports.assertPortsFree(expandReplicas(spec), await this.members(name));
    for (const vm of Object.values(spec.vms)) await this.#ports.vms.assertSecrets(vm);
    for (const { image } of Object.values(spec.vms)) {
      if (isBuiltIn(image) || image in spec.recipes) continue;
      if ((await this.#ports.imageDigest(image, undefined)) !== undefined) continue;
      throw new SkerryError('not-found', `There is no image '${image}'`, {
        remedy:
          'See `skerry image list`; build it with `skerry image build RECIPE`, or name its recipe file as the image.',
      });
    }
  }

  /** @param spec as it is declared */
  async facts(name: string, spec: NodeSpec): Promise<NodeFacts> {
    const imageDigests = new Map<string, string>();
    for (const image of new Set(Object.values(spec.vms).map((vm) => vm.image))) {
      const digest = await this.#ports.imageDigest(image, spec.recipes[image]);
      if (digest !== undefined) imageDigests.set(image, digest);
    }
    const networks = new Map<string, readonly string[]>();
    for (const [network, declared] of Object.entries(spec.networks)) {
      const changed = await this.#ports.networks.differing(networkName(name, network), networkSpecOf(name, declared));
      if (changed !== undefined) networks.set(network, changed);
    }
    const before = (await this.#ports.nodes.findByName(name))?.spec;
    return { vms: await this.members(name), imageDigests, networks, before: before && expandReplicas(before) };
  }

  #withState(node: Node, members: ReadonlyMap<string, Vm>): Node {
    const state = nodeState(node.spec.power, declaredNames(node.spec), members, this.#busy.has(node.name));
    return { ...node, status: { ...node.status, state } };
  }

  /**
   * One at a time per node: a second `up` waits for the first.
   * @param reason why each `up` before it is cancelled instead
   */
  async #exclusively<T>(
    name: string,
    reason: string | undefined,
    body: () => Promise<T>,
    cancel?: AbortController,
  ): Promise<T> {
    for (let busy = this.#busy.get(name); busy !== undefined; busy = this.#busy.get(name)) {
      if (reason !== undefined) busy.cancel?.abort(new SkerryError('cancelled', `cancelled: ${reason}`));
      await busy.done.catch(() => undefined);
    }
    const done = body();
    this.#busy.set(name, { done, cancel });
    try {
      return await done;
    } finally {
      this.#busy.delete(name);
    }
  }

  /** An `up`. @throws what the body does, or `cancelled` with the reason of whoever took the node down meanwhile */
  async cancellably<T>(name: string, work: WorkOptions, body: (work: WorkOptions) => Promise<T>): Promise<T> {
    const cancel = new AbortController();
    const signal = work.signal === undefined ? cancel.signal : AbortSignal.any([work.signal, cancel.signal]);
    try {
      return await this.#exclusively(name, undefined, () => body({ ...work, signal }), cancel);
    } catch (error) {
      throw SkerryError.from(error).code === 'cancelled' && cancel.signal.aborted ? cancel.signal.reason : error;
    }
  }
}

function declaredNames(spec: NodeSpec): string[] {
  return Object.keys(expandReplicas(spec).vms);
}

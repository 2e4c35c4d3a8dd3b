import {
  checkNodeSpec,
  NodeSpec,
  SkerryError,
  type ImageRecipe,
  type Node,
  type NodeNetwork,
  type NodeStatus,
  type NodeUp,
  type PlanStep,
  type Vm,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { uninterrupted } from '../tasks/index.ts';
import { splitVmName, type Admission, type VmService, type WorkOptions } from '../vms/index.ts';
import { bringDown, bringUp } from './converge.ts';
import { FORKING } from './forking.ts';
import { memoryAsks } from './memory.ts';
import { networkName, nodeState, planUp, type NodeFacts } from './plan.ts';

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
    exists(name: string): Promise<boolean>;
    ensure(name: string, network: NodeNetwork, domain: string): Promise<void>;
    delete(name: string): Promise<void>;
  };
  readonly assertPortsFree: (spec: NodeSpec, vms: ReadonlyMap<string, Vm>) => Promise<void>;
  /** Called when the forwards of a running VM changed. */
  readonly forwardsChanged: () => Promise<void>;
  /** Called when a node is gone: what was saved of it goes, too. */
  readonly onDeleted?: ((id: string) => Promise<void>) | undefined;
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

  async plan({ name, spec }: NodeUp): Promise<PlanStep[]> {
    await this.#check(name, spec);
    return planUp(name, spec, await this.#facts(name, spec));
  }

  /**
   * Makes the node what is declared. When it fails or is cancelled, what this call made is taken back, and what ran
   * before runs on.
   * @throws SkerryError `no-space` before anything is changed, when its VMs do not all fit; ...
   */
  async up({ name, spec }: NodeUp, work: WorkOptions): Promise<Node> {
    await this.#check(name, spec);
    return this.#cancellably(name, work, async (inner) => {
      const { nodes } = this.#ports;
      const before = await nodes.findByName(name);
      const wanted = { ...spec, power: 'up' as const };
      using room = await this.#ports.admission.reserve(memoryAsks(spec, await this.#members(name)));
      const status: NodeStatus = { state: 'starting', vms: {} };
      const node =
        before === undefined
          ? await nodes.create({ name, spec: wanted, status })
          : await nodes.update(before.id, () => ({ spec: wanted, status: { ...before.status, state: 'starting' } }));
      try {
        await bringUp(this.#ports, name, wanted, await this.#facts(name, wanted), { ...inner, room });
      } catch (error) {
        await uninterrupted(() => this.#takeBack(name, before as Node | undefined, node.id));
        throw error;
      }
      return this.#finish(node.id, 'node.up', `${name} is up`);
    });
  }

  /** Cancels an `up` of it that still runs. @returns what is left: of a node whose first `up` was cancelled nothing is */
  async down(ref: string, work: WorkOptions): Promise<Node> {
    const node = await this.get(ref);
    const down = await this.#exclusively(node.name, 'the node is being taken down', () => this.#takeDown(node, work));
    return down ?? { ...node, spec: { ...node.spec, power: 'down' }, status: { state: 'down', vms: {} } };
  }

  async delete(ref: string, work: WorkOptions): Promise<void> {
    const node = await this.get(ref);
    await this.#exclusively(node.name, 'the node is being deleted', async () => {
      if ((await this.#takeDown(node, work)) === undefined) return;
      await Promise.all(
        [...(await this.#members(node.name)).values()].map((vm) =>
          this.#ports.vms.delete(vm.id, { force: true }, work),
        ),
      );
      for (const network of Object.keys(node.spec.networks))
        await this.#ports.networks.delete(networkName(node.name, network));
      await this.#ports.onDeleted?.(node.id);
      await this.#ports.nodes.delete(node.id);
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
    for (const node of begun) {
      const again =
        node.status.message === FORKING
          ? this.discard(node.id)
          : node.spec.power === 'up'
            ? this.#upAgain(node)
            : this.down(node.id, {});
      again.catch((error: unknown) => this.#ports.onError(SkerryError.from(error), `node ${node.name}`));
    }
    return new Set(begun.map((node) => node.name));
  }

  /** What needs a node as it is, in turn with `up` and `down`. */
  async exclusively<T>(name: string, body: () => Promise<T>): Promise<T> {
    return this.#exclusively(name, undefined, body);
  }

  /** Takes away a node that was not finished: its VMs are as if they were being deleted. */
  async discard(id: string): Promise<void> {
    const { vms, nodes, networks } = this.#ports;
    const node = (await nodes.get(id)) as Node;
    await Promise.all(
      [...(await this.#members(node.name)).values()].map((vm) =>
        vms.delete(vm.id, { force: true }, {}).catch((error: unknown) => {
          // Whoever recovers VMs may have been sooner.
          if (SkerryError.from(error).code !== 'not-found') throw error;
        }),
      ),
    );
    for (const network of Object.keys(node.spec.networks)) await networks.delete(networkName(node.name, network));
    await nodes.delete(id);
  }

  async members(name: string): Promise<Map<string, Vm>> {
    return this.#members(name);
  }

  /** Says that it is what it is wanted to be, for whoever has made it so otherwise than by `up` and `down`. */
  async settle(id: string, power: NodeSpec['power']): Promise<Node> {
    await this.#ports.nodes.update(id, ({ spec }) => ({ spec: { ...spec, power } }));
    return this.#finish(id, 'node.settled', `node settled: ${power}`);
  }

  async #upAgain({ id, name, spec }: Node): Promise<void> {
    await this.#cancellably(name, {}, async (work) => {
      await bringUp(this.#ports, name, spec, await this.#facts(name, spec), work);
      await this.#finish(id, 'node.up', `${name} is up`);
    });
  }

  /** @returns undefined when it is not there any more */
  async #takeDown({ id, name }: Node, work: WorkOptions): Promise<Node | undefined> {
    const { nodes } = this.#ports;
    if ((await nodes.find(id)) === undefined) return undefined;
    const node = await nodes.update(id, ({ spec, status }) => ({
      spec: { ...spec, power: 'down' },
      status: { ...status, state: 'stopping' },
    }));
    await bringDown(this.#ports.vms, node.spec, await this.#members(name), work);
    return this.#finish(id, 'node.down', `${name} is down`);
  }

  async #finish(id: string, type: string, message: string): Promise<Node> {
    const { nodes, events } = this.#ports;
    const name = (await nodes.get(id)).name;
    const members = await this.#members(name);
    const node = await nodes.update(id, ({ spec }) => ({
      status: {
        state: nodeState(spec.power, Object.keys(spec.vms), members, false),
        vms: Object.fromEntries([...members].map(([vm, { id: vmId }]) => [vm, vmId])),
      },
    }));
    void events.emit({ type, subject: refOf(node), message });
    return node as Node;
  }

  /** A first `up` that failed leaves nothing; a later one leaves the VMs that ran, and the declaration as it was. */
  async #takeBack(name: string, before: Node | undefined, id: string): Promise<void> {
    const { nodes, vms, networks } = this.#ports;
    const members = await this.#members(name);
    const known = new Set(Object.values(before?.status.vms ?? {}));
    await Promise.allSettled(
      [...members.values()].filter((vm) => !known.has(vm.id)).map((vm) => vms.delete(vm.id, { force: true }, {})),
    );
    if (before !== undefined) {
      await nodes.update(id, () => ({ spec: before.spec, status: before.status }));
      return;
    }
    const { spec } = await nodes.get(id);
    for (const network of Object.keys(spec.networks))
      await networks.delete(networkName(name, network)).catch(() => undefined);
    await nodes.delete(id);
  }

  async #check(name: string, spec: NodeSpec): Promise<void> {
    const [problem, ...others] = checkNodeSpec(spec);
    if (problem !== undefined) {
      throw new SkerryError('invalid', problem.message, {
        remedy: problem.remedy,
        details: { path: problem.path, others: others.map((other) => other.message) },
      });
    }
    await this.#ports.assertPortsFree(spec, await this.#members(name));
    for (const { image } of Object.values(spec.vms)) {
      if (image === 'micro' || image in spec.recipes) continue;
      if ((await this.#ports.imageDigest(image, undefined)) !== undefined) continue;
      throw new SkerryError('not-found', `There is no image '${image}'`, {
        remedy:
          'See `skerry image list`; build it with `skerry image build RECIPE`, or name its recipe file as the image.',
      });
    }
  }

  async #facts(name: string, spec: NodeSpec): Promise<NodeFacts> {
    const imageDigests = new Map<string, string>();
    for (const image of new Set(Object.values(spec.vms).map((vm) => vm.image))) {
      const digest = await this.#ports.imageDigest(image, spec.recipes[image]);
      if (digest !== undefined) imageDigests.set(image, digest);
    }
    const networks = new Set<string>();
    for (const network of Object.keys(spec.networks)) {
      if (await this.#ports.networks.exists(networkName(name, network))) networks.add(network);
    }
    return { vms: await this.#members(name), imageDigests, networks };
  }

  async #members(name: string): Promise<Map<string, Vm>> {
    return membersOf(name, await this.#ports.vms.list());
  }

  #withState(node: Node, members: ReadonlyMap<string, Vm>): Node {
    const state = nodeState(node.spec.power, Object.keys(node.spec.vms), members, this.#busy.has(node.name));
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
  async #cancellably<T>(name: string, work: WorkOptions, body: (work: WorkOptions) => Promise<T>): Promise<T> {
    const cancel = new AbortController();
    const signal = work.signal === undefined ? cancel.signal : AbortSignal.any([work.signal, cancel.signal]);
    try {
      return await this.#exclusively(name, undefined, () => body({ ...work, signal }), cancel);
    } catch (error) {
      throw SkerryError.from(error).code === 'cancelled' && cancel.signal.aborted ? cancel.signal.reason : error;
    }
  }
}

function membersOf(node: string, vms: readonly Vm[]): Map<string, Vm> {
  const members = new Map<string, Vm>();
  for (const vm of vms) {
    const split = splitVmName(vm.name);
    if (split.node === node) members.set(split.name, vm);
  }
  return members;
}

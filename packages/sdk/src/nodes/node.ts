import type { Node, NodeLogLine, NodeSave, PlanStep, SkerryEvent, Vm } from '@skerry/api/base';
import type { Skerry } from '../client.ts';
import { startFault, type FaultHandle, type FaultOptions } from '../faults/fault.ts';
import { VM, type TaskOptions } from '../vms/vm.ts';

export interface NodeLogOptions {
  /** Names inside the node, as declared (all replicas) or one replica; all VMs when absent. */
  readonly vms?: readonly string[];
  /** Goes on with what comes, also from VMs that are made or restarted later. */
  readonly follow?: boolean;
  /** At most so many past lines of each VM. */
  readonly tail?: number;
  /** Only lines that are younger. */
  readonly sinceMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * A handle of one node: VMs that are declared, started and stopped as one. Its methods throw SkerryError.
 *
 *     const shop = await client.up(await loadNodeFile('shop.yaml'));
 *     await shop.scale({ web: 3 });
 *     await using copy = await shop.fork('shop-b', { ephemeral: true });
 */
export class NodeHandle implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly #client: Skerry;
  readonly #ephemeral: boolean;
  #deleted = false;

  constructor(client: Skerry, resource: Node, { ephemeral = false }: { readonly ephemeral?: boolean } = {}) {
    this.#client = client;
    this.id = resource.id;
    this.name = resource.name;
    this.#ephemeral = ephemeral;
  }

  /** What it is now. */
  async info(): Promise<Node> {
    return await this.#client.call('node.get', { params: this.#params });
  }

  /** A VM of it. @throws SkerryError `not-found` */
  async vm(name: string): Promise<VM> {
    return await this.#client.vm((await this.info()).status.vms[name] ?? `${this.name}/${name}`);
  }

  async vms(): Promise<VM[]> {
    const { name } = await this.info();
    const all = await this.#client.call('vm.list');
    return all.filter((vm: Vm) => vm.name.startsWith(`${name}/`)).map((vm) => new VM(this.#client, vm));
  }

  /** Stops its VMs, those that others depend on last; their disks stay. */
  async down(options: TaskOptions = {}): Promise<Node> {
    return await this.#client.run('node.down', { params: this.#params, ...options });
  }

  /** Stops and deletes it: VMs, disks, networks and saves. */
  async delete(options: TaskOptions = {}): Promise<void> {
    await this.#client.run('node.delete', { params: this.#params, ...options });
    this.#deleted = true;
  }

  /** How many of its VMs there shall be: `{ web: 3 }` makes web, web-2 and web-3. */
  async scale(replicas: Readonly<Record<string, number>>, options: TaskOptions = {}): Promise<Node> {
    return await this.#client.run('node.scale', { params: this.#params, body: { replicas }, ...options });
  }

  async planScale(replicas: Readonly<Record<string, number>>): Promise<PlanStep[]> {
    return await this.#client.call('node.scale.plan', { params: this.#params, body: { replicas } });
  }

  /**
   * Gives VMs another image, `batch` at a time (default 1), each batch until it is healthy. Their disks are new; the old ones
   * are kept until then, and put back when a batch fails.
   */
  async update(
    images: Readonly<Record<string, string>>,
    { batch, ...options }: TaskOptions & { readonly batch?: number } = {},
  ): Promise<Node> {
    const body = { images, ...(batch === undefined ? {} : { batch }) };
    return await this.#client.run('node.update', { params: this.#params, body, ...options });
  }

  async planUpdate(
    images: Readonly<Record<string, string>>,
    { batch }: { readonly batch?: number } = {},
  ): Promise<PlanStep[]> {
    const body = { images, ...(batch === undefined ? {} : { batch }) };
    return await this.#client.call('node.update.plan', { params: this.#params, body });
  }

  /** Stops and starts its VMs, or some, in the order of their dependencies; with `batch`, so many at a time. */
  async restart({
    vms,
    batch,
    ...options
  }: TaskOptions & { readonly vms?: readonly string[]; readonly batch?: number } = {}): Promise<Node> {
    const body = { ...(vms === undefined ? {} : { vms: [...vms] }), ...(batch === undefined ? {} : { batch }) };
    return await this.#client.run('node.restart', { params: this.#params, body, ...options });
  }

  /**
   * A copy of it at one instant: VMs, disks and connections between them; both go on.
   * @param options.ephemeral `await using` deletes the copy at the end of the block
   */
  async fork(
    name: string,
    { ephemeral, ...options }: TaskOptions & { readonly ephemeral?: boolean } = {},
  ): Promise<NodeHandle> {
    const fork = await this.#client.run('node.fork', { params: this.#params, body: { name }, ...options });
    return new NodeHandle(this.#client, fork, ephemeral === undefined ? {} : { ephemeral });
  }

  /** Keeps memory and disks as of one instant; it goes on. */
  async save(name: string, options: TaskOptions = {}): Promise<NodeSave> {
    return await this.#client.run('node.save', { params: this.#params, body: { name }, ...options });
  }

  async saves(): Promise<NodeSave[]> {
    return await this.#client.call('node.saves', { params: this.#params });
  }

  /** Makes it what it was when it was saved; what it is now is lost. */
  async restore(save: string, options: TaskOptions = {}): Promise<Node> {
    return await this.#client.run('node.restore', { params: this.#params, body: { save }, ...options });
  }

  async deleteSave(save: string, options: TaskOptions = {}): Promise<void> {
    await this.#client.run('node.save.delete', { params: { ...this.#params, save }, ...options });
  }

  /**
   * Keeps groups of its VMs from reaching each other: `[['web', 'cache'], ['db']]`. Those that no group names are one more.
   *
   *     await using parted = await shop.partition([['db']], { forMs: 10_000 });
   *
   * @throws SkerryError `not-found` (a VM), `invalid`, `wrong-state`
   */
  async partition(groups: ReadonlyArray<readonly string[]>, options: FaultOptions): Promise<FaultHandle> {
    const spec = { kind: 'partition', node: this.name, groups: groups.map((group) => [...group]) } as const;
    return await startFault(this.#client, spec, options);
  }

  /** What the commands of its VMs have written, by time. Leaving the loop ends it. */
  async *logs({ vms, signal, ...query }: NodeLogOptions = {}): AsyncGenerator<NodeLogLine, void, undefined> {
    const names = vms === undefined ? {} : { vms: vms.join(',') };
    yield* this.#client.stream('node.logs', { params: this.#params, query: { ...query, ...names }, signal });
  }

  /**
   * What happened to it, its VMs and its tasks; with `follow`, then what comes, without a gap or a repeat.
   * @param options.after id of the last event that is known
   */
  async *events({
    after = 0,
    follow = false,
    signal,
  }: { readonly after?: number; readonly follow?: boolean; readonly signal?: AbortSignal } = {}): AsyncGenerator<
    SkerryEvent,
    void,
    undefined
  > {
    if (!follow) return yield* await this.#client.call('node.events', { params: this.#params, query: { after } });
    yield* this.#client.stream('node.events.follow', { params: this.#params, query: { after }, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ephemeral && !this.#deleted) await this.delete();
  }

  get #params(): { readonly node: string } {
    return { node: this.id };
  }
}

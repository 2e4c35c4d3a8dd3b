import type { Duplex, Readable } from 'node:stream';
import type {
  NicAddInput,
  NicInfo,
  NicSet,
  ShareInfo,
  ShareInput,
  Vm,
  VmChanged,
  VmSetInput,
  WaitCondition,
} from '@skerry/api/base';
import type { RunOptions, Skerry } from '../client.ts';
import { NicHandle } from '../faults/nic.ts';
import { VmFaults } from '../faults/vm-faults.ts';
import { openConsole } from './console.ts';
import type { ExecProcess } from './exec-process.ts';
import type { ExecOptions } from './exec.ts';
import { VmFiles } from './files.ts';
import { shareOf } from './share.ts';

export type TaskOptions = RunOptions & { readonly signal?: AbortSignal | undefined };

/**
 * A handle of one VM. Its methods throw SkerryError. `await using` deletes the VM at the end of the block if it was made
 * with `ephemeral: true`, and leaves it alone otherwise.
 */
export class VM implements AsyncDisposable {
  readonly id: string;
  #name: string;
  readonly files: VmFiles;
  /** What can be made to go wrong with it: `await using freeze = await vm.fault.freeze({ forMs: 10_000 })`. */
  readonly fault: VmFaults;
  readonly #client: Skerry;
  readonly #ephemeral: boolean;
  #deleted = false;

  constructor(client: Skerry, resource: Vm) {
    this.#client = client;
    this.id = resource.id;
    this.#name = resource.name;
    this.#ephemeral = resource.spec.ephemeral;
    this.files = new VmFiles(client, resource.id);
    this.fault = new VmFaults(client, resource.id);
  }

  /** As this handle knows it: the id stays when somebody renames it. */
  get name(): string {
    return this.#name;
  }

  /** What it is now. */
  async info(): Promise<Vm> {
    return await this.#client.call('vm.get', { params: { vm: this.id } });
  }

  /**
   * Starts it, until its agent answers. One that is suspended goes on where it was; with `discardMemory` it boots, and what
   * was in its memory is lost.
   */
  async start({ discardMemory, ...options }: TaskOptions & { readonly discardMemory?: boolean } = {}): Promise<Vm> {
    return await this.#client.run('vm.start', { params: { vm: this.id }, query: { discardMemory }, ...options });
  }

  /** Shuts it down; powers it off if that takes longer than `timeoutMs` (default: its `stopGracePeriod`). */
  async stop({ timeoutMs, ...options }: TaskOptions & { readonly timeoutMs?: number } = {}): Promise<Vm> {
    const body = timeoutMs === undefined ? {} : { timeoutMs };
    return await this.#client.run('vm.stop', { params: { vm: this.id }, body, ...options });
  }

  async restart(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.restart', { params: { vm: this.id }, ...options });
  }

  /** Its NICs: networks, addresses, and what is asked of them. */
  async nics(): Promise<NicInfo[]> {
    return await this.#client.call('vm.nic.list', { params: { vm: this.id } });
  }

  /** A handle of one of them, such as eth1: for what can be made to go wrong at it. */
  nic(name: string): NicHandle {
    return new NicHandle(this.#client, this.id, name);
  }

  /** `{ network: 'lab' }`: one that runs has it at once. */
  async addNic(nic: NicAddInput, options: TaskOptions = {}): Promise<NicInfo> {
    return await this.#client.run('vm.nic.add', { params: { vm: this.id }, body: nic, ...options });
  }

  /** @param nic such as eth1 @param change `{ link: 'down' }`: what is left out stays, null is the default again */
  async setNic(nic: string, change: NicSet, options: TaskOptions = {}): Promise<NicInfo> {
    return await this.#client.run('vm.nic.set', { params: { vm: this.id, nic }, body: change, ...options });
  }

  /** @param nic such as eth1 @returns those that are left */
  async removeNic(nic: string, options: TaskOptions = {}): Promise<NicInfo[]> {
    return await this.#client.run('vm.nic.remove', { params: { vm: this.id, nic }, ...options });
  }

  /** The directories of the host that it sees, and whether it has them now. */
  async shares(): Promise<ShareInfo[]> {
    return await this.#client.call('vm.share.list', { params: { vm: this.id } });
  }

  /** './src:/mnt/src[:ro,virtiofs]': shares a directory with it, from its next start. */
  async addShare(share: string | ShareInput, options: TaskOptions = {}): Promise<ShareInfo[]> {
    return await this.#client.run('vm.share.add', { params: { vm: this.id }, body: shareOf(share), ...options });
  }

  /** By its place in the guest; a running VM has it unmounted at once, unless a process is in it. */
  async removeShare(guestPath: string, options: TaskOptions = {}): Promise<ShareInfo[]> {
    return await this.#client.run('vm.share.remove', { params: { vm: this.id }, query: { guestPath }, ...options });
  }

  async pause(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.pause', { params: { vm: this.id }, ...options });
  }

  async resume(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.resume', { params: { vm: this.id }, ...options });
  }

  /** Saves its memory to disk and ends its process; `start` lets it go on, also after a restart of the host. */
  async suspend(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.suspend', { params: { vm: this.id }, ...options });
  }

  /**
   * Makes a running copy of it, memory and disk, while it goes on; with `count`, so many, called NAME-1, NAME-2, ...
   *
   *     const copy = await vm.fork('web-2');
   *     const workers = await vm.fork('worker', { count: 10 });
   *
   * @throws SkerryError `wrong-state` (it does not run), `conflict` (a name is taken), `no-space`, ...
   */
  fork(name: string, options?: TaskOptions): Promise<VM>;
  fork(name: string, options: TaskOptions & { readonly count: number }): Promise<VM[]>;
  async fork(name: string, { count, ...options }: TaskOptions & { readonly count?: number } = {}): Promise<VM | VM[]> {
    const body = count === undefined ? { name } : { name, count };
    const made = await this.#client.run('vm.fork', { params: { vm: this.id }, body, ...options });
    const forks = made.map((resource) => new VM(this.#client, resource));
    const [first] = forks;
    return count === undefined && first !== undefined ? first : forks;
  }

  /**
   * Changes what is asked of it; null takes a field out. `atNextStart` names what a running VM does not take up before.
   *
   *     await vm.set({ memoryMib: 256, labels: { tier: 'front' }, title: null });
   *
   * @throws SkerryError `invalid`, `in-use` (host port), `refused` (its node declares it)
   */
  async set(patch: VmSetInput): Promise<VmChanged> {
    return await this.#client.call('vm.set', { params: { vm: this.id }, body: patch });
  }

  /** Its id, disk and addresses stay. @throws SkerryError `conflict` (the name is taken), `refused` (it is a node's) */
  async rename(name: string): Promise<Vm> {
    const vm = await this.#client.call('vm.rename', { params: { vm: this.id }, body: { name } });
    this.#name = vm.name;
    return vm;
  }

  /** Powers it off at once: what the guest has not written is lost. */
  async kill(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.kill', { params: { vm: this.id }, ...options });
  }

  /** Whether it runs again after a restart of the host. @throws SkerryError `unsupported` of a VM of a node */
  async setAutostart(autostart: 'on' | 'off' | 'last'): Promise<Vm> {
    return await this.#client.call('vm.autostart', { params: { vm: this.id }, body: { autostart } });
  }

  /** Deletes it with its disk; a running one only with `force`. */
  async delete({ force, ...options }: TaskOptions & { readonly force?: boolean } = {}): Promise<void> {
    await this.#client.run('vm.delete', { params: { vm: this.id }, query: { force }, ...options });
    this.#deleted = true;
  }

  /** @throws SkerryError `timeout` (default 30 s) */
  async wait(
    condition: WaitCondition,
    { timeoutMs, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Vm> {
    const body = { condition, ...(timeoutMs === undefined ? {} : { timeoutMs }) };
    return await this.#client.call('vm.wait', { params: { vm: this.id }, body, signal });
  }

  /**
   * Runs a command. A plain word runs as it is, any other text by `sh -c`, a list word by word.
   *
   *     const { stdout, exitCode } = await vm.exec('uname -a');
   *     for await (const { stream, data } of vm.exec(['dmesg'])) process[stream].write(data);
   */
  exec(command: string | readonly string[], options: ExecOptions = {}): ExecProcess {
    return this.#client.exec(this.id, command, options);
  }

  /**
   * A stream to a TCP port inside it, whatever its networks let through; each direction ends by itself.
   * @throws SkerryError `unavailable` (nothing listens there), `wrong-state` (it does not run)
   */
  async connect(port: number, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Duplex> {
    return (await this.#client.connectTo(this.id, { to: 'port', port }, signal)).stream;
  }

  /** Its serial console, past output first. */
  console(): Duplex {
    return openConsole((onFailure) => this.#client.socket('vm.console', this.id, onFailure));
  }

  /** What its long-running command has written; with `follow`, without end. */
  async logs({
    follow = false,
    signal,
  }: { readonly follow?: boolean; readonly signal?: AbortSignal } = {}): Promise<Readable> {
    return await this.#client.download('vm.logs', { params: { vm: this.id }, query: { follow }, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ephemeral && !this.#deleted) await this.delete({ force: true });
  }
}

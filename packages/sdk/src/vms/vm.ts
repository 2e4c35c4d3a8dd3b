import type { Duplex, Readable } from 'node:stream';
import type { Vm, WaitCondition } from '@skerry/api/base';
import type { RunOptions, Skerry } from '../client.ts';
import { openConsole } from './console.ts';
import type { ExecProcess } from './exec-process.ts';
import type { ExecOptions } from './exec.ts';
import { VmFiles } from './files.ts';

export type TaskOptions = RunOptions & { readonly signal?: AbortSignal | undefined };

/**
 * A handle of one VM. Its methods throw SkerryError. `await using` deletes the VM at the end of the block if it was made
 * with `ephemeral: true`, and leaves it alone otherwise.
 */
export class VM implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly files: VmFiles;
  readonly #client: Skerry;
  readonly #ephemeral: boolean;
  #deleted = false;

  constructor(client: Skerry, resource: Vm) {
    this.#client = client;
    this.id = resource.id;
    this.name = resource.name;
    this.#ephemeral = resource.spec.ephemeral;
    this.files = new VmFiles(client, resource.id);
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

  /** Shuts it down; powers it off if that takes longer than `timeoutMs` (default 10 s). */
  async stop({ timeoutMs, ...options }: TaskOptions & { readonly timeoutMs?: number } = {}): Promise<Vm> {
    const body = timeoutMs === undefined ? {} : { timeoutMs };
    return await this.#client.run('vm.stop', { params: { vm: this.id }, body, ...options });
  }

  async restart(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.restart', { params: { vm: this.id }, ...options });
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

  /** Powers it off at once: what the guest has not written is lost. */
  async kill(options: TaskOptions = {}): Promise<Vm> {
    return await this.#client.run('vm.kill', { params: { vm: this.id }, ...options });
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

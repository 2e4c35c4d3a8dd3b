import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { chown, mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { connect as connectSocket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hasTaskEnded, SkerryError } from '@skerry/api';
import { connect, type Skerry } from '@skerry/sdk';
import { daemonProgram } from '@skerry/sdk/daemon-process';
import { findTraces, removeTraces, type Expected, type HostDirs } from './traces.ts';

/** A host of its own for one test file: a daemon with private directories, of which nothing may be left in the end. */

const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 10_000;
const DELETE_TIMEOUT_MS = 60_000;
/** What ends by itself a moment after its last user is no trace. */
const SETTLE_MS = 15_000;

export interface TestHostOptions {
  /** Added to what the daemon and the commands get; undefined takes a variable out. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Programs are run as this user, who also owns the directories. Needs root. */
  readonly user?: { readonly uid: number; readonly gid: number };
  /** Put before the daemon's argv, such as ['prlimit', '--fsize=1000']. */
  readonly wrap?: readonly string[];
  /** Directory for the data, such as one on a small file system; it is left in place, empty. */
  readonly dataDir?: string;
}

export interface LeftoverOptions {
  readonly settleMs?: number;
  /** Whether the switch and the ways out may wait for the next VM, as they do for 3 s; false waits for their end. */
  readonly idleNetwork?: boolean;
}

export interface CliResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Null when a signal ended it, as after `timeoutMs`. */
  readonly exitCode: number | null;
}

export interface CliOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

/** @throws what keeps the daemon from starting, with the end of its log */
export async function startTestHost(options: TestHostOptions = {}): Promise<TestHost> {
  const host = await TestHost.create(options);
  try {
    await host.start();
    return host;
  } catch (error) {
    await host[Symbol.asyncDispose]().catch(() => undefined);
    throw error;
  }
}

export class TestHost implements AsyncDisposable {
  /** Private to this host; scratch files may be put here. */
  readonly dir: string;
  readonly dirs: HostDirs;
  readonly env: NodeJS.ProcessEnv;
  readonly socketPath: string;
  readonly #options: TestHostOptions;
  #daemon: ChildProcess | undefined;
  #client: Skerry | undefined;

  private constructor(dir: string, options: TestHostOptions) {
    this.dir = dir;
    this.#options = options;
    this.dirs = { dataDir: options.dataDir ?? join(dir, 'data'), runtimeDir: join(dir, 'run') };
    this.socketPath = join(this.dirs.runtimeDir, 'skerryd.sock');
    const { SKERRY_HOST: _, ...inherited } = process.env;
    this.env = {
      ...inherited,
      SKERRY_DATA_DIR: this.dirs.dataDir,
      SKERRY_RUNTIME_DIR: this.dirs.runtimeDir,
      // As on a pipe, whatever the tests themselves run on.
      NO_COLOR: '1',
      ...options.env,
    };
  }

  /** @internal Use `startTestHost`. */
  static async create(options: TestHostOptions): Promise<TestHost> {
    // Short: the path of a unix socket has 107 bytes.
    const host = new TestHost(await mkdtemp(join(tmpdir(), 'skt-')), options);
    const { dataDir, runtimeDir } = host.dirs;
    for (const dir of [dataDir, runtimeDir]) await mkdir(dir, { recursive: true, mode: 0o700 });
    if (options.user !== undefined) {
      for (const dir of [host.dir, dataDir, runtimeDir]) await chown(dir, options.user.uid, options.user.gid);
    }
    return host;
  }

  /** A client of the daemon that runs now. */
  get client(): Skerry {
    this.#client ??= connect({ socketPath: this.socketPath });
    return this.#client;
  }

  get daemonPid(): number | undefined {
    return this.#isRunning ? this.#daemon?.pid : undefined;
  }

  get #isRunning(): boolean {
    return this.#daemon !== undefined && this.#daemon.exitCode === null && this.#daemon.signalCode === null;
  }

  /** Starts the daemon, until it answers. */
  async start(): Promise<void> {
    if (this.#isRunning) return;
    this.#forgetClient();
    const argv = this.#argv(await daemonProgram('main'), this.#options.wrap);
    const log = await open(this.#logPath, 'a', 0o644);
    const daemon = spawn(argv[0] ?? '', argv.slice(1), { env: this.env, cwd: '/', stdio: ['ignore', log.fd, log.fd] });
    this.#daemon = daemon;
    const failed = new Promise<Error>((resolve) => daemon.once('error', resolve));
    await log.close();
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await answers(this.socketPath))) {
      const error = daemon.pid === undefined ? await failed : undefined;
      if (error !== undefined || !this.#isRunning || performance.now() > deadline) {
        throw new Error(`The daemon did not start. ${error?.message ?? (await this.log()).slice(-2000)}`);
      }
      await sleep(10);
    }
  }

  /** The daemon is gone at once, as by a crash; VMs go on. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** An orderly end of the daemon; VMs go on. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  /** `stop`, unless it is down already, and `start`. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Runs a command line of the product: `cli(['list'])`. */
  async cli(args: readonly string[], { input, timeoutMs = 60_000, cwd }: CliOptions = {}): Promise<CliResult> {
    const child = this.startCli(args, cwd === undefined ? {} : { cwd });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (data: Buffer) => output[name].push(data));
    child.stdin.end(input);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    clearTimeout(timer);
    return {
      stdout: Buffer.concat(output.stdout).toString(),
      stderr: Buffer.concat(output.stderr).toString(),
      exitCode,
    };
  }

  /** The same, not waited for: to interrupt it, or to read along. */
  startCli(
    args: readonly string[],
    { cwd = this.dir }: { readonly cwd?: string } = {},
  ): ChildProcessWithoutNullStreams {
    const argv = [...this.#argv(['--conditions=source', join(REPOSITORY, 'packages/cli/src/main.ts')]), ...args];
    const child = spawn(argv[0] ?? '', argv.slice(1), { env: this.env, cwd });
    child.stdin.on('error', () => undefined); // It ended without reading all of it.
    return child;
  }

  /** All that the daemons of this host have logged. */
  async log(): Promise<string> {
    return readFile(this.#logPath, 'utf8').catch(() => '');
  }

  /**
   * What is there beyond the daemon and the VMs it knows: processes, control groups, sockets, directories. Waits a little
   * for what is just ending.
   */
  async leftovers({ settleMs = SETTLE_MS, idleNetwork = true }: LeftoverOptions = {}): Promise<string[]> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const expected = await this.#expected();
      const hasNetwork = expected.runningIds.length > 0 || (idleNetwork && this.#isRunning);
      const found = await findTraces(this.dirs, { ...expected, hasNetwork });
      if (found.length === 0 || performance.now() > deadline) return found;
      await sleep(100);
    }
  }

  /** Cancels what is under way, and deletes all nodes and VMs. */
  async clear(): Promise<void> {
    const signal = AbortSignal.timeout(DELETE_TIMEOUT_MS);
    const { client } = this;
    // What was cancelled takes back what it made: it may be gone before it is deleted.
    const unlessGone = (error: unknown): void => {
      if (SkerryError.from(error).code !== 'not-found') throw error;
    };
    const tasks = await client.call('task.list');
    const running = tasks.filter((task) => !hasTaskEnded(task));
    await Promise.all(running.map((task) => client.call('task.cancel', { params: { task: task.id } })));
    for (const node of await client.call('node.list')) {
      await client.run('node.delete', { params: { node: node.id }, signal }).catch(unlessGone);
    }
    const deleteOne = (vm: string) => client.run('vm.delete', { params: { vm }, query: { force: true }, signal });
    await Promise.all((await client.call('vm.list')).map((vm) => deleteOne(vm.id).catch(unlessGone)));
  }

  /** Deletes everything in it and the host itself. @throws when something is left, after it has been removed */
  async [Symbol.asyncDispose](): Promise<void> {
    const problems: string[] = [];
    const attempt = async (what: string, body: () => Promise<unknown>): Promise<void> => {
      await body().catch((error: unknown) => problems.push(`${what}: ${(error as Error).message}`));
    };
    if (this.#daemon !== undefined) {
      if (!this.#isRunning) await attempt('start', () => this.start());
      if (this.#isRunning) {
        await attempt('clear', () => this.clear());
        await attempt('leftovers', async () => problems.push(...(await this.leftovers())));
        await attempt('stop', () => this.stop());
      }
    }
    await attempt('leftovers', async () => problems.push(...(await this.leftovers())));
    const log = problems.length === 0 ? '' : (await this.log()).slice(-4000);
    await removeTraces(this.dirs);
    if (this.#options.dataDir !== undefined) await rm(this.#options.dataDir, { recursive: true, force: true });
    await rm(this.dir, { recursive: true, force: true });
    if (problems.length > 0) throw new Error(`The test host leaves things over:\n${problems.join('\n')}\n\n${log}`);
  }

  get #logPath(): string {
    return join(this.dir, 'daemon.log');
  }

  #argv(program: readonly string[], wrap: readonly string[] = []): string[] {
    const { user } = this.#options;
    const as =
      user === undefined
        ? []
        : ['setpriv', '--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', '--'];
    return [...as, ...wrap, process.execPath, '--disable-warning=ExperimentalWarning', ...program];
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const daemon = this.#daemon;
    this.#forgetClient();
    if (daemon === undefined || !this.#isRunning) return;
    const exited = new Promise<'exited'>((resolve) => daemon.once('exit', () => resolve('exited')));
    daemon.kill(signal);
    const late = sleep(STOP_TIMEOUT_MS, 'late' as const, { ref: false });
    if ((await Promise.race([exited, late])) === 'exited') return;
    daemon.kill('SIGKILL');
    await exited;
    throw new Error(`The daemon did not end within ${STOP_TIMEOUT_MS} ms of ${signal}`);
  }

  #forgetClient(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async #expected(): Promise<Omit<Expected, 'hasNetwork'>> {
    if (!this.#isRunning) return { daemonPid: undefined, vmIds: [], runningIds: [], templateIds: [], poolIds: [] };
    const [vms, templates, pools] = await Promise.all([
      this.client.call('vm.list'),
      this.client.call('template.list'),
      this.client.call('pool.list'),
    ]);
    return {
      poolIds: pools.flatMap(({ members }) => members),
      templateIds: templates.map(({ id }) => id),
      daemonPid: this.#daemon?.pid,
      vmIds: vms.map((vm) => vm.id),
      runningIds: vms.filter((vm) => vm.status.process !== undefined).map((vm) => vm.id),
    };
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket(socketPath);
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

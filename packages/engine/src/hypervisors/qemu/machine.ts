import { setTimeout as delay } from 'node:timers/promises';
import { SkerryError } from '@skerry/api';
import type { QmpEvent } from '@skerry/qmp';
import type {
  DiskFault,
  KeptBytes,
  LaunchNic,
  Machine,
  MachineEvent,
  MachineExit,
  MachineInfo,
  StateLayout,
  VmDirs,
  WaitOptions,
} from '../contract.ts';
import { killJailed, watchExit, type JailEnd, type JailHost, type JailProcess } from '../jail/index.ts';
import { setCable } from './cable.ts';
import { cutDisks } from './cut.ts';
import { beginDiskFault, endDiskFault, hasDiskFault } from './disk-fault.ts';
import { machineExit, type Seen } from './exit.ts';
import { Freezer } from './freeze.ts';
import type { LeaseParts } from './lease.ts';
import { lastRun } from './logs.ts';
import { becomeTemplate, MigrationWatch, saveState, takeOver } from './migration.ts';
import { Monitor } from './monitor.ts';
import { vmPaths } from './plan.ts';

const COMMAND_TIMEOUT_MS = 10_000;
/** QEMU ends in some 10 ms; a loaded host needs more. After that SIGKILL loses nothing: its disks are written back. */
const QUIT_TIMEOUT_MS = 2000;
const SIGKILL_TIMEOUT_MS = 5000;
/** The last events may still stand in the socket when the process is gone. */
const LAST_EVENTS_TIMEOUT_MS = 200;

export type MachineDirs = VmDirs & { readonly nics: readonly Pick<LaunchNic, 'socketName'>[] };

export class QemuMachine implements Machine {
  readonly id: string;
  readonly pid: number;
  readonly startTime: string;
  readonly jailPid: number;
  readonly warnings: readonly string[];
  readonly sockets: Machine['sockets'];
  readonly files: Machine['files'];
  readonly exited: Promise<MachineExit>;

  readonly #dir: string;
  readonly #jail: JailHost;
  readonly #cutPath: string;
  readonly #migrations = new MigrationWatch();
  readonly #detached = new AbortController();
  readonly #kept = Promise.withResolvers<void>();
  readonly #listeners = new Set<(event: MachineEvent) => void>();
  readonly #monitor: Monitor;
  readonly #freezer: Freezer;
  #seen: Seen = {};
  #state: 'running' | 'paused' | 'ended';

  private constructor(
    dirs: MachineDirs,
    jail: JailHost,
    process: JailProcess,
    monitor: Monitor,
    state: 'running' | 'paused',
  ) {
    const paths = vmPaths(dirs);
    this.id = dirs.id;
    this.pid = process.pid;
    this.startTime = process.startTime;
    this.jailPid = process.jailPid;
    this.warnings = process.warnings;
    this.sockets = {
      agent: paths.agent,
      console: paths.console,
      nics: dirs.nics.map(({ socketName }) => paths.nic(socketName)),
    };
    this.files = { console: paths.consoleLog, service: paths.serviceLog, stderr: paths.stderrLog };
    this.#dir = dirs.dir;
    this.#jail = jail;
    this.#cutPath = paths.cut;
    this.#monitor = monitor;
    this.#state = state;
    this.#freezer = new Freezer(monitor, () => this.#lease);
    this.exited = this.#watch();
  }

  /** It has become a template: QEMU has ended, and what keeps its memory goes on. */
  get kept(): Promise<void> {
    return this.#kept.promise;
  }

  /** Takes over a QEMU whose monitor may not listen yet. `comesUp`: what it is known to be, and need not be asked. */
  static async connect(
    dirs: MachineDirs,
    process: JailProcess,
    options: {
      readonly jail: JailHost;
      readonly signal?: AbortSignal | undefined;
      readonly timeoutMs: number;
      readonly comesUp?: 'running' | 'paused' | undefined;
    },
  ): Promise<QemuMachine> {
    // What comes before there is a machine must not be lost: a guest may reset within milliseconds.
    const early: QmpEvent[] = [];
    let receive = (event: QmpEvent): void => void early.push(event);
    const monitor = await Monitor.connect(vmPaths(dirs).qmp, (event) => receive(event), options);
    try {
      const state =
        options.comesUp ?? ((await monitor.execute('query-status', {}, options)).running ? 'running' : 'paused');
      const machine = new QemuMachine(dirs, options.jail, process, monitor, state);
      receive = (event) => machine.#receive(event);
      for (const event of early) machine.#receive(event);
      // What has just been started can't have been frozen.
      if (options.comesUp === undefined && state === 'paused') await machine.#freezer.recover();
      return machine;
    } catch (error) {
      monitor.close();
      throw error;
    }
  }

  get version(): string {
    const { major, minor, micro } = this.#monitor.version;
    return `${major}.${minor}.${micro}`;
  }

  state(): 'running' | 'paused' | 'ended' {
    if (this.#state !== 'ended' && this.#freezer.isFrozen) return this.#freezer.isPaused ? 'paused' : 'running';
    return this.#state;
  }

  /**
   * QEMU serves its NICs' sockets and commands in one loop (util/main-loop.c, monitor/qmp.c): when a second command is taken,
   * a whole turn of it lies behind us, in which each socket that had something was read.
   */
  async drain(): Promise<void> {
    const query = () => this.#monitor.execute('query-status', {}, { timeoutMs: COMMAND_TIMEOUT_MS });
    await this.#command('pause', query);
    await this.#command('pause', query);
  }

  async pause(): Promise<void> {
    if (this.#freezer.isFrozen) return await this.#command('pause', () => this.#freezer.pause());
    await this.#command('pause', () => this.#monitor.execute('stop', {}, { timeoutMs: COMMAND_TIMEOUT_MS }));
    if (this.#state === 'running') this.#state = 'paused';
  }

  async resume(): Promise<void> {
    if (this.#freezer.isFrozen) return await this.#command('resume', () => this.#freezer.resume());
    await this.#command('resume', () => this.#monitor.execute('cont', {}, { timeoutMs: COMMAND_TIMEOUT_MS }));
    if (this.#state === 'paused') this.#state = 'running';
  }

  isFrozen(): boolean {
    return this.#state !== 'ended' && this.#freezer.isFrozen;
  }

  async freeze(untilMs: number): Promise<void> {
    await this.#command('freeze', () => this.#freezer.freeze(untilMs, this.state() === 'paused'));
  }

  async thaw(): Promise<void> {
    await this.#command('thaw', () => this.#freezer.thaw());
  }

  async setLink(index: number, isUp: boolean, outUntilMs = 0): Promise<void> {
    await this.#command('plug', () => setCable(this.#faultParts, index, isUp, outUntilMs));
  }

  /** Whether it has not taken over yet what it shall go on from. */
  async isHalfStarted(options: WaitOptions): Promise<boolean> {
    return (
      this.#state === 'paused' && (await this.#monitor.execute('query-status', {}, options)).status === 'inmigrate'
    );
  }

  /**
   * Waits until the memory that it goes on from is there.
   * @param templateFd number of the descriptor of a template's state, which it has to be told of
   * @throws SkerryError `unavailable` when it ended over it; `failed`, `timeout`, `cancelled`
   */
  async incoming(templateFd: number | undefined, options: WaitOptions): Promise<void> {
    await takeOver(this.#parts, templateFd, options);
  }

  async saveState(path: string, options: WaitOptions = {}): Promise<StateLayout> {
    return await this.#command('save', async () => {
      if (this.#state === 'running') {
        throw new SkerryError('wrong-state', 'Memory can not be saved while the virtual machine runs', {
          remedy: 'Pause it first.',
          details: { id: this.id },
        });
      }
      return await saveState(this.#parts, path, options);
    });
  }

  async becomeTemplate(keepPath: string, options: WaitOptions = {}): Promise<KeptBytes> {
    const bytes = await this.#command('freeze', () => becomeTemplate(this.#parts, keepPath, options));
    this.#kept.resolve();
    return bytes;
  }

  async cutDisks(layers: readonly string[], options: WaitOptions = {}): Promise<void> {
    await this.#command('cut', () => cutDisks(this.#parts, layers, options));
  }

  async beginDiskFault(fault: DiskFault, untilMs: number): Promise<void> {
    await this.#command('make fail', () => beginDiskFault(this.#faultParts, fault, untilMs));
  }

  async endDiskFault(kind: DiskFault['kind']): Promise<void> {
    await this.#command('mend', () => endDiskFault(this.#faultParts, kind));
  }

  async hasDiskFault(): Promise<boolean> {
    return await this.#command('ask', () => hasDiskFault(this.#faultParts));
  }

  get #faultParts() {
    return { monitor: this.#monitor, lease: this.#lease };
  }

  get #lease(): LeaseParts {
    const { pid, startTime } = this;
    return { jail: this.#jail, dir: this.#dir, monitorPath: this.#cutPath, pid, startTime };
  }

  get #parts() {
    return {
      monitor: this.#monitor,
      jail: this.#jail,
      cutPath: this.#cutPath,
      exited: this.exited,
      migrations: this.#migrations,
    };
  }

  async kill(): Promise<MachineExit> {
    if (this.#state === 'ended') return await this.exited;
    this.#seen = { ...this.#seen, killedByUs: true };
    // It may end before it answers; only whether it ends counts.
    this.#monitor.execute('quit', {}, { timeoutMs: QUIT_TIMEOUT_MS }).catch(() => undefined);
    const quit = await this.#endedWithin(QUIT_TIMEOUT_MS);
    if (quit !== undefined) return quit;
    await killJailed(this.#dir, { force: true, signal: AbortSignal.timeout(SIGKILL_TIMEOUT_MS) }).catch(
      () => undefined,
    );
    const killed = await this.#endedWithin(SIGKILL_TIMEOUT_MS);
    if (killed !== undefined) return killed;
    throw new SkerryError('timeout', `QEMU (process ${this.pid}) does not end, not even by SIGKILL`, {
      remedy: 'It hangs in the kernel: see `dmesg` for what the host waits for, usually a disk.',
      details: { pid: this.pid },
    });
  }

  onEvent(listener: (event: MachineEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async info(): Promise<MachineInfo> {
    const wait = { timeoutMs: COMMAND_TIMEOUT_MS };
    const [kvm, cpus, memory] = await this.#command('ask', () =>
      Promise.all([
        this.#monitor.execute('query-kvm', {}, wait),
        this.#monitor.execute('query-cpus-fast', {}, wait),
        this.#monitor.execute('query-memory-size-summary', {}, wait),
      ]),
    );
    return {
      driver: 'qemu',
      version: this.version,
      accelerator: kvm.enabled ? 'kvm' : 'tcg',
      cpus: cpus.length,
      memoryMib: memory['base-memory'] / 2 ** 20,
    };
  }

  detach(): void {
    this.#detached.abort();
    this.#monitor.close();
    this.#listeners.clear();
  }

  async #command<T>(verb: string, act: () => Promise<T>): Promise<T> {
    const gone = (cause?: unknown) =>
      new SkerryError('wrong-state', `Nothing to ${verb}: the virtual machine has ended`, {
        remedy: 'Start it first.',
        details: { id: this.id },
        cause,
      });
    if (this.#state === 'ended') throw gone();
    try {
      return await act();
    } catch (error) {
      // It ended under the command: say that, instead of a broken connection.
      if (
        error instanceof SkerryError &&
        error.code === 'unavailable' &&
        (await this.#endedWithin(1000)) !== undefined
      ) {
        throw gone(error);
      }
      throw error;
    }
  }

  async #endedWithin(timeoutMs: number): Promise<MachineExit | undefined> {
    const timer = new AbortController();
    try {
      const late = delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
      return await Promise.race([this.exited, late]);
    } finally {
      timer.abort();
    }
  }

  /** Never rejects: a watch that fails is a VM whose end nobody knows more of. */
  async #watch(): Promise<MachineExit> {
    const end = await watchExit(this.#dir, this.#detached.signal).catch((): JailEnd => ({
      cause: 'supervisor-killed',
    }));
    if (this.#detached.signal.aborted) return await new Promise<never>(() => {});
    await Promise.race([this.#monitor.closed, delay(LAST_EVENTS_TIMEOUT_MS)]);
    const exit = machineExit(end, this.#seen, await lastRun(this.files.console).catch(() => ''), Date.now());
    this.#state = 'ended';
    this.#monitor.close();
    return exit;
  }

  #receive(event: QmpEvent): void {
    const { atMs } = event;
    this.#migrations.receive(event);
    switch (event.event) {
      case 'STOP':
        this.#state = 'paused';
        this.#tell({ kind: 'paused', atMs });
        return;
      case 'RESUME':
        this.#state = 'running';
        this.#freezer.ended();
        this.#tell({ kind: 'resumed', atMs });
        return;
      case 'GUEST_PANICKED':
        this.#seen = { ...this.#seen, panicked: true };
        this.#tell({ kind: 'panicked', atMs });
        return;
      case 'SHUTDOWN':
        this.#seen = { ...this.#seen, cause: event.data.reason };
        this.#tell({ kind: 'shutting-down', atMs, cause: event.data.reason });
        return;
      default:
    }
  }

  #tell(event: MachineEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

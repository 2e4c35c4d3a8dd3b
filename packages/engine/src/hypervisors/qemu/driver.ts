import { SkerryError } from '@skerry/api';
import { findVirtiofsd, run } from '../../hosts/index.ts';
import type {
  Adoption,
  Driver,
  DriverCapabilities,
  Isolation,
  Machine,
  StartOptions,
  VmLaunch,
  WaitOptions,
} from '../contract.ts';
import {
  describeEnd,
  inspectJail,
  killJailed,
  launchJail,
  watchExit,
  type JailEnd,
  type JailHost,
  type JailProcess,
  type JailSpec,
  type SpareJail,
} from '../jail/index.ts';
import type { Policies } from '../policies/index.ts';
import { MAX_MICROVM_DEVICES, MAX_Q35_DEVICES, qemuPlan } from './args.ts';
import { machineExit } from './exit.ts';
import { qemuFeatures, type QemuFeatures } from './features.ts';
import { fingerprint } from './fingerprint.ts';
import { lastRun, markRun } from './logs.ts';
import { QemuMachine, type MachineDirs } from './machine.ts';
import { vmPaths, type QemuPlan } from './plan.ts';
import { hasVirtiofs, virtiofsdCommand } from './share-plan.ts';

const START_TIMEOUT_MS = 20_000;
const ADOPT_TIMEOUT_MS = 5000;
const PROBE_TIMEOUT_MS = 10_000;
/** After a failure: how long an ending process may take to tell why, and a killed one to be gone. */
const END_TIMEOUT_MS = 3000;
const STDERR_CAP_BYTES = 64 * 1024;
const MIN_VERSION = { major: 7, minor: 2 };
const INSTALL =
  'Install QEMU 7.2 or newer: apt-get install qemu-system-x86 (Debian, Ubuntu) or qemu-system-x86-core (Fedora).';

export interface QemuDriverOptions {
  /** From `findJailHost()`. */
  readonly jail: JailHost;
  /** Default `qemu-system-x86_64`. */
  readonly binary?: string | undefined;
  /** Of the kernel, for each VM; without, none has one. */
  readonly policies?: Policies | undefined;
  /** Saves a start the fork. */
  readonly spare?: SpareJail | undefined;
}

export function createQemuDriver(given: QemuDriverOptions): Driver {
  const { jail, binary = 'qemu-system-x86_64', policies } = given;
  return {
    name: 'qemu',
    capabilities: () => CAPABILITIES,
    probe: (options) => probe(binary, options),
    fingerprint: (launch) => fingerprint(launch, binary),
    start: (launch, options) => start(launch, { ...given, binary }, options),
    async adopt(dirs, options) {
      const found = await adopt(dirs, jail, options);
      if (found.state === 'alive') void found.machine.exited.then(() => policies?.release(dirs));
      else if (found.state === 'ended') void policies?.release(dirs);
      return found;
    },
  };
}

const CAPABILITIES: DriverCapabilities = {
  machines: ['microvm', 'q35'],
  pause: true,
  adopt: true,
  maxCpus: 64,
  maxDevices: { microvm: MAX_MICROVM_DEVICES, q35: MAX_Q35_DEVICES },
};

async function probe(binary: string, options: WaitOptions = {}): Promise<{ version: string; binary: string }> {
  const { timeoutMs = PROBE_TIMEOUT_MS, signal } = options;
  const result = await run([binary, '--version'], { timeoutMs, ...(signal === undefined ? {} : { signal }) }).catch(
    (error: unknown) => {
      throw notInstalled(error, binary) ?? error;
    },
  );
  const [, version = '', major = '0', minor = '0'] = /version ((\d+)\.(\d+)[.\d]*)/.exec(result.stdout) ?? [];
  requireVersion(Number(major), Number(minor), version);
  return { version, binary };
}

async function start(
  launch: VmLaunch,
  { jail, binary, spare, policies }: QemuDriverOptions & { readonly binary: string },
  options: StartOptions = {},
): Promise<Machine> {
  const { signal, onPhase, timeoutMs = START_TIMEOUT_MS } = options;
  requireNotAborted(signal);
  const startedMs = performance.now();
  const features = await qemuFeatures(binary).catch((error: unknown) => {
    throw notInstalled(error, binary) ?? error;
  });
  requireLayout(launch, features);
  const plan = qemuPlan(launch, { binary, features });
  await markRun(vmPaths(launch).consoleLog, Date.now());
  const server = hasVirtiofs(launch.shares) ? virtiofsdCommand(await findVirtiofsd()) : undefined;
  const spec = jailSpec(launch, plan, server);
  const allowed = policies === undefined ? spec : await policies.prepare(launch, spec, signal);
  const process = await launchJail(allowed, jail, { signal, spare }).catch((error: unknown) => {
    releaseAtEnd(launch, allowed, policies);
    throw notInstalled(error, binary) ?? error;
  });
  const spawnedMs = performance.now();
  onPhase?.('spawn', spawnedMs - startedMs);
  try {
    const leftMs = Math.max(1, timeoutMs - (spawnedMs - startedMs));
    const machine = await QemuMachine.connect(launch, process, {
      jail,
      signal,
      timeoutMs: leftMs,
      comesUp: comesUp(launch),
    });
    const [major, minor] = machine.version.split('.').map(Number);
    try {
      requireVersion(major ?? 0, minor ?? 0, machine.version);
    } catch (error) {
      machine.detach();
      throw error;
    }
    void Promise.race([machine.exited, machine.kept]).then(() => policies?.release(launch, allowed));
    const answeredMs = performance.now();
    onPhase?.('qmp', answeredMs - spawnedMs);
    if (!goesOn(launch)) return machine;
    try {
      const leftForIt = Math.max(1, timeoutMs - (answeredMs - startedMs));
      await machine.incoming(process.fds['devices'], { signal, timeoutMs: leftForIt });
    } catch (error) {
      machine.detach();
      throw error;
    }
    onPhase?.('incoming', performance.now() - answeredMs);
    return machine;
  } catch (error) {
    releaseAtEnd(launch, allowed, policies);
    throw await takenBack(launch, process, error);
  }
}

/** What failed to start may have an end to come; or the directory's process is another, which keeps its profile. */
function releaseAtEnd(launch: VmLaunch, spec: JailSpec, policies: Policies | undefined): void {
  if (policies === undefined || spec.policy === undefined) return;
  void watchExit(launch.dir).then(
    () => policies.release(launch, spec),
    () => policies.release(launch, spec),
  );
}

/** Whether it has memory to go on from, instead of booting. */
function goesOn({ origin }: VmLaunch): boolean {
  return origin !== undefined && (origin.kind !== 'template' || origin.statePath !== undefined);
}

/** What goes on from memory stands still until it has taken that over; an event tells if it runs then. */
function comesUp(launch: VmLaunch): 'running' | 'paused' {
  return goesOn(launch) ? 'paused' : 'running';
}

/** Ends what was started, and makes the error say why QEMU ended, if it did so by itself. */
async function takenBack(launch: VmLaunch, process: JailProcess, error: unknown): Promise<unknown> {
  const lost = error instanceof SkerryError && error.code === 'unavailable';
  const byItself = lost
    ? await watchExit(launch.dir, AbortSignal.timeout(END_TIMEOUT_MS)).catch(() => undefined)
    : undefined;
  if (byItself !== undefined) return refusedToRun(byItself, launch, error);
  try {
    await killJailed(launch.dir, { force: true, signal: AbortSignal.timeout(END_TIMEOUT_MS) });
    return error;
  } catch (cause) {
    return new SkerryError('failed', `QEMU (process ${process.pid}) was started, failed, and does not end`, {
      remedy: `Look at what it waits for (/proc/${process.pid}/stack) and end it.`,
      details: { pid: process.pid },
      cause: new AggregateError([error, cause]),
    });
  }
}

function refusedToRun(end: JailEnd, launch: VmLaunch, cause: unknown): SkerryError {
  const stderr = end.cause === 'exit' ? end.exit.stderrTail : '';
  return new SkerryError('failed', `QEMU did not run: ${describeEnd(end)}`, {
    remedy: `Its whole output is in ${vmPaths(launch).stderrLog}; \`skerry host doctor\` shows what this host lacks.`,
    details: { id: launch.id, stderr },
    cause,
  });
}

async function adopt(dirs: MachineDirs, jail: JailHost, options: WaitOptions = {}): Promise<Adoption> {
  const { signal, timeoutMs = ADOPT_TIMEOUT_MS } = options;
  requireNotAborted(signal);
  const found = await inspectJail(dirs.dir);
  if (found.state === 'absent') return { state: 'absent' };
  if (found.state === 'ended') return { state: 'ended', exit: await unseenExit(dirs, found.end) };
  try {
    const machine = await QemuMachine.connect(dirs, found.process, { jail, signal, timeoutMs });
    if (!(await machine.isHalfStarted({ signal, timeoutMs }))) return { state: 'alive', machine };
    // Nobody is left who would tell it what to go on from; its guest has not run.
    return { state: 'ended', exit: await machine.kill() };
  } catch (error) {
    if (!(error instanceof SkerryError) || error.code !== 'unavailable') throw error;
    // It may be ending right now: then its end is the answer, not the broken connection.
    const end = await watchExit(dirs.dir, AbortSignal.timeout(END_TIMEOUT_MS)).catch(() => undefined);
    if (end === undefined) throw error;
    return { state: 'ended', exit: await unseenExit(dirs, end) };
  }
}

async function unseenExit(dirs: MachineDirs, end: JailEnd) {
  return machineExit(end, {}, await lastRun(vmPaths(dirs).consoleLog), Date.now());
}

function jailSpec(launch: VmLaunch, plan: QemuPlan, server: JailSpec['server']): JailSpec {
  return {
    dir: launch.dir,
    command: plan.argv,
    ...confinement(launch.isolation),
    // Translated code lies where QEMU asks for huge pages: 1.7 MiB of each small VM would be room that it does not use.
    ...(launch.accelerator === 'tcg' ? { hugePages: false } : {}),
    listen: Object.fromEntries(plan.listen.map(({ name, path }) => [name, path])),
    open: Object.fromEntries(plan.open.map(({ name, path, mode }) => [name, { path, mode }])),
    taps: plan.taps,
    share: Object.fromEntries(plan.share.map(({ name, path, readonly }) => [name, { path, readonly }])),
    served: Object.fromEntries(plan.served.map(({ name, path, readonly }) => [name, { path, readonly }])),
    server,
    objects: plan.objects,
    take: plan.take,
    ...(plan.keepPath === undefined ? {} : { keepPath: plan.keepPath }),
    log: { path: vmPaths(launch).stderrLog, capBytes: STDERR_CAP_BYTES },
  };
}

function confinement(isolation: Isolation): Pick<JailSpec, 'owner' | 'group' | 'rlimits' | 'nice'> {
  const { uid, gid = uid, groups = [], cgroup, memoryMaxBytes, pidsMax, cpuMaxPercent, rlimits, nice } = isolation;
  return {
    ...(uid === undefined || gid === undefined ? {} : { owner: { uid, gid, groups } }),
    ...(cgroup === undefined ? {} : { group: { name: cgroup, memoryMaxBytes, pidsMax, cpuMaxPercent } }),
    ...(rlimits === undefined ? {} : { rlimits }),
    ...(nice === undefined ? {} : { nice }),
  };
}

function requireNotAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new SkerryError('cancelled', 'Cancelled', { cause: signal.reason });
}

function requireLayout({ origin }: VmLaunch, { mappedRam }: QemuFeatures): void {
  if (origin === undefined || origin.kind === 'clone' || origin.layout !== 'mapped' || mappedRam) return;
  throw new SkerryError(
    'unsupported',
    'Its memory was saved by QEMU 9.0 or newer, and the QEMU of this host is older',
    {
      remedy: 'Install the QEMU that it was saved by, or give its memory up: `skerry start VM --discard-memory`.',
    },
  );
}

function requireVersion(major: number, minor: number, version: string): void {
  if (major > MIN_VERSION.major || (major === MIN_VERSION.major && minor >= MIN_VERSION.minor)) return;
  throw new SkerryError('unsupported', `QEMU ${version === '' ? 'of an unknown version' : version} is too old`, {
    remedy: INSTALL,
    details: { version },
  });
}

/** The error of a command that is not there, with the package that brings it. */
function notInstalled(error: unknown, binary: string): SkerryError | undefined {
  if (!(error instanceof SkerryError) || error.code !== 'unsupported') return undefined;
  // vmjail or systemd-run may be missing as well.
  if (error.details?.['step'] !== 'exec' && error.details?.['command'] !== binary) return undefined;
  return new SkerryError('unsupported', 'QEMU is not installed on this host', {
    remedy: INSTALL,
    details: error.details,
    cause: error,
  });
}

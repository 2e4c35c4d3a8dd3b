import { rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SkerryError } from '@skerry/api';
import type { QmpCommands, QmpEvent } from '@skerry/qmp';
import type { KeptBytes, MachineExit, StateLayout, WaitOptions } from '../contract.ts';
import { handOver, waitSealed, type Handed, type JailHost } from '../jail/index.ts';
import type { Monitor } from './monitor.ts';

/** Memory and devices of a machine, written to a file or left with its supervisor: QEMU calls both a migration. */

export interface MachineParts {
  readonly monitor: Monitor;
  readonly jail: JailHost;
  /** Socket of the monitor that takes descriptors. */
  readonly cutPath: string;
  readonly exited: Promise<MachineExit>;
  readonly migrations: MigrationWatch;
}

const COMMAND_TIMEOUT_MS = 10_000;
const SAVE_TIMEOUT_MS = 600_000;
const SEAL_TIMEOUT_MS = 10_000;
const CANCEL_TIMEOUT_MS = 10_000;
/** No limit: into memory or a file there is no network to be kind to. Bytes a second. */
const MAX_BANDWIDTH = 2 ** 40;

const IGNORE_SHARED = { capability: 'x-ignore-shared', state: true } as const;
/** The file shall hold all of the memory, also what a clone has in common with its template. */
const WHOLE = { capability: 'x-ignore-shared', state: false } as const;

type Capability = QmpCommands['migrate-set-capabilities']['arguments']['capabilities'][number];

/** Since 9.0; the types are of the schema of 7.2. */
const MAPPED_RAM = { capability: 'mapped-ram', state: true } as unknown as Capability;

const ENDS = ['completed', 'failed', 'cancelled'] as const;
type Ended = (typeof ENDS)[number];

/** Hears of the ends of migrations, which QEMU tells as events (capability `events`). */
export class MigrationWatch {
  readonly #waiting = new Set<(ended: Ended) => void>();

  receive(event: QmpEvent): void {
    if (event.event !== 'MIGRATION') return;
    const status = ENDS.find((end) => end === event.data.status);
    if (status === undefined) return;
    for (const tell of this.#waiting) tell(status);
    this.#waiting.clear();
  }

  /** The next end that is told. Listens at once, so that none between the command and its answer is missed. */
  next(): { readonly ended: Promise<Ended>; forget(): void } {
    let tell: (ended: Ended) => void = () => {};
    const ended = new Promise<Ended>((resolve) => (tell = resolve));
    this.#waiting.add(tell);
    return { ended, forget: () => void this.#waiting.delete(tell) };
  }
}

/** @param templateFd of a template's state; otherwise it comes from the command line */
export async function takeOver(
  parts: MachineParts,
  templateFd: number | undefined,
  options: WaitOptions,
): Promise<void> {
  const { monitor, migrations } = parts;
  const wait = { timeoutMs: COMMAND_TIMEOUT_MS, ...options };
  const next = migrations.next();
  try {
    if (templateFd === undefined) {
      // It began with the process, and may have ended before we were connected.
      if ((await monitor.execute('query-migrate', {}, wait)).status === 'completed') return;
    } else {
      // In one go: QEMU carries them out in order.
      await Promise.all([
        monitor.execute('migrate-set-capabilities', { capabilities: [IGNORE_SHARED] }, wait),
        monitor.execute('migrate-incoming', { uri: `fd:${templateFd}` }, wait),
      ]);
    }
    await settled(parts, next.ended, options, 'take over its memory');
  } finally {
    next.forget();
  }
}

/** When it throws there is no file, and QEMU writes no more. */
export async function saveState(parts: MachineParts, path: string, options: WaitOptions): Promise<StateLayout> {
  if ((await stat(path).catch(() => undefined)) !== undefined) {
    throw new SkerryError('in-use', `${path} is there already`, { remedy: 'Remove it, or choose another name.' });
  }
  try {
    if (!(await knowsMappedRam(parts.monitor, options))) {
      await migrate(parts, { name: 'state', path, mode: 'new' }, [WHOLE], options);
      return 'stream';
    }
    const set = await freeSet(parts.monitor, options);
    try {
      await migrate(parts, { set, path, mode: 'new' }, [WHOLE, MAPPED_RAM], options);
      return 'mapped';
    } finally {
      await parts.monitor.execute('remove-fd', { 'fdset-id': set }, { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => {});
    }
  } catch (error) {
    const isFull = await hasNoRoom(dirname(path));
    await rm(path, { force: true });
    throw isFull && error instanceof SkerryError && error.code === 'failed' ? noRoom(error.message, error) : error;
  }
}

async function knowsMappedRam(monitor: Monitor, { signal }: WaitOptions): Promise<boolean> {
  const known = await monitor.execute('query-migrate-capabilities', {}, { timeoutMs: COMMAND_TIMEOUT_MS, signal });
  return known.some(({ capability }) => capability === MAPPED_RAM.capability);
}

/** Never one that is there, with another file in it. */
async function freeSet(monitor: Monitor, { signal }: WaitOptions): Promise<number> {
  const sets = await monitor.execute('query-fdsets', {}, { timeoutMs: COMMAND_TIMEOUT_MS, signal });
  return Math.max(0, ...sets.map((set) => set['fdset-id'])) + 1;
}

/** QEMU tells of its failure before it has the reason: the file system knows, as long as the file is there. */
async function hasNoRoom(dir: string): Promise<boolean> {
  const room = await statfs(dir).catch(() => undefined);
  return room !== undefined && room.bavail * room.bsize < 64 * 1024;
}

function noRoom(message: string, cause?: unknown): SkerryError {
  return new SkerryError('no-space', message, {
    remedy: 'Free room for as much as the memory of the VM: see `skerry host info`, and what can be deleted.',
    cause,
  });
}

/** @param keepPath where its supervisor hands out its objects */
export async function becomeTemplate(parts: MachineParts, keepPath: string, options: WaitOptions): Promise<KeptBytes> {
  // One that goes on from a saved state may have it on.
  const stream = (await knowsMappedRam(parts.monitor, options)) ? [{ ...MAPPED_RAM, state: false }] : [];
  const to = { name: 'state', kept: { keepPath, object: 'devices' } };
  await migrate(parts, to, [IGNORE_SHARED, ...stream], options);
  const quit = (): void => {
    // It may end before it answers.
    parts.monitor.execute('quit', {}, { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => undefined);
  };
  const { memory = 0, devices = 0 } = await waitSealed(keepPath, quit, {
    timeoutMs: SEAL_TIMEOUT_MS,
    signal: options.signal,
  });
  return { memoryBytes: memory, stateBytes: devices };
}

async function migrate(
  parts: MachineParts,
  to: Handed,
  capabilities: readonly Capability[],
  options: WaitOptions,
): Promise<void> {
  const { monitor, jail, cutPath, migrations } = parts;
  const wait = { timeoutMs: COMMAND_TIMEOUT_MS, signal: options.signal };
  await Promise.all([
    monitor.execute(
      'migrate-set-capabilities',
      { capabilities: [...capabilities, { capability: 'events', state: true }] },
      wait,
    ),
    monitor.execute('migrate-set-parameters', { 'max-bandwidth': MAX_BANDWIDTH }, wait),
  ]);
  const next = migrations.next();
  try {
    // Read as a path, a set's descriptor has to be told of as one: `fd:` is for what can not be sought in (since 9.1).
    const uri = 'set' in to ? `file:/dev/fdset/${to.set}` : `fd:${to.name}`;
    const command = { execute: 'migrate', arguments: { uri } };
    await handOver(jail, cutPath, [to], [command], { signal: options.signal });
    await settled(parts, next.ended, options, 'write its memory');
  } catch (error) {
    const ended = await stop(parts, next.ended, 'set' in to ? undefined : to.name).catch(() => undefined); // QEMU has ended, then
    // Too late to be cancelled. QEMU would refuse to write it once more before the guest has run on.
    if (ended !== 'completed') throw stillShared(error) ?? error;
  } finally {
    next.forget();
  }
  await finalized(monitor);
}

/** A guest's root may mount what it was not asked to: QEMU then writes no memory (hw/9pfs/9p.c, v9fs_attach). */
function stillShared(error: unknown): SkerryError | undefined {
  const [, tag] = /VirtFS export path .* mount_tag '(\w+)'/.exec(SkerryError.from(error).message) ?? [];
  if (tag === undefined) return undefined;
  return new SkerryError('in-use', `The guest has the shared directory ${tag} mounted at a place of its own`, {
    remedy: `Unmount it there: \`mount -t 9p\` in the guest shows where ${tag} is.`,
    details: { tag },
    cause: error,
  });
}

/**
 * The end is told by the thread that writes, a moment before it has set the state: `cont` is refused until then ("Migration
 * is not finalized yet", QEMU 7.2, monitor/qmp-cmds.c), and nothing tells of that.
 */
async function finalized(monitor: Monitor): Promise<void> {
  const deadlineMs = performance.now() + COMMAND_TIMEOUT_MS;
  for (;;) {
    const { status } = await monitor.execute('query-status', {}, { timeoutMs: COMMAND_TIMEOUT_MS });
    if (status !== 'finish-migrate' || performance.now() > deadlineMs) return;
    await delay(1);
  }
}

/**
 * Ends what may be under way, so that neither its file grows nor its end is taken for that of the next.
 * @returns how it ended, if it had begun
 */
async function stop(
  parts: MachineParts,
  ended: Promise<Ended>,
  fdname: string | undefined,
): Promise<Ended | undefined> {
  const { monitor, jail, cutPath, exited } = parts;
  const wait = { timeoutMs: COMMAND_TIMEOUT_MS };
  // A descriptor that nothing has used would hold the room of its file. Most often there is none, which is an error.
  const closing = { execute: 'closefd', arguments: { fdname } };
  if (fdname !== undefined) await handOver(jail, cutPath, [], [closing]).catch(() => undefined);
  await monitor.execute('migrate_cancel', {}, wait);
  const { status = 'none' } = await monitor.execute('query-migrate', {}, wait);
  const late = new AbortController();
  try {
    // What has ended was told before the answer; one that was never begun is told of no more.
    const underWay = status !== 'none' && !ENDS.some((end) => end === status);
    const timeoutMs = underWay ? CANCEL_TIMEOUT_MS : 0;
    const nothing = delay(timeoutMs, undefined, { signal: late.signal }).catch(() => undefined);
    const how = await Promise.race([ended, exited, nothing]);
    return typeof how === 'string' ? how : undefined;
  } finally {
    late.abort();
  }
}

async function settled(
  { monitor, exited }: MachineParts,
  ended: Promise<Ended>,
  { signal, timeoutMs = SAVE_TIMEOUT_MS }: WaitOptions,
  verb: string,
): Promise<void> {
  const late = AbortSignal.timeout(Math.ceil(timeoutMs));
  const stop = signal === undefined ? late : AbortSignal.any([late, signal]);
  const listening = new AbortController();
  const aborted = new Promise<'aborted'>((resolve) => {
    stop.addEventListener('abort', () => resolve('aborted'), { once: true, signal: listening.signal });
    if (stop.aborted) resolve('aborted');
  });
  try {
    const how = await Promise.race([ended, aborted, exited]);
    if (how === 'completed') return;
    if (how === 'aborted' && signal?.aborted === true) {
      throw new SkerryError('cancelled', `Cancelled before the VM could ${verb}`, { cause: signal.reason });
    }
    if (how === 'aborted') {
      throw new SkerryError('timeout', `The VM could not ${verb} within ${timeoutMs} ms`, {
        remedy: 'Try again when the host, and its disk, are less busy.',
      });
    }
    if (typeof how === 'object') {
      throw new SkerryError('unavailable', `The VM ended before it could ${verb}: ${how.reason}`, {
        remedy: 'See `skerry info`, then start it again.',
      });
    }
    throw await failure(monitor, verb);
  } finally {
    listening.abort();
  }
}

/** QEMU tells why in words alone: of strerror(3), in the C locale. */
async function failure(monitor: Monitor, verb: string): Promise<SkerryError> {
  const { 'error-desc': why = 'QEMU does not say why' } = await monitor
    .execute('query-migrate', {}, { timeoutMs: COMMAND_TIMEOUT_MS })
    .catch(() => ({ 'error-desc': undefined }));
  const message = `The VM could not ${verb}: ${why}`;
  if (/No space left on device|Disk quota exceeded/.test(why)) return noRoom(message);
  return new SkerryError('failed', message, {
    remedy: "The last part is QEMU's own message; `skerry daemon logs` has more.",
  });
}

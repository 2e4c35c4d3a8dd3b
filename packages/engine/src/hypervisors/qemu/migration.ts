import { SkerryError } from '@skerry/api';
import type { QmpEvent } from '@skerry/qmp';
import type { KeptBytes, MachineExit, WaitOptions } from '../contract.ts';
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
/** No limit: into memory or a file there is no network to be kind to. Bytes a second. */
const MAX_BANDWIDTH = 2 ** 40;

const IGNORE_SHARED = { capability: 'x-ignore-shared', state: true } as const;

type Ended = 'completed' | 'failed' | 'cancelled';

/** Hears of the ends of migrations, which QEMU tells as events (capability `events`). */
export class MigrationWatch {
  readonly #waiting = new Set<(ended: Ended) => void>();

  receive(event: QmpEvent): void {
    if (event.event !== 'MIGRATION') return;
    const { status } = event.data;
    if (status !== 'completed' && status !== 'failed' && status !== 'cancelled') return;
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
  const { monitor, migrations, exited } = parts;
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
    await settled(next.ended, exited, options, 'take over its memory');
  } finally {
    next.forget();
  }
}

export async function saveState(parts: MachineParts, path: string, options: WaitOptions): Promise<void> {
  // Off: the file shall hold all of the memory, also what a clone has in common with its template.
  await migrate(parts, { name: 'state', path, mode: 'new' }, false, { timeoutMs: SAVE_TIMEOUT_MS, ...options });
}

/** @param keepPath where its supervisor hands out its objects */
export async function becomeTemplate(parts: MachineParts, keepPath: string, options: WaitOptions): Promise<KeptBytes> {
  await migrate(parts, { name: 'state', kept: { keepPath, object: 'devices' } }, true, options);
  // It may end before it answers.
  parts.monitor.execute('quit', {}, { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => undefined);
  const { memory = 0, devices = 0 } = await waitSealed(keepPath, {
    timeoutMs: SEAL_TIMEOUT_MS,
    signal: options.signal,
  });
  return { memoryBytes: memory, stateBytes: devices };
}

async function migrate(
  parts: MachineParts,
  to: Handed & { readonly name: string },
  ignoresShared: boolean,
  options: WaitOptions,
): Promise<void> {
  const { monitor, jail, cutPath, migrations, exited } = parts;
  const wait = { timeoutMs: COMMAND_TIMEOUT_MS, signal: options.signal };
  await monitor.execute(
    'migrate-set-capabilities',
    {
      capabilities: [
        { capability: 'x-ignore-shared', state: ignoresShared },
        { capability: 'events', state: true },
      ],
    },
    wait,
  );
  await monitor.execute('migrate-set-parameters', { 'max-bandwidth': MAX_BANDWIDTH }, wait);
  const next = migrations.next();
  try {
    const command = { execute: 'migrate', arguments: { uri: `fd:${to.name}` } };
    await handOver(jail, cutPath, [to], [command], { signal: options.signal });
    await settled(next.ended, exited, options, 'write its memory');
  } catch (error) {
    await monitor.execute('migrate_cancel', {}, { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => undefined);
    throw error;
  } finally {
    next.forget();
  }
}

async function settled(
  ended: Promise<Ended>,
  exited: Promise<MachineExit>,
  { signal, timeoutMs = SAVE_TIMEOUT_MS }: WaitOptions,
  verb: string,
): Promise<void> {
  const late = AbortSignal.timeout(Math.ceil(timeoutMs));
  const stop = signal === undefined ? late : AbortSignal.any([late, signal]);
  const stopped = new AbortController();
  const aborted = new Promise<'aborted'>((resolve) =>
    stop.addEventListener('abort', () => resolve('aborted'), { once: true, signal: stopped.signal }),
  );
  try {
    const how = await Promise.race([ended, aborted, exited]);
    if (how === 'completed') return;
    if (how === 'aborted') {
      throw new SkerryError(late.aborted ? 'timeout' : 'cancelled', `The VM did not ${verb} in time`, {
        remedy: 'Try again when the host is less busy.',
        cause: signal?.reason,
      });
    }
    if (typeof how === 'object') {
      throw new SkerryError('unavailable', `The VM ended before it could ${verb}: ${how.reason}`);
    }
    throw new SkerryError('failed', `QEMU could not ${verb}`, {
      remedy: 'Room in memory or on disk may be short: see `skerry host info` and `skerry daemon logs`.',
    });
  } finally {
    stopped.abort();
  }
}

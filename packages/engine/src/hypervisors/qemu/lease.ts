import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { handOver, inspectJail, killJailed, launchJail, type JailHost } from '../jail/index.ts';

/**
 * What ends by itself, whoever lives: a process beside QEMU waits for the time, or for QEMU's end, and then takes back over
 * QMP what was done (native/vmjail/lease.c). It knows nothing of us, and is found again by its directory.
 */

export interface LeaseParts {
  readonly jail: JailHost;
  /** The VM's. */
  readonly dir: string;
  /** Socket of the monitor that it talks to. */
  readonly monitorPath: string;
  readonly pid: number;
  readonly startTime: string;
}

const LOG_BYTES = 16 * 1024;

/** Each has two places: one that is replaced ends after the other has begun, so that what was done always has an end. */
const PLACES = ['a', 'b'] as const;
type Place = (typeof PLACES)[number];

/** Begins to wait; in place of one of that name. @param forMs undefined: for as long as QEMU lives */
export async function armLease(
  parts: LeaseParts,
  name: string,
  forMs: number | undefined,
  commands: readonly object[],
): Promise<void> {
  const [place, before] = (await isArmed(parts, name, 'a')) ? (['b', 'a'] as const) : (['a', 'b'] as const);
  await endAt(parts, name, place);
  const dir = leaseDir(parts, name, place);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const { jail, pid, startTime, monitorPath } = parts;
  const ms = forMs === undefined ? -1 : Math.max(1, Math.round(forMs));
  await launchJail(
    {
      dir,
      command: [
        jail.vmjailPath,
        ...['--lease', String(ms), `${pid}:${startTime}`, monitorPath, '--'],
        ...commands.map((command) => JSON.stringify(command)),
      ],
      log: { path: join(dir, 'log'), capBytes: LOG_BYTES },
    },
    jail,
  );
  await endAt(parts, name, before);
}

/** It takes nothing back any more. When it was about to, it has done so when this resolves. */
export async function endLease(parts: LeaseParts, name: string): Promise<void> {
  for (const place of PLACES) await endAt(parts, name, place);
}

export async function hasLease(parts: LeaseParts, name: string): Promise<boolean> {
  return (await isArmed(parts, name, 'a')) || (await isArmed(parts, name, 'b'));
}

async function endAt(parts: LeaseParts, name: string, place: Place): Promise<void> {
  if (!(await isArmed(parts, name, place))) return;
  await killJailed(leaseDir(parts, name, place), { force: true });
  // What it has sent may still be unread. QEMU serves one connection after the other here: it is done when this is.
  await handOver(parts.jail, parts.monitorPath, [], [{ execute: 'query-version' }]);
}

async function isArmed(parts: LeaseParts, name: string, place: Place): Promise<boolean> {
  return (await inspectJail(leaseDir(parts, name, place))).state === 'running';
}

function leaseDir({ dir }: LeaseParts, name: string, place: Place): string {
  return join(dir, 'leases', `${name}.${place}`);
}

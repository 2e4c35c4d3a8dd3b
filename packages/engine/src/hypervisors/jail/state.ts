import { close, constants, open, read } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SkerryError } from '@skerry/api';

/** A jailed process. A pid is only ever used with its start time (field 22 of /proc/PID/stat). */
export interface JailProcess {
  readonly pid: number;
  readonly startTime: string;
  /** vmjail itself. */
  readonly jailPid: number;
  readonly jailStartTime: string;
  readonly bootId: string;
  readonly startedAtMs: number;
  /** Numbers that objects taken from another supervisor have in the process, by name. */
  readonly fds: Readonly<Record<string, number>>;
  /** What of the confinement could not be had. */
  readonly warnings: readonly string[];
}

/** How the process ended: `exit.json`. */
export interface JailExit {
  readonly pid: number;
  readonly startTime: string;
  readonly code: number | null;
  readonly signal: string | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly maxRssKib: number;
  /** The last 2 KiB of its output. */
  readonly stderrTail: string;
  /** The kernel has killed it, because its control group had reached its limit. */
  readonly ranOutOfMemory?: boolean | undefined;
}

export type JailEnd =
  | { readonly cause: 'exit'; readonly exit: JailExit }
  /** vmjail died before it could write exit.json, and the kernel killed the VM with it. */
  | { readonly cause: 'supervisor-killed' }
  | { readonly cause: 'host-restarted' };

export type JailState =
  | { readonly state: 'absent' }
  | { readonly state: 'running'; readonly process: JailProcess }
  | { readonly state: 'ended'; readonly end: JailEnd };

/** The process that DIR/pid names, whether it still lives or not; undefined if there is no (readable) file. */
export async function readPid(dir: string): Promise<JailProcess | undefined> {
  return parsePid(await readJson(join(dir, 'pid')));
}

/** The ready line of vmjail, which is also DIR/pid, as a JailProcess; undefined if it is not one. */
export function parsePid(value: unknown): JailProcess | undefined {
  const { pid, startTime, jailPid, jailStartTime, bootId, startedAt, warnings, fds } = value as Record<string, unknown>;
  if (!isPid(pid) || !isPid(jailPid) || typeof startTime !== 'string' || typeof jailStartTime !== 'string')
    return undefined;
  if (typeof bootId !== 'string' || typeof startedAt !== 'number' || !Array.isArray(warnings)) return undefined;
  return {
    pid,
    startTime,
    jailPid,
    jailStartTime,
    bootId,
    startedAtMs: startedAt,
    warnings: warnings.map(String),
    fds: (fds ?? {}) as Record<string, number>,
  };
}

/**
 * How the last run in DIR ended; undefined while it runs, or if nothing was written.
 * @throws SkerryError `unsupported` when a newer Skerry wrote it
 */
export async function readExit(dir: string): Promise<JailExit | undefined> {
  const value = await readJson(join(dir, 'exit.json'));
  const { version, pid, startTime, code, signal, startedAt, endedAt, maxRssKib, stderrTail, ranOutOfMemory } = value;
  if (typeof version === 'number' && version > 1) {
    throw new SkerryError('unsupported', `${join(dir, 'exit.json')} has version ${version}; this Skerry knows 1`, {
      remedy: 'A newer Skerry wrote it: upgrade this one.',
    });
  }
  if (!isPid(pid) || typeof startTime !== 'string' || typeof startedAt !== 'number' || typeof endedAt !== 'number') {
    return undefined;
  }
  return {
    pid,
    startTime,
    code: typeof code === 'number' ? code : null,
    signal: typeof signal === 'string' ? signal : null,
    startedAtMs: startedAt,
    endedAtMs: endedAt,
    maxRssKib: typeof maxRssKib === 'number' ? maxRssKib : 0,
    stderrTail: typeof stderrTail === 'string' ? stderrTail : '',
    ...(ranOutOfMemory === true ? { ranOutOfMemory } : {}),
  };
}

/** Whether this very process lives. A zombie does not. */
export async function isAlive(pid: number, startTime: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // Field 2, the name, may hold spaces and parentheses (proc(5)): what follows its last ')' starts with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[19] === startTime && fields[0] !== 'Z' && fields[0] !== 'X';
}

/** What a daemon that starts finds in DIR. */
export async function inspectJail(dir: string): Promise<JailState> {
  const process = await readPid(dir);
  // After the pid file: vmjail removes that one only when exit.json is there.
  const exit = await readExit(dir);
  if (process === undefined)
    return exit === undefined ? { state: 'absent' } : { state: 'ended', end: { cause: 'exit', exit } };
  if (exit?.pid === process.pid && exit.startTime === process.startTime) {
    return { state: 'ended', end: { cause: 'exit', exit } };
  }
  if (process.bootId !== (await bootId())) return { state: 'ended', end: { cause: 'host-restarted' } };
  if (await isAlive(process.jailPid, process.jailStartTime)) return { state: 'running', process };
  // It may have ended between the two looks.
  const late = await readExit(dir);
  const known = late?.pid === process.pid && late.startTime === process.startTime;
  return { state: 'ended', end: known ? { cause: 'exit', exit: late } : { cause: 'supervisor-killed' } };
}

/**
 * Waits for the end of the process in DIR, whoever started it. Nothing polls and nothing is missed: vmjail holds the FIFO
 * DIR/alive open, and the kernel tells its readers when vmjail is gone, even by SIGKILL (a watch on the directory would
 * wait for an exit.json that never comes).
 * @throws SkerryError `not-found` when nothing was started there; `cancelled`
 */
export async function watchExit(dir: string, signal?: AbortSignal): Promise<JailEnd> {
  signal?.throwIfAborted();
  const process = await readPid(dir);
  const watched = await endOfFile(join(dir, 'alive'), signal);
  const exit = await readExit(dir);
  if (exit !== undefined && (process === undefined || process.startTime === exit.startTime))
    return { cause: 'exit', exit };
  // The FIFO's end comes while vmjail is still leaving: it would look alive for a moment.
  if (watched && process !== undefined) return { cause: 'supervisor-killed' };
  const found = await inspectJail(dir);
  if (found.state === 'ended') return found.end;
  throw new SkerryError('not-found', `Nothing was started in ${dir}`, { remedy: 'Start the VM first.' });
}

/** One sentence for the VM's status. */
export function describeEnd(end: JailEnd): string {
  if (end.cause === 'supervisor-killed') return 'its supervisor (vmjail) was killed, and the VM with it';
  if (end.cause === 'host-restarted') return 'the host was restarted';
  const { code, signal, stderrTail, ranOutOfMemory } = end.exit;
  if (ranOutOfMemory === true) return 'the host ended it, for it took more memory than its control group may have';
  const how = signal === null ? `it ended with exit code ${code}` : `it was killed by ${signal}`;
  const last = stderrTail.trimEnd().split('\n').at(-1) ?? '';
  return last === '' ? how : `${how}: ${last}`;
}

const openRaw = promisify(open);
const readRaw = promisify(read);
const closeRaw = promisify(close);

/** Resolves with true at the end of the FIFO, with false if there is none. */
async function endOfFile(path: string, signal: AbortSignal | undefined): Promise<boolean> {
  let fd: number;
  try {
    // Without O_NONBLOCK an open of a FIFO that has no writer waits, in a thread of the pool.
    fd = await openRaw(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  if (await isAtEnd(fd)) {
    await closeRaw(fd);
    return true;
  }
  const socket = new Socket({ fd, readable: true, writable: false });
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(new SkerryError('cancelled', 'No longer waiting for the VM to end', { cause: signal?.reason }));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    socket.resume();
    if (signal?.aborted === true) onAbort();
  });
  return true;
}

/**
 * Whether the FIFO had no writer when it was opened: poll(2) then never reports its end (fs/pipe.c sets EPOLLHUP only for a
 * writer that was seen), while read(2) returns 0, and EAGAIN with a writer.
 */
async function isAtEnd(fd: number): Promise<boolean> {
  try {
    return (await readRaw(fd, Buffer.alloc(1), 0, 1, null)).bytesRead === 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** {} for a file that is missing, or that a crash of the host left half written. */
async function readJson(path: string): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

function isPid(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 1;
}

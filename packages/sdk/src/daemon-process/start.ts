import { spawn } from 'node:child_process';
import { mkdir, open, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError } from '@skerry/api/base';
import { hasDaemon, startByCommand } from './command.ts';
import { daemonLogPath, dataDir, distrust, type Endpoint, findEndpoint, runtimeDir } from './places.ts';
import { daemonProgram } from './program.ts';
import { startUnit, unitRemedy, unitScope } from './unit.ts';

/** A small machine that comes up takes its time; a daemon that has ended is told at once. */
const START_DEADLINE_MS = 60_000;
const RETRY_MS = 15;
const LOG_TAIL_BYTES = 4096;
/** After our daemon ended by itself, another one that holds the lock may be about to listen. */
const OTHER_DAEMON_MS = 3_000;

export interface EnsureOptions {
  /** As `--host`. */
  readonly host?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called when a daemon has to be started, before it is. */
  readonly onStart?: (() => void) | undefined;
}

/**
 * The endpoint of a daemon that answers; starts this user's own if none does.
 * @throws SkerryError `unavailable` with the end of the daemon's log
 */
export async function ensureDaemon(options: EnsureOptions = {}): Promise<Endpoint> {
  const endpoint = findEndpoint(options.host);
  const wrong = distrust(endpoint);
  if (wrong !== undefined) {
    throw new SkerryError('refused', `The daemon's directory can't be trusted: ${wrong}`, {
      remedy: 'Remove it, or set XDG_RUNTIME_DIR or SKERRY_RUNTIME_DIR to a directory of your own.',
    });
  }
  const socketPath = endpoint.socketPath;
  if (socketPath === undefined || (await answers(socketPath))) return endpoint;
  if (!endpoint.own) {
    throw new SkerryError('unavailable', `No daemon answers at ${socketPath}`, {
      remedy: 'Start it there with `skerry daemon start`, or leave out --host and SKERRY_HOST to use your own.',
    });
  }
  options.onStart?.();
  const scope = unitScope();
  if (scope !== undefined) await startService(scope, socketPath, options.signal);
  else await (hasDaemon() ? startDaemon(socketPath, options.signal) : startByCommand(options.signal));
  return endpoint;
}

/** True when something accepts connections on the socket. */
export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

async function startService(
  scope: 'system' | 'user',
  socketPath: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  await startUnit(scope, signal);
  for (const deadline = performance.now() + START_DEADLINE_MS; !(await answers(socketPath)); await sleep(RETRY_MS)) {
    signal?.throwIfAborted();
    if (performance.now() < deadline) continue;
    throw new SkerryError('unavailable', `systemd has started the daemon, and nothing answers at ${socketPath}`, {
      remedy: unitRemedy(scope),
    });
  }
}

async function startDaemon(socketPath: string, signal: AbortSignal | undefined): Promise<void> {
  await mkdir(dataDir(), { recursive: true, mode: 0o700 });
  // Its own mode only where we make it: an XDG_RUNTIME_DIR that is there keeps what it has.
  await mkdir(runtimeDir(), { recursive: true, mode: 0o700 });
  const logPath = daemonLogPath();
  await using log = await open(logPath, 'a', 0o600);
  const startOfLog = (await log.stat()).size;
  const child = spawn(process.execPath, daemonProgram('main'), {
    cwd: '/',
    stdio: ['ignore', log.fd, log.fd],
    // A session of its own: Ctrl-C in this terminal is not meant for it.
    detached: true,
  });
  let ended: string | undefined;
  child.once('error', (error) => (ended = error.message));
  child.once('exit', (code, name) => (ended = name === null ? `exit code ${code}` : `signal ${name}`));
  child.unref();
  let deadline = performance.now() + START_DEADLINE_MS;
  while (!(await answers(socketPath))) {
    signal?.throwIfAborted();
    if (ended !== undefined) deadline = Math.min(deadline, performance.now() + OTHER_DAEMON_MS);
    if (performance.now() > deadline) throw await startFailure(logPath, startOfLog, ended);
    await sleep(RETRY_MS);
  }
}

async function startFailure(logPath: string, startOfLog: number, ended: string | undefined): Promise<SkerryError> {
  const log = (await readFile(logPath).catch(() => Buffer.alloc(0))).subarray(startOfLog).subarray(-LOG_TAIL_BYTES);
  const text = log.toString().trimEnd();
  // Its last word is for people, the lines before are for programs.
  const lastWord = text.lastIndexOf('skerryd: ');
  const tail = lastWord === -1 ? text : text.slice(lastWord);
  const what = ended === undefined ? `did not answer within ${START_DEADLINE_MS / 1000} s` : `ended (${ended})`;
  return new SkerryError('unavailable', `The daemon ${what}${tail === '' ? '' : `. Its log ends:\n${tail}`}`, {
    remedy: `See ${logPath}, and what \`skerry host doctor\` says.`,
    details: { logPath },
  });
}

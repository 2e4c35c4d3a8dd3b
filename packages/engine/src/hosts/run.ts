import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { SkerryError } from '@skerry/api';

/**
 * The only place of the product that starts processes. Arguments are arrays, never a shell line, so no name or path can
 * become a command; the environment is what the caller passes, on top of a minimal one.
 */

export type Argv = readonly [command: string, ...args: string[]];

export interface RunOptions {
  readonly cwd?: string;
  /** Added to PATH, HOME, LANG=C.UTF-8. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Output past this is dropped from the result (the process goes on). Default 1 MiB per stream. */
  readonly maxOutputBytes?: number;
  /** Called per line of either stream as it comes. */
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
  /** Exit codes that are no error; default [0]. `'any'`: the caller looks at exitCode itself. */
  readonly okExitCodes?: readonly number[] | 'any';
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + signal number is not synthesised: a signal death gives null here and its name in `signal`. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

const DEFAULT_MAX_OUTPUT_BYTES = 1024 * 1024;

function baseEnv(): Record<string, string> {
  return {
    // sbin holds mkfs, ip and nft, and is not on an ordinary user's PATH on Debian.
    PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin:/sbin`,
    HOME: process.env['HOME'] ?? '/',
    LANG: 'C.UTF-8',
  };
}

/**
 * Runs a command to its end and returns its output as text.
 * @throws SkerryError `unsupported` (not installed), `timeout`, `cancelled`, `failed` (exit code, with stderr in details)
 */
export async function run(argv: Argv, options: RunOptions = {}): Promise<RunResult> {
  const [command, ...args] = argv;
  const max = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  options.signal?.throwIfAborted();
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...baseEnv(), ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    // A group of its own: a timeout ends grandchildren (make, cc) too.
    detached: true,
  });
  const stdout = collect(child.stdout, max, (line) => options.onLine?.(line, 'stdout'));
  const stderr = collect(child.stderr, max, (line) => options.onLine?.(line, 'stderr'));
  if (options.input !== undefined && child.stdin !== null) {
    child.stdin.on('error', () => {}); // EPIPE: the command ended without reading; its exit code tells.
    child.stdin.end(options.input);
  }
  let why: 'timeout' | 'cancelled' | undefined;
  const end = (reason: 'timeout' | 'cancelled'): void => {
    why ??= reason;
    killGroup(child, 'SIGTERM');
    setTimeout(() => killGroup(child, 'SIGKILL'), 2000).unref();
  };
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(() => end('timeout'), options.timeoutMs);
  const onAbort = (): void => end('cancelled');
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const [exitCode, signal] = await ended(child, command);
    if (why === 'timeout') {
      throw new SkerryError('timeout', `${command} did not finish within ${options.timeoutMs} ms`, {
        remedy: 'Try again; if it stays slow, see what the host is busy with.',
        details: { argv, stderr: stderr.text() },
      });
    }
    if (why === 'cancelled') throw new SkerryError('cancelled', `${command} was cancelled`);
    const result = { stdout: stdout.text(), stderr: stderr.text(), exitCode, signal };
    const ok = options.okExitCodes ?? [0];
    if (ok !== 'any' && (exitCode === null || !ok.includes(exitCode))) throw failure(argv, result);
    return result;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdio?: StdioOptions;
}

/**
 * Starts a process that outlives us: a session of its own, not awaited by the event loop. Resolves once it has been
 * executed (not once it is ready).
 * @throws SkerryError `unsupported` when the command is not installed
 */
export async function start(argv: Argv, options: StartOptions = {}): Promise<ChildProcess> {
  const [command, ...args] = argv;
  const child = spawn(command, args, {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...baseEnv(), ...options.env },
    stdio: options.stdio ?? 'ignore',
    detached: true,
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(spawnFailure(command, error)));
  });
  child.unref();
  return child;
}

function collect(stream: NodeJS.ReadableStream | null, max: number, onLine: (line: string) => void) {
  let text = '';
  let partial = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (chunk: string) => {
    if (text.length < max) text += chunk.slice(0, max - text.length);
    const lines = (partial + chunk).split('\n');
    partial = (lines.pop() ?? '').slice(-4096);
    for (const line of lines) onLine(line);
  });
  stream?.on('end', () => {
    if (partial !== '') onLine(partial);
  });
  return { text: () => text };
}

function ended(child: ChildProcess, command: string): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(spawnFailure(command, error)));
    child.once('close', (code, signal) => resolve([code, signal]));
  });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended between the check and the signal.
  }
}

function spawnFailure(command: string, error: NodeJS.ErrnoException): SkerryError {
  if (error.code === 'ENOENT') {
    return new SkerryError('unsupported', `${command} is not installed on this host`, {
      remedy: 'See `skerry host doctor` for the package that brings it.',
      details: { command },
      cause: error,
    });
  }
  return new SkerryError('failed', `${command} could not be started: ${error.message}`, {
    remedy: 'See `skerry host doctor`.',
    details: { command },
    cause: error,
  });
}

function failure(argv: Argv, result: RunResult): SkerryError {
  const how = result.signal === null ? `exit code ${result.exitCode}` : `signal ${result.signal}`;
  const last = result.stderr.trimEnd().split('\n').at(-1) ?? '';
  return new SkerryError('failed', `${argv[0]} failed (${how})${last === '' ? '' : `: ${last}`}`, {
    remedy: 'The details hold its full output.',
    details: { argv, exitCode: result.exitCode, signal: result.signal, stderr: result.stderr.slice(-4096) },
  });
}

import type { Readable } from 'node:stream';
import type { ExecRequestInput, TtySize } from '@skerry/api/base';

/** How a command is given to `vm.exec`, and what comes back. The process itself is `exec-process.ts`. */

export interface ExecOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  readonly user?: string | undefined;
  /** Runs it on a terminal of this size: stdout and stderr are then one, `stdout`. */
  readonly tty?: TtySize | undefined;
  /** It is killed after this time. */
  readonly timeoutMs?: number | undefined;
  /** Aborting kills it, and the awaited result throws `cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * What it reads: `'pipe'` is what is written to `process.stdin` (as is using that at once), a text or bytes are sent,
   * a stream is read as fast as the process takes it. Absent: end-of-file.
   */
  readonly stdin?:
    | 'pipe'
    | { readonly text: string }
    | Uint8Array
    | Readable
    | AsyncIterable<Uint8Array | string>
    | undefined;
  /** An awaited result that would hold more than this throws `failed`; default 64 MiB. Iterating has no limit. */
  readonly maxOutputBytes?: number | undefined;
}

export interface ExecResult {
  /** Empty when the output was iterated. */
  readonly stdout: string;
  readonly stderr: string;
  /** Null if a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface ExecChunk {
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** What no shell would read as anything but a word. */
const PLAIN_WORD = /^[\w@%+:,./-]+$/;

/** 'hostname' -> ['hostname']; 'ls | wc' -> ['sh', '-c', 'ls | wc']; a list as it is. */
export function argvOf(command: string | readonly string[]): string[] {
  if (typeof command !== 'string') return [...command];
  return PLAIN_WORD.test(command) ? [command] : ['sh', '-c', command];
}

export function execRequest(argv: string[], options: ExecOptions, stdin: boolean): ExecRequestInput {
  const { env, cwd, user, tty, timeoutMs } = options;
  return {
    argv,
    stdin,
    ...(env === undefined ? {} : { env: { ...env } }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(tty === undefined ? {} : { tty }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

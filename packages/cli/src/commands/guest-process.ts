import { once } from 'node:events';
import type { TtySize } from '@skerry/api/base';
import type { ExecOptions, ExecProcess } from '@skerry/sdk';
import type { Context } from '../terminal/index.ts';

/** The numbers a shell gives a death by signal (128 + n), for the signals that can be sent or that end a process. */
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
};

export interface GuestProcessOptions extends Omit<ExecOptions, 'tty' | 'stdin' | 'signal'> {
  /** Run it on a terminal; ours is then raw, and Ctrl-C goes to the guest. */
  readonly tty: boolean;
  readonly stdin: boolean;
  /** After Ctrl-C it has so long to end by itself; absent: until the second Ctrl-C. */
  readonly graceMs?: number | undefined;
}

export interface GuestProcessEnd {
  readonly exitCode: number;
  /** Ctrl-C ended it, not the guest. */
  readonly interrupted: boolean;
}

/** Runs a command in a VM with our standard streams; the exit code is the guest's. */
export async function runInGuest(
  context: Context,
  vm: string,
  argv: readonly string[],
  { tty, stdin, graceMs, ...options }: GuestProcessOptions,
): Promise<GuestProcessEnd> {
  context.progress.clear();
  const client = await context.client();
  const hangUp = new AbortController();
  const guest = client.exec(vm, argv, {
    ...options,
    signal: hangUp.signal,
    ...(tty ? { tty: terminalSize(), env: { TERM: process.env['TERM'] ?? 'xterm', ...options.env } } : {}),
    ...(stdin ? { stdin: process.stdin } : {}),
  });
  using _terminal = tty ? rawTerminal(guest) : undefined;
  let interrupts = 0;
  using _diverted = context.interrupts.divert((signal) => {
    interrupts += 1;
    // It may ignore the first; the second is meant, and ends it by force.
    if (interrupts === 1) guest.kill(signal.slice(3) as 'INT' | 'TERM' | 'HUP');
    else if (interrupts === 2) hangUp.abort();
    else process.exit(130);
    if (graceMs !== undefined) setTimeout(() => hangUp.abort(), graceMs).unref();
  });
  try {
    for await (const { stream, data } of guest) {
      if (!process[stream].write(data)) await once(process[stream], 'drain');
    }
    const { exitCode, signal } = await guest;
    const byNumber = 128 + (SIGNAL_NUMBERS[(signal ?? '').replace(/^SIG/, '')] ?? 0);
    return { exitCode: interrupts > 0 ? 130 : (exitCode ?? byNumber), interrupted: interrupts > 0 };
  } catch (error) {
    if (!hangUp.signal.aborted) throw error;
    return { exitCode: 130, interrupted: true };
  } finally {
    // An open standard input would keep us, and would eat what is meant for the next command.
    process.stdin.unpipe();
    process.stdin.pause();
  }
}

export function terminalSize(): TtySize {
  return { cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/** Our terminal passes every key on, and its size; it is as it was when this is disposed of, or when we exit. */
function rawTerminal(guest: ExecProcess): Disposable {
  const resize = (): void => {
    const { cols, rows } = terminalSize();
    guest.resize(cols, rows);
  };
  const raw = rawInput();
  process.stdout.on('resize', resize);
  return {
    [Symbol.dispose]: () => {
      process.stdout.off('resize', resize);
      raw[Symbol.dispose]();
    },
  };
}

/** Standard input without line editing and signals, until it is disposed of; on exit in any case. */
export function rawInput(): Disposable {
  if (!process.stdin.isTTY) return { [Symbol.dispose]: () => {} };
  const restore = (): void => {
    process.stdin.setRawMode(false);
  };
  process.stdin.setRawMode(true);
  process.once('exit', restore);
  return {
    [Symbol.dispose]: () => {
      process.off('exit', restore);
      restore();
    },
  };
}

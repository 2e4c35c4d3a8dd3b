import { createConnection } from 'node:net';
import { constants } from 'node:os';
import { SkerryError, type ErrorCode } from '@skerry/api';
import { run } from '../../hosts/index.ts';
import type { JailHost, KeptObject } from './plan.ts';

/** What is done with descriptors, which Node can not pass: see native/vmjail/keeper.c and handover.c. */

/** A descriptor for a QEMU that runs. `new`: a file that is made, to write, and must not be there. */
export type Handed =
  | { readonly name: string; readonly path: string; readonly mode: 'r' | 'rw' | 'new' }
  /** An object of a supervisor whose child runs, made empty: to write. */
  | { readonly name: string; readonly kept: KeptObject }
  /** Into a descriptor set, which block nodes open as /dev/fdset/N. */
  | { readonly set: number; readonly path: string; readonly mode: 'r' | 'rw' | 'new' };

const HANDOVER_TIMEOUT_MS = 30_000;
const MEASURE_TIMEOUT_MS = 1000;

/**
 * Hands descriptors to a QEMU and gives it commands that use them, over a monitor of its own.
 * @throws SkerryError `failed` with what QEMU said; `unavailable` (it does not answer, or the keeper does not),
 * `no-space`, `not-found`, `in-use` (a `new` file is there), `timeout`, `cancelled`
 */
export async function handOver(
  host: JailHost,
  monitorPath: string,
  handed: readonly Handed[],
  commands: readonly object[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { signal } = options;
  if (signal?.aborted === true) throw new SkerryError('cancelled', 'Cancelled', { cause: signal.reason });
  const words = commands.map((command) => JSON.stringify(command));
  const { exitCode, stdout } = await run(
    [host.vmjailPath, '--qmp', monitorPath, ...handed.flatMap(handedOption), '--', ...words],
    { timeoutMs: HANDOVER_TIMEOUT_MS, okExitCodes: 'any', ...(signal === undefined ? {} : { signal }) },
  );
  if (exitCode !== 0) throw refusal(stdout);
}

/**
 * Waits until the objects are sealed, which are kept because somebody waits.
 * @param onWaiting called once that is known: from then on the process may end
 * @returns how many bytes each takes
 * @throws SkerryError `failed` when the process ended otherwise; `timeout`, `cancelled`
 */
export async function waitSealed(
  keepPath: string,
  onWaiting: () => void,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Readonly<Record<string, number>>> {
  const late = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? late : AbortSignal.any([late, options.signal]);
  const { text, problem } = await new Promise<{ text: string; problem?: Error }>((resolve) => {
    const socket = createConnection({ path: keepPath, signal });
    let text = '';
    let problem: Error | undefined;
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => {
      const before = text;
      text += data;
      if (text.startsWith('waiting\n') && before.length < 'waiting\n'.length) onWaiting();
    });
    socket.on('error', (error) => (problem = error)); // 'close' follows
    socket.on('close', () => resolve({ text, ...(problem === undefined ? {} : { problem }) }));
    socket.write('wait\n');
  });
  const sealed = /^sealed(.*)\n$/m.exec(text)?.[1];
  if (sealed !== undefined) {
    return Object.fromEntries([...sealed.matchAll(/ ([\w-]+)=(\d+)/g)].map(([, name, size]) => [name, Number(size)]));
  }
  const remedy = 'VMs boot cold meanwhile. See `skerry daemon logs`.';
  if (signal.aborted) {
    const code = options.signal?.aborted === true ? 'cancelled' : 'timeout';
    throw new SkerryError(code, 'The template was not finished', { remedy, cause: signal.reason });
  }
  const why = text === 'busy\n' ? 'too many wait for it' : 'its process ended otherwise than it should';
  throw new SkerryError('failed', `The template could not be kept: ${why}`, {
    remedy,
    details: { keepPath },
    cause: problem,
  });
}

/** How many bytes each of its objects takes by now; nothing of one that does not answer, or is not sealed. */
export async function keptBytes(keepPath: string): Promise<Readonly<Record<string, number>>> {
  return waitSealed(keepPath, () => undefined, { timeoutMs: MEASURE_TIMEOUT_MS }).catch(() => ({}));
}

function handedOption(handed: Handed): [string, string] {
  if ('set' in handed) return ['--addfd', `${handed.set}=${handed.path}:${handed.mode}`];
  if ('kept' in handed) return ['--fillfd', `${handed.name}=${handed.kept.keepPath}:${handed.kept.object}`];
  return ['--getfd', `${handed.name}=${handed.path}:${handed.mode}`];
}

/** The last line says what was wrong: QEMU's answer, or the helper's own. */
function refusal(stdout: string): SkerryError {
  const line = stdout.trimEnd().split('\n').at(-1) ?? '';
  const { error, reason, errno, step } = parse(line);
  if (typeof error === 'string') {
    const { code, remedy } = classify(String(step), Number(errno));
    return new SkerryError(code, `${error}: ${String(reason)}`, { remedy, details: { step, errno } });
  }
  const { desc = line } = (error ?? {}) as { desc?: string };
  return new SkerryError('failed', `QEMU did not take what it was given: ${desc}`, {
    remedy: "The message is QEMU's own; `skerry info` shows the state of the virtual machine.",
  });
}

function classify(step: string, errno: number): { code: ErrorCode; remedy: string } {
  const { EDQUOT, EEXIST, ENOENT, ENOSPC } = constants.errno;
  if (step === 'usage') return { code: 'internal', remedy: 'This is a bug in Skerry: report it with this message.' };
  if (step === 'monitor') {
    return { code: 'unavailable', remedy: 'See `skerry info` for what became of the virtual machine.' };
  }
  if (step === 'take') return { code: 'unavailable', remedy: 'The template has gone. VMs boot cold meanwhile.' };
  if (errno === ENOSPC || errno === EDQUOT) return { code: 'no-space', remedy: 'Free room on that disk.' };
  if (errno === ENOENT) return { code: 'not-found', remedy: 'Restore the file, or the directory it belongs in.' };
  if (errno === EEXIST) return { code: 'in-use', remedy: 'Remove the file, or choose another name.' };
  return { code: 'failed', remedy: 'Check owner and mode of the path, and whether its disk is sound.' };
}

function parse(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // not of QEMU: the line itself is the message
  }
}

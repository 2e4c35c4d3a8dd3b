import { createConnection } from 'node:net';
import { SkerryError } from '@skerry/api';
import { run } from '../../hosts/index.ts';
import type { JailHost, KeptObject } from './plan.ts';

/** What is done with descriptors, which Node can not pass: see native/vmjail/keeper.c and handover.c. */

/** A descriptor for a QEMU that runs. `new`: a file that is made, and must not be there. */
export type Handed =
  | { readonly name: string; readonly path: string; readonly mode: 'r' | 'rw' | 'new' }
  | { readonly name: string; readonly kept: KeptObject }
  /** Into a descriptor set, which block nodes open as /dev/fdset/N. */
  | { readonly set: number; readonly path: string; readonly mode: 'r' | 'rw' };

const HANDOVER_TIMEOUT_MS = 30_000;

/**
 * Hands descriptors to a QEMU and gives it commands that use them, over a monitor of its own.
 * @throws SkerryError `failed` with what QEMU said; `no-space`, `not-found`, `cancelled`
 */
export async function handOver(
  host: JailHost,
  monitorPath: string,
  handed: readonly Handed[],
  commands: readonly object[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const { signal } = options;
  await run(
    [
      host.vmjailPath,
      '--qmp',
      monitorPath,
      ...handed.flatMap(handedOption),
      '--',
      ...commands.map((command) => JSON.stringify(command)),
    ],
    { timeoutMs: HANDOVER_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) },
  ).catch((error: unknown) => {
    throw describe(error);
  });
}

/** Waits until the objects are sealed. @returns how many bytes each takes. @throws SkerryError `failed` when the process ended otherwise; `timeout`, `cancelled` */
export async function waitSealed(
  keepPath: string,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<Readonly<Record<string, number>>> {
  const late = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? late : AbortSignal.any([late, options.signal]);
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = createConnection({ path: keepPath, signal });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => (text += data));
    socket.on('close', () => resolve(text));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ABORT_ERR') return; // 'close' follows
      reject(
        new SkerryError(late.aborted ? 'timeout' : 'cancelled', 'The template was not finished', { cause: error }),
      );
    });
    socket.write('wait\n');
  });
  if (/^sealed[^\n]*\n$/.test(answer)) {
    return Object.fromEntries([...answer.matchAll(/ (\w+)=(\d+)/g)].map(([, name, bytes]) => [name, Number(bytes)]));
  }
  throw new SkerryError('failed', 'The template could not be kept: its process ended otherwise than it should', {
    remedy: 'VMs boot cold meanwhile. See `skerry daemon logs`.',
    details: { keepPath },
  });
}

function handedOption(handed: Handed): [string, string] {
  if ('set' in handed) return ['--addfd', `${handed.set}=${handed.path}:${handed.mode}`];
  if ('kept' in handed) return ['--takefd', `${handed.name}=${handed.kept.keepPath}:${handed.kept.object}`];
  return ['--getfd', `${handed.name}=${handed.path}:${handed.mode}`];
}

/** The last line of its output says what was wrong: QEMU's answer, or its own. */
function describe(error: unknown): unknown {
  if (!(error instanceof SkerryError) || error.code === 'cancelled') return error;
  const lines = String(error.details?.['stdout'] ?? '')
    .trim()
    .split('\n');
  return new SkerryError('failed', `QEMU did not take what it was given: ${lines.at(-1) ?? error.message}`, {
    remedy: 'See `skerry daemon logs`; room in memory and on disk may be short (`skerry host info`).',
    details: error.details,
    cause: error,
  });
}

import { formatDuration, type OperationResult, SkerryError, type Task } from '@skerry/api/base';
import type { CallOptions, OperationsOf } from '@skerry/sdk';
import type { Context } from '../terminal/index.ts';

/**
 * A task with its progress on stderr. Ctrl-C and `--timeout` cancel it, and this returns when that is done.
 * @returns undefined with `--no-wait`: the task was printed instead
 * @throws SkerryError
 */
export async function doTask<I extends OperationsOf<'task'>>(
  context: Context,
  label: string,
  id: I,
  options: Omit<CallOptions<I>, 'signal'>,
  { timeoutMs }: { readonly timeoutMs?: number | undefined } = context,
): Promise<OperationResult<I> | undefined> {
  const client = await context.client();
  if (context.noWait) {
    const task = (await client.call(id, ...([options] as never))) as Task;
    await context.out.result(task, () => [`${label}: task ${task.id}`]);
    return undefined;
  }
  const signal =
    timeoutMs === undefined ? context.signal : AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
  const onAbort = (): void => context.progress.update(label, 'cancelling');
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const onProgress = ({ message, fraction }: { message: string; fraction?: number | undefined }): void => {
      if (!signal.aborted) context.progress.update(label, message, fraction);
    };
    return (await client.run(id, ...([{ ...options, signal, onProgress }] as never))) as OperationResult<I>;
  } catch (error) {
    const inTime = timeoutMs === undefined || !signal.aborted || context.signal.aborted;
    if (inTime || SkerryError.from(error).code !== 'cancelled') throw error;
    throw new SkerryError('timeout', `${label}: not done within ${formatDuration(timeoutMs)}, so it was cancelled`, {
      remedy: 'Give a longer --timeout, or none.',
      cause: error,
    });
  } finally {
    signal.removeEventListener('abort', onAbort);
    context.progress.end(label);
  }
}

/**
 * The same for several targets at once: what fails is told, the others go on.
 * @returns the exit code of the first that failed, or 0
 */
export async function forEach<T>(
  context: Context,
  targets: readonly string[],
  work: (target: string) => Promise<T>,
): Promise<{ results: T[]; exitCode: number }> {
  const settled = await Promise.allSettled(targets.map(work));
  const results: T[] = [];
  let exitCode = 0;
  for (const each of settled) {
    if (each.status === 'fulfilled') {
      results.push(each.value);
      continue;
    }
    const error = SkerryError.from(each.reason);
    context.progress.clear();
    context.out.error(error);
    exitCode ||= error.exitCode;
  }
  return { results, exitCode };
}

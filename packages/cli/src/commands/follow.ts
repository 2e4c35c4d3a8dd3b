import { SkerryError } from '@skerry/api/base';
import type { Context } from '../terminal/index.ts';

const INTERRUPTED = 130;

/** Shows what has no end: Ctrl-C is how it ends, and no error. @returns the exit code */
export async function untilInterrupted(context: Context, work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return context.signal.aborted ? INTERRUPTED : 0;
  } catch (error) {
    if (context.signal.aborted) return INTERRUPTED;
    throw SkerryError.from(error);
  }
}

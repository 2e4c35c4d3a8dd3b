import { SkerryError } from '@skerry/api/base';
import type { Context } from '../terminal/index.ts';

/**
 * Asks on a terminal. A program that calls us has decided already, so without a terminal nothing is asked.
 * @throws SkerryError `cancelled` unless the answer is yes
 */
export async function confirm(context: Context, question: string): Promise<void> {
  if (context.yes || !process.stdin.isTTY || !process.stderr.isTTY) return;
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal: context.signal });
    if (/^y(?:es)?$/i.test(answer.trim())) return;
  } finally {
    lines.close();
  }
  throw new SkerryError('cancelled', 'Nothing was changed');
}

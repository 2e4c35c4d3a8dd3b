import { readFile } from 'node:fs/promises';
import { SkerryError } from '@skerry/api/base';
import type { Context } from '../../terminal/index.ts';

/** Where a secret's value comes from: never the command line, which every user of the host can read (proc(5), cmdline). */

/** As in packages/api/src/secret.ts, whose schemas would have to be loaded for it; the daemon refuses what is larger. */
const MAX_BYTES = 64 * 1024;

/** @throws SkerryError `not-found` (the file), `invalid`, `cancelled` */
export async function readValue(context: Context, name: string, file: string | undefined): Promise<Buffer> {
  if (file !== undefined && file !== '-') return fromFile(file);
  if (!process.stdin.isTTY) return fromInput(process.stdin);
  const [value = '', again] = await askHidden([`Value of ${name}: `, 'Once more: '], context.signal);
  if (value !== again) {
    throw new SkerryError('invalid', 'The two are not the same', { remedy: 'Nothing was changed: try again.' });
  }
  return Buffer.from(value);
}

/** Byte by byte: a key file ends as it ends. */
async function fromFile(path: string): Promise<Buffer> {
  return readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new SkerryError('not-found', `${path} can't be read: ${error.code ?? error.message}`, {
      remedy: 'Write the path of a file, or leave --from-file out and give the value on standard input.',
    });
  });
}

/** Without the one newline that `echo` and here-documents put at the end. */
async function fromInput(input: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    chunks.push(chunk);
    if ((bytes += chunk.length) > MAX_BYTES + 1) break;
  }
  const all = Buffer.concat(chunks);
  return all.at(-1) === 0x0a ? all.subarray(0, all.at(-2) === 0x0d ? -2 : -1) : all;
}

/** What is typed is not shown, from before the first question to after the last answer. */
async function askHidden(questions: readonly string[], signal: AbortSignal): Promise<string[]> {
  const { createInterface } = await import('node:readline/promises');
  const { Writable } = await import('node:stream');
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  // It takes the terminal's own echo away at once, and what it would show itself goes nowhere.
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  // Without that, Ctrl-C is a key: what it means otherwise has to be done by us.
  const interrupted = new AbortController();
  lines.once('SIGINT', () => interrupted.abort());
  const answers: string[] = [];
  try {
    for (const question of questions) {
      process.stderr.write(question);
      answers.push(await lines.question('', { signal: AbortSignal.any([signal, interrupted.signal]) }));
      process.stderr.write('\n');
    }
    return answers;
  } catch (error) {
    process.stderr.write('\n');
    throw new SkerryError('cancelled', 'Nothing was changed', { cause: error });
  } finally {
    lines.close();
  }
}

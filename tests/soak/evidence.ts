import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';

/** What a soak has said, line by line, and on demand a file of it. */

const EVIDENCE = join(import.meta.dirname, '../../docs/evidence');

export class Log {
  readonly #lines: string[] = [];
  readonly startedAt = new Date();

  readonly say = (line: string): void => {
    this.#lines.push(line);
    process.stdout.write(`${line}\n`);
  };

  /** In docs/evidence/: `soak-networks-2026-11-21T2004-seed-5.log`. */
  async keep(what: string, seed?: number): Promise<void> {
    await mkdir(EVIDENCE, { recursive: true });
    const at = this.startedAt.toISOString().slice(0, 16).replaceAll(':', '');
    const name = `${what}-${at}${seed === undefined ? '' : `-seed-${seed}`}.log`;
    await writeFile(join(EVIDENCE, name), `${this.#lines.join('\n')}\n`);
  }
}

/** What inspect does not tell of: the two inside one that another came on top of. */
export function told(error: unknown): string {
  if (!(error instanceof SuppressedError)) return inspect(error, { depth: 4 });
  return `${told(error.suppressed)}\nand then: ${told(error.error)}`;
}

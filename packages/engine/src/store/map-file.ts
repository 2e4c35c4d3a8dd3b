import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SkerryError } from '@skerry/api';

/** A few settings by name, in a small file of their own: `{"version": 1, "FIELD": {NAME: VALUE}}`, read once. */

export interface MapFileOptions<T> {
  readonly path: string;
  readonly field: string;
  /** @throws what is wrong with it */
  readonly parse: (value: unknown) => T;
}

export class MapFile<T> {
  readonly #options: MapFileOptions<T>;
  #known: Promise<Map<string, T>> | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(options: MapFileOptions<T>) {
    this.#options = options;
  }

  /** In the order in which they were set first. @throws SkerryError `unsupported`: a newer version wrote it */
  all(): Promise<ReadonlyMap<string, T>> {
    this.#known ??= this.#read();
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }

  /** The old file or the new one. @param value undefined: it is taken out */
  set(name: string, value: T | undefined): Promise<void> {
    const { path, field } = this.#options;
    const written = this.#writing.then(async () => {
      const all = new Map(await this.all());
      if (value === undefined) all.delete(name);
      else all.set(name, value);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const file = await open(`${path}.new`, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ version: 1, [field]: Object.fromEntries(all) })}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${path}.new`, path);
      this.#known = Promise.resolve(all);
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  async #read(): Promise<Map<string, T>> {
    const { path, field, parse } = this.#options;
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return new Map();
    const { version, [field]: entries } = JSON.parse(text) as { version: number; [field: string]: unknown };
    if (version !== 1) {
      throw new SkerryError('unsupported', `${path} has version ${version}; this Skerry knows 1`, {
        remedy: 'A newer Skerry wrote it: upgrade this one.',
      });
    }
    return new Map(Object.entries(entries as object).map(([name, value]) => [name, parse(value)]));
  }
}

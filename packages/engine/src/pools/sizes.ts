import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PoolSet, SkerryError } from '@skerry/api';

/** How many clones shall wait for each image, and of what shape: a small file. */
export class PoolSizes {
  readonly #path: string;
  #known: Promise<Map<string, PoolSet>> | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** In the order in which they were set first. */
  all(): Promise<ReadonlyMap<string, PoolSet>> {
    return this.#all();
  }

  /** The old file or the new one. @param wanted of size 0: none */
  set(image: string, wanted: PoolSet): Promise<void> {
    const written = this.#writing.then(async () => {
      const all = new Map(await this.#all());
      if (wanted.size === 0) all.delete(image);
      else all.set(image, wanted);
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      const file = await open(`${this.#path}.new`, 'w', 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ version: 1, pools: Object.fromEntries(all) })}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(`${this.#path}.new`, this.#path);
      this.#known = Promise.resolve(all);
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }

  #all(): Promise<Map<string, PoolSet>> {
    this.#known ??= readSizes(this.#path);
    this.#known.catch(() => (this.#known = undefined));
    return this.#known;
  }
}

async function readSizes(path: string): Promise<Map<string, PoolSet>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return new Map();
  const { version, pools } = JSON.parse(text) as { version: number; pools: Record<string, unknown> };
  if (version !== 1) {
    throw new SkerryError('unsupported', `${path} has version ${version}; this Skerry knows 1`, {
      remedy: 'A newer Skerry wrote it: upgrade this one.',
    });
  }
  return new Map(Object.entries(pools).map(([image, pool]) => [image, PoolSet.parse(pool)]));
}

import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Which members there are, for the daemon after one that died: an empty file for each, from before there is anything of
 * it until all of it is gone, or a VM's. Beside the VMs' disks: a power cut leaves both.
 */
export class PoolRecords {
  readonly #dir: string;

  constructor(dataDir: string) {
    this.#dir = join(dataDir, 'pool');
  }

  ids(): Promise<string[]> {
    return readdir(this.#dir).catch(() => []);
  }

  async add(id: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#dir, id), '', { mode: 0o600 });
  }

  async remove(id: string): Promise<void> {
    await rm(join(this.#dir, id), { force: true });
  }
}

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_PROJECT, VmSpec, type Vm, type VmStatus } from '@skerry/api';
import { createBackup } from '../../src/backups/index.ts';
import { openSqliteStore, Resources, type FileStore } from '../../src/store/index.ts';
import { newVmStatus, VM_KIND } from '../../src/vms/index.ts';

/** Data directories with a store, VMs and their disks, as a daemon would leave them. */

const DIGEST = 'd'.repeat(64);

export class DataDirs implements AsyncDisposable {
  readonly #dirs: string[] = [];

  async make(): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'skerry-backup-'));
    this.#dirs.push(dir);
    return dir;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#dirs.map((dir) => rm(dir, { recursive: true, force: true })));
  }
}

/** Makes VMs, each with a disk that has its name in it, and templates.json. */
export async function fill(dataDir: string, names: readonly string[]): Promise<void> {
  await withStore(dataDir, async (vms) => {
    for (const name of names) {
      const spec = VmSpec.parse({ image: 'micro', cpus: 1, memoryMib: 64 });
      const { id } = await vms.create({ name, spec, status: newVmStatus([], DIGEST) });
      await mkdir(join(dataDir, 'vms', id), { recursive: true });
      await writeFile(join(dataDir, 'vms', id, 'disk.qcow2'), diskOf(name));
    }
  });
  await writeFile(join(dataDir, 'templates.json'), JSON.stringify({ names }));
}

/** Different for each name, and as long as a few blocks. */
export function diskOf(name: string): string {
  return `${name}\n`.repeat(10_000);
}

export async function back(dataDir: string, to: string, { disks = true } = {}): Promise<void> {
  await using store = await openSqliteStore({ path: join(dataDir, 'store.db') });
  const vms = new Resources<VmSpec, VmStatus>(store, VM_KIND);
  await createBackup(
    {
      dataDir,
      imagesDir: join(dataDir, 'images'),
      store,
      version: '0',
      vms: async () => (await vms.list()).items as readonly Vm[],
      exclusively: async (id, body) => body((await vms.get(id)) as Vm),
    },
    { to, disks, force: true },
  );
}

/** VM name -> the first word of its disk; settings under ''. */
export async function contents(dataDir: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  await withStore(dataDir, async (vms) => {
    for (const { id, name, project } of (await vms.list()).items) {
      if (project !== DEFAULT_PROJECT) throw new Error('another project');
      const text = await readFile(join(dataDir, 'vms', id, 'disk.qcow2'), 'utf8').catch(() => 'none');
      found[name] = text === diskOf(name) ? name : `damaged ${text.slice(0, 20)}`;
    }
  });
  found[''] = await readFile(join(dataDir, 'templates.json'), 'utf8').catch(() => 'none');
  return found;
}

export async function withStore(
  dataDir: string,
  body: (vms: Resources<VmSpec, VmStatus>, store: FileStore) => Promise<void>,
): Promise<void> {
  await using store = await openSqliteStore({ path: join(dataDir, 'store.db') });
  await body(new Resources<VmSpec, VmStatus>(store, VM_KIND), store);
}

import { link, mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { BackupResult, Vm } from '@skerry/api';
import { assertWritable, writeArchive, type ArchiveWork } from '../archives/index.ts';
import { run } from '../hosts/index.ts';
import { openCatalogue } from '../images/index.ts';
import type { FileStore } from '../store/index.ts';
import { diskLayers } from '../vms/index.ts';
import { BACKUP, CATALOGUE, SETTINGS, STORE_FILE } from './contents.ts';

/**
 * A backup while everything goes on: the store as of one moment, and with `disks` those of VMs that have no process. The disk of
 * a VM that runs would be one after a power cut, its memory is worth nothing elsewhere: those are left out, and named.
 */

export interface BackupPorts {
  readonly dataDir: string;
  readonly imagesDir: string;
  readonly store: FileStore;
  /** Of this Skerry. */
  readonly version: string;
  readonly vms: () => Promise<readonly Vm[]>;
  /** Keeps a VM as it is meanwhile. */
  readonly exclusively: <T>(id: string, body: (vm: Vm) => Promise<T>) => Promise<T>;
}

export interface BackupOptions {
  /** An absolute path. */
  readonly to: string;
  readonly disks: boolean;
  readonly force: boolean;
}

/** A backup that was killed leaves it behind. */
const WORK_PREFIX = '.backup-';

interface BackupFile {
  readonly name: string;
  readonly path: string;
}

/** @throws SkerryError what `writeArchive` throws */
export async function createBackup(
  ports: BackupPorts,
  { to, disks, force }: BackupOptions,
  work: ArchiveWork = {},
): Promise<BackupResult> {
  await assertWritable(to, force);
  const dir = await mkdtemp(join(ports.dataDir, WORK_PREFIX));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(dir, { recursive: true, force: true }));

  work.onProgress?.('Copying the store');
  await ports.store.copyTo(join(dir, STORE_FILE));
  const files: BackupFile[] = [{ name: STORE_FILE, path: join(dir, STORE_FILE) }];
  for (const name of SETTINGS) files.push(...(await settingFiles(ports.dataDir, name)));

  const vms = await ports.vms();
  const saved: Vm[] = [];
  if (disks) {
    for (const vm of vms) {
      work.onProgress?.(`Copying the disk of ${vm.name}`, saved.length / vms.length);
      const own = await copyDisk(ports, vm.id, join(dir, 'vms', vm.id), work.signal);
      if (own === undefined) continue;
      saved.push(vm);
      files.push(...own.map((file) => ({ name: `vms/${vm.id}/${file}`, path: join(dir, 'vms', vm.id, file) })));
    }
  }
  const images = await openCatalogue(ports.imagesDir).list();
  const under = new Set(saved.map(({ status }) => status.imageDigest));
  for (const image of images) {
    const json = join(image.dir, 'image.json');
    if (!under.has(image.digest)) {
      files.push({ name: `${CATALOGUE}/${image.digest}.json`, path: json });
      continue;
    }
    files.push({ name: `images/${image.digest}/image.json`, path: json });
    files.push({ name: `images/${image.digest}/${image.rootDisk.file}`, path: image.rootDiskPath });
  }
  const about = {
    disks: saved.map(({ name }) => name),
    leftOut: disks ? vms.filter((vm) => !saved.includes(vm) && hasDisk(vm)).map(({ name }) => name) : [],
    images: images.map(({ name, digest }) => ({ name, digest })),
  };
  const wish = { to, force, skerry: ports.version, about, files, workDir: dir };
  const { sizeBytes, manifest } = await writeArchive(BACKUP, wish, work);
  return {
    path: to,
    sizeBytes,
    createdAt: manifest.createdAt,
    vms: vms.length,
    disks: about.disks,
    leftOut: about.leftOut,
  };
}

/** What backups that were killed have left in a data directory. */
export async function removeUnfinishedBackups(dataDir: string): Promise<void> {
  const left = (await readdir(dataDir)).filter((name) => name.startsWith(WORK_PREFIX));
  await Promise.all(left.map((name) => rm(join(dataDir, name), { recursive: true, force: true })));
}

/** One that never was started has none. */
function hasDisk({ status }: Vm): boolean {
  return status.start !== undefined || status.state !== 'stopped';
}

async function settingFiles(dataDir: string, name: string): Promise<BackupFile[]> {
  const path = join(dataDir, name);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === true) return [{ name, path }];
  if (found?.isDirectory() !== true) return [];
  const entries = await readdir(path, { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.'));
  return files.map((entry) => ({ name: `${name}/${entry.name}`, path: join(path, entry.name) }));
}

/** @returns names of the files in `to`; undefined when it has no disk, or something of it runs */
async function copyDisk(
  { dataDir, exclusively }: BackupPorts,
  id: string,
  to: string,
  signal: AbortSignal | undefined,
): Promise<string[] | undefined> {
  const from = join(dataDir, 'vms', id);
  return exclusively(id, async ({ status }) => {
    if (status.state !== 'stopped' && status.state !== 'crashed') return undefined;
    const layers = await diskLayers(from);
    const top = layers.at(-1);
    if (top === undefined || !(await exists(join(from, top)))) return undefined;
    await mkdir(to, { recursive: true, mode: 0o700 });
    // Layers below the top never change.
    for (const layer of layers.slice(0, -1)) await link(join(from, layer), join(to, layer));
    const files = [...layers];
    if (await exists(join(from, 'disk.json'))) {
      await link(join(from, 'disk.json'), join(to, 'disk.json'));
      files.push('disk.json');
    }
    await run(
      ['cp', '--reflink=auto', '--sparse=always', '--', join(from, top), join(to, top)],
      signal === undefined ? {} : { signal },
    );
    return files;
  }).catch((error: unknown) => {
    // Deleted meanwhile.
    if ((error as { code?: unknown }).code === 'not-found') return undefined;
    throw error;
  });
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

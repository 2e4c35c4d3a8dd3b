import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type RestoreResult, type Vm, type VmSpec, type VmStatus } from '@skerry/api';
import { openArchive, type ArchiveWork } from '../archives/index.ts';
import { inspectJail } from '../hypervisors/index.ts';
import { openCatalogue } from '../images/index.ts';
import { NODE_KIND } from '../nodes/index.ts';
import { openSqliteStore, Resources, upgradeResources } from '../store/index.ts';
import { VM_KIND } from '../vms/index.ts';
import { BACKUP, CATALOGUE, SETTINGS, STORE_FILE } from './contents.ts';
import { withRestoreWork } from './moves.ts';

/** A backup takes the place of what a data directory holds. No daemon runs on it, and no VM. */

export interface RestoreOptions {
  readonly from: string;
  readonly dataDir: string;
  readonly imagesDir: string;
  /** Replace a store that has VMs or nodes, or can't be read. */
  readonly force: boolean;
}

const STORE_COMPANIONS = [`${STORE_FILE}-wal`, `${STORE_FILE}-shm`, `${STORE_FILE}-journal`];

/**
 * @throws SkerryError `invalid` or `failed` (no backup, or a damaged one), `unsupported` (of a newer Skerry), `in-use` (a
 * daemon or a VM runs), `conflict` (there is something, without `force`), `no-space`
 */
export async function restoreBackup(options: RestoreOptions, work: ArchiveWork = {}): Promise<RestoreResult> {
  const { from, dataDir, imagesDir, force } = options;
  const archive = await openArchive(from, BACKUP);
  return withRestoreWork(dataDir, async ({ newDir, commit }) => {
    await assertNothingRuns(dataDir);
    await assertReplaceable(dataDir, force);
    await archive.extract(newDir, (name) => !name.startsWith(`${CATALOGUE}/`), work);

    const present = new Set(await readdir(newDir));
    const disks = present.has('vms') ? await readdir(join(newDir, 'vms')) : [];
    const settled = await settleStore(newDir, dataDir, new Set(disks));
    const images: string[] = [];
    for (const digest of present.has('images') ? await readdir(join(newDir, 'images')) : []) {
      // The same digest is the same image.
      if (!(await exists(join(imagesDir, digest)))) images.push(digest);
    }
    // Somebody may have started a daemon since: nobody can while we wait for its lock.
    await assertStoreFree(dataDir);
    await assertNothingRuns(dataDir);
    await commit({
      remove: [...STORE_COMPANIONS, ...SETTINGS.filter((name) => !present.has(name))],
      replace: [
        STORE_FILE,
        ...SETTINGS.filter((name) => present.has(name)),
        ...disks.map((id) => `vms/${id}`),
        ...images.map((digest) => `images/${digest}`),
      ],
    });
    const there = new Set((await openCatalogue(imagesDir).list()).map(({ digest }) => digest));
    const { createdAt, skerry, about } = archive.manifest;
    return {
      ...settled,
      createdAt,
      skerry,
      disks: [...about.disks],
      missingImages: about.images.filter(({ digest }) => !there.has(digest)).map(({ name }) => name),
    };
  });
}

/** The store that is in a backup, into a directory. @throws SkerryError as `restoreBackup` */
export async function storeOfBackup(from: string, dir: string): Promise<void> {
  await (await openArchive(from, BACKUP)).extract(dir, (name) => name === STORE_FILE);
}

/** Opens it, which checks and migrates it, while nothing depends on it yet. */
async function settleStore(newDir: string, dataDir: string, disks: ReadonlySet<string>) {
  await using store = await openSqliteStore({ path: join(newDir, STORE_FILE) });
  const { changed } = await upgradeResources(store);
  const vms = new Resources<VmSpec, VmStatus>(store, VM_KIND);
  const nodes = await new Resources(store, NODE_KIND).list();
  const all = (await vms.list()).items as readonly Vm[];
  const withoutDisk: string[] = [];
  for (const { id, name, status } of all) {
    if (disks.has(id) || (await exists(join(dataDir, 'vms', id)))) continue;
    if (status.start !== undefined) withoutDisk.push(name);
    // Its next disk may lie on whatever image of that name there is.
    await vms.update(id, (vm) => {
      const { imageDigest: _, ...rest } = vm.status;
      return { status: rest };
    });
  }
  return { vms: all.length, nodes: nodes.items.length, withoutDisk, upgraded: changed.length };
}

async function assertNothingRuns(dataDir: string): Promise<void> {
  const ids = await readdir(join(dataDir, 'vms')).catch(() => []);
  for (const id of ids) {
    const { state } = await inspectJail(join(dataDir, 'vms', id));
    if (state !== 'running') continue;
    throw new SkerryError('in-use', `The VM ${id} runs on what would be replaced`, {
      remedy: 'Stop all VMs first: `skerry list`, then `skerry stop NAME...`.',
      details: { id },
    });
  }
}

/** @throws SkerryError `in-use` */
async function assertStoreFree(dataDir: string): Promise<void> {
  if (!(await exists(join(dataDir, STORE_FILE)))) return;
  const store = await openSqliteStore({ path: join(dataDir, STORE_FILE) }).catch((error: unknown) => {
    if (SkerryError.from(error).code === 'in-use') throw error;
    return undefined; // Damaged, or of a newer Skerry: a reason to restore.
  });
  await store?.close();
}

/** An empty store, as every daemon makes it, is nothing that could be lost. */
async function assertReplaceable(dataDir: string, force: boolean): Promise<void> {
  const path = join(dataDir, STORE_FILE);
  if (!(await exists(path))) return;
  await assertStoreFree(dataDir);
  if (force) return;
  const holds = await contentsOf(path).catch((error: unknown) => SkerryError.from(error).message);
  if (holds === undefined) return;
  throw new SkerryError('conflict', `${dataDir} is in use already: ${holds}`, {
    remedy: 'Replace it with --force (make a backup of it first: `skerry daemon backup --to FILE`).',
    details: { dataDir },
  });
}

async function contentsOf(path: string): Promise<string | undefined> {
  await using store = await openSqliteStore({ path });
  const counts = await Promise.all([VM_KIND, NODE_KIND].map((kind) => new Resources(store, kind).list()));
  const [vms = 0, nodes = 0] = counts.map(({ items }) => items.length);
  return vms + nodes === 0 ? undefined : `its store has ${vms} VMs and ${nodes} nodes`;
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

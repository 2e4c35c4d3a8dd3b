import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test, vi } from 'vitest';
import { finishRestore, removeUnfinishedBackups, restoreBackup } from '../../src/backups/index.ts';
import { openSqliteStore } from '../../src/store/index.ts';
import { back, contents, DataDirs, diskOf, fill, withStore } from './host.ts';

// Each opens many stores and waits for the disk as often.
vi.setConfig({ testTimeout: 60_000 });
const dirs = new DataDirs();
afterAll(() => dirs[Symbol.asyncDispose]());

const restore = (from: string, dataDir: string, force = false) =>
  restoreBackup({ from, dataDir, imagesDir: join(dataDir, 'images'), force });
const ROUNDS = 6;
const OLD = { a: 'a', b: 'b', '': '{"names":["a","b"]}' };
const NEW = { x: 'x', y: 'y', z: 'z', '': '{"names":["x","y","z"]}' };

async function backupOfNew(): Promise<string> {
  const dir = await dirs.make();
  await fill(dir, ['x', 'y', 'z']);
  const path = join(dir, 'backup');
  await back(dir, path);
  return path;
}

test('a backup comes back on an empty machine, for its owner only, and nothing is left over', async () => {
  const backup = await backupOfNew();
  const dir = await dirs.make();
  expect(await restore(backup, dir)).toMatchObject({ vms: 3, disks: ['x', 'y', 'z'], withoutDisk: [] });
  expect(await contents(dir)).toEqual(NEW);
  expect((await stat(join(dir, 'store.db'))).mode & 0o777).toBe(0o600);
  expect((await readdir(dir)).toSorted()).toEqual(['.restore.lock', 'store.db', 'templates.json', 'vms']);
});

test('without disks the VMs come back, and those that lie there keep theirs', async () => {
  const dir = await dirs.make();
  await fill(dir, ['x', 'y']);
  const backup = join(dir, 'backup');
  await back(dir, backup, { disks: false });
  await withStore(dir, async (vms) => {
    for (const { id } of (await vms.list()).items) await vms.delete(id);
  });
  await restore(backup, dir);
  expect(await contents(dir)).toMatchObject({ x: 'x', y: 'y' });

  const elsewhere = await dirs.make();
  await restore(backup, elsewhere);
  await withStore(elsewhere, async (vms) => {
    // Its image need not be the one of a disk that is lost.
    for (const { status } of (await vms.list()).items) expect(status.imageDigest).toBeUndefined();
  });
});

test('a store with VMs is replaced only with force; an empty one is nobody’s', async () => {
  const backup = await backupOfNew();
  const dir = await dirs.make();
  await fill(dir, ['a', 'b']);
  await expect(restore(backup, dir)).rejects.toMatchObject({
    code: 'conflict',
    remedy: expect.stringContaining('--force'),
  });
  expect(await contents(dir)).toEqual(OLD);
  await restore(backup, dir, true);
  expect(await contents(dir)).toEqual(NEW);

  const empty = await dirs.make();
  await (await openSqliteStore({ path: join(empty, 'store.db') })).close();
  await restore(backup, empty);
  expect(await contents(empty)).toEqual(NEW);
});

test('settings that the backup has not are gone', async () => {
  const source = await dirs.make();
  await withStore(source, async () => undefined);
  await back(source, join(source, 'backup'));
  const dir = await dirs.make();
  await fill(dir, ['a']);
  await restore(join(source, 'backup'), dir, true);
  expect(await contents(dir)).toEqual({ '': 'none' });
});

test('refused, and all is as it was: a damaged one, one of a newer store, one while the store is open', async () => {
  const backup = await backupOfNew();
  const dir = await dirs.make();
  await fill(dir, ['a', 'b']);
  const damaged = join(dir, 'damaged');
  await cp(backup, damaged);
  await using file = await open(damaged, 'r+');
  const at = (await readFile(damaged)).indexOf(diskOf('y'));
  await file.write('!', at + 5000);
  await expect(restore(damaged, dir, true)).rejects.toMatchObject({
    code: 'failed',
    message: expect.stringContaining('disk.qcow2'),
  });

  const newer = join(dir, 'newer');
  const bytes = await readFile(backup);
  // PRAGMA user_version is at byte 60 of an SQLite file; the digest goes with it.
  const start = bytes.indexOf('SQLite format 3');
  bytes.writeUInt32BE(99, start + 60);
  const text = bytes.toString('latin1');
  const storeBytes = /"name": "store.db",\s+"sizeBytes": (\d+),\s+"sha256": "([0-9a-f]{64})"/.exec(text);
  const digest = createHash('sha256')
    .update(bytes.subarray(start, start + Number(storeBytes?.[1])))
    .digest('hex');
  bytes.write(digest, text.indexOf(storeBytes?.[2] ?? ''), 'latin1');
  await writeFile(newer, bytes);
  await expect(restore(newer, dir, true)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('format 99'),
  });

  await withStore(dir, async () => {
    await expect(restore(backup, dir, true)).rejects.toMatchObject({ code: 'in-use' });
  });
  expect(await contents(dir)).toEqual(OLD);
  expect((await readdir(dir)).filter((name) => name.startsWith('.'))).toEqual(['.restore.lock']);
});

test('kill -9 at any instant leaves the old state or the new one', async () => {
  const backup = await backupOfNew();
  const child = join(import.meta.dirname, 'restore-child.ts');
  const argv = ['--conditions=source', child, backup];
  const begin = performance.now();
  const whole = await dirs.make();
  await fill(whole, ['a', 'b']);
  await once(spawn(process.execPath, [...argv, whole], { stdio: 'inherit' }), 'exit');
  expect(await contents(whole)).toEqual(NEW);
  const wholeMs = performance.now() - begin;

  const seen = new Set<string>();
  for (let round = 0; round < ROUNDS; round += 1) {
    const dir = await dirs.make();
    await fill(dir, ['a', 'b']);
    const running = spawn(process.execPath, [...argv, dir], { stdio: 'ignore' });
    const ended = once(running, 'exit');
    // Between the first file and the last rename: what comes before needs no proof.
    while (running.exitCode === null && !(await readdir(dir)).includes('.restore')) await sleep(1);
    await sleep((round / ROUNDS) * 0.8 * wholeMs * Math.random());
    running.kill('SIGKILL');
    await ended;
    await finishRestore(dir);
    const now = await contents(dir);
    expect([OLD, NEW]).toContainEqual(now);
    expect(await readdir(dir)).not.toContain('.restore');
    seen.add('x' in now ? 'new' : 'old');
  }
  expect(seen.has('old')).toBe(true);
});

test('a commit that was written is carried out by the next daemon, from any step', async () => {
  const backup = await backupOfNew();
  const source = await dirs.make();
  await restore(backup, source);
  const entries = ['store.db', 'templates.json', ...(await readdir(join(source, 'vms'))).map((id) => `vms/${id}`)];
  for (let done = 0; done <= 2 * entries.length; done += 1) {
    const dir = await dirs.make();
    await fill(dir, ['a', 'b']);
    const work = join(dir, '.restore');
    await mkdir(join(work, 'new/vms'), { recursive: true });
    await mkdir(join(work, 'old/vms'), { recursive: true });
    for (const path of entries) await cp(join(source, path), join(work, 'new', path), { recursive: true });
    await writeFile(
      join(work, 'commit.json'),
      JSON.stringify({ version: 1, remove: ['store.db-wal'], replace: entries }),
    );
    // The first `done` renames of those that a daemon which was killed would have made.
    const steps = entries.flatMap((path) => [
      () => rename(join(dir, path), join(work, 'old', path)).catch(() => undefined),
      () => rename(join(work, 'new', path), join(dir, path)),
    ]);
    for (const step of steps.slice(0, done)) await step();
    await finishRestore(dir);
    expect(await contents(dir)).toEqual(NEW);
    await rm(dir, { recursive: true });
  }
});

test('without a commit nothing has happened', async () => {
  const dir = await dirs.make();
  await fill(dir, ['a', 'b']);
  await cp(join(dir, 'templates.json'), join(dir, '.restore/new/store.db'));
  await finishRestore(dir);
  expect(await contents(dir)).toEqual(OLD);
  await cp(join(dir, 'templates.json'), join(dir, '.backup-killed/store.db'));
  await removeUnfinishedBackups(dir);
  expect((await readdir(dir)).filter((name) => name.startsWith('.'))).toEqual(['.restore.lock']);
});

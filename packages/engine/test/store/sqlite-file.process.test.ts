import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, stat, writeFile, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { openSqliteStore } from '../../src/store/index.ts';
import { TemporaryStores } from './temporary-store.ts';

const stores = new TemporaryStores();
afterAll(() => stores[Symbol.asyncDispose]());

const child = fileURLToPath(new URL('writer-child.ts', import.meta.url));
const node = [process.execPath, '--conditions=source', child] as const;

test('what was written is there after closing and opening: entries, revision, leases', async () => {
  const path = await stores.path();
  const first = await openSqliteStore({ path });
  const lease = await first.grantLease(150);
  // Not awaited: closing waits for what was begun.
  const writes = [1, 2, 3].map((id) => first.txn({ then: [{ type: 'put', key: `/k/${id}`, value: `v${id}` }] }));
  const leased = first.txn({ then: [{ type: 'put', key: '/leased', value: 'x', leaseId: lease.id }] });
  await first.close();
  const { revision } = await leased;
  await Promise.all(writes);

  const second = await stores.open({ path });
  const { entries, revision: reopened } = await second.range({ prefix: '/k/' });
  expect(entries.map((entry) => entry.value)).toEqual(['v1', 'v2', 'v3']);
  expect(reopened).toBe(revision);
  for await (const event of second.watch({ prefix: '/leased', fromRevision: revision + 1 })) {
    expect(event).toMatchObject({ type: 'delete', key: '/leased' });
    break;
  }
});

test('only its owner can read it', async () => {
  const path = await stores.path();
  await stores.open({ path });
  for (const file of [path, `${path}-wal`]) expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
});

test('a second opening is refused, in this process and in another; the first goes on', async () => {
  const path = await stores.path();
  const store = await stores.open({ path });
  await expect(openSqliteStore({ path })).rejects.toMatchObject({ code: 'in-use', remedy: expect.any(String) });
  const other = spawn(node[0], [...node.slice(1), path], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 5000 });
  let stderr = '';
  other.stderr.on('data', (data) => (stderr += String(data)));
  await once(other, 'close');
  expect(stderr).toContain('is open in another process');
  await store.txn({ then: [{ type: 'put', key: '/a', value: '1' }] });
});

test('a file of a newer Skerry, of somebody else, or no database is refused and left as it is', async () => {
  const newer = await stores.path();
  await (await openSqliteStore({ path: newer })).close();
  const db = new DatabaseSync(newer);
  db.exec('PRAGMA user_version = 99');
  db.close();
  const foreign = await stores.path();
  await mkdir(dirname(foreign));
  const other = new DatabaseSync(foreign);
  other.exec('CREATE TABLE mine (a)');
  other.close();
  const text = await stores.path();
  await mkdir(dirname(text));
  await writeFile(text, 'not a database, but long enough to look at '.repeat(100));
  for (const [path, code, message] of [
    [newer, 'unsupported', 'format 99'],
    [foreign, 'refused', 'not one of Skerry'],
    [text, 'failed', 'damaged'],
  ] as const) {
    const before = await readFile(path);
    const error: unknown = await openSqliteStore({ path }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message), remedy: expect.any(String) });
    expect((await readFile(path)).subarray(100)).toEqual(before.subarray(100));
  }
});

test('damage within the file is found at the opening', async () => {
  const path = await stores.path();
  const store = await openSqliteStore({ path });
  for (let id = 0; id < 3; id += 1) {
    const then = Array.from({ length: 100 }, (_, index) => put(`/k/${id}/${index}`, 'v'.repeat(500)));
    await store.txn({ then });
  }
  await store.close();
  const { size } = await stat(path);
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(16 * 4096, 0xa5), 0, 16 * 4096, Math.floor(size / 2 / 4096) * 4096);
  await file.close();
  await expect(openSqliteStore({ path })).rejects.toMatchObject({
    code: 'failed',
    message: expect.stringContaining('damaged'),
    remedy: expect.stringContaining('backup'),
  });
});

test('a directory that can not be made is refused', async () => {
  const path = await stores.path();
  await writeFile(dirname(path), 'a file in the way');
  await expect(openSqliteStore({ path })).rejects.toMatchObject({
    code: 'refused',
    remedy: expect.any(String),
  });
});

test('a full store refuses what does not fit, keeps all else, and takes what fits again', async () => {
  const store = await stores.open({ maxSizeMib: 1 });
  const { revision } = await store.txn({ then: [put('/kept', 'before')] });
  const big = 'x'.repeat(100_000);
  const writes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, id) => store.txn({ then: [put(`/a/${id}`, big), put(`/b/${id}`, 'x')] })),
  );
  const refused = writes.filter((write) => write.status === 'rejected');
  expect(refused.length).toBeGreaterThan(5);
  for (const write of refused) expect(write.reason).toMatchObject({ code: 'no-space', remedy: expect.any(String) });
  const done = writes.length - refused.length;
  expect(done).toBeGreaterThan(5);
  for (const prefix of ['/a/', '/b/']) expect((await store.range({ prefix })).entries).toHaveLength(done);
  expect((await store.get('/kept'))?.value).toBe('before');
  expect((await store.range({ prefix: '/' })).revision).toBe(revision + done);
  await store.txn({ then: [{ type: 'deletePrefix', prefix: '/a/' }] });
  await store.txn({ then: [put('/a/again', big)] });
});

test('a full disk: no-space, and all that was acknowledged is there', async (context) => {
  // A file system of 2 MiB of its own, in a mount namespace: only where the kernel lets us have one.
  const path = await stores.path();
  await mkdir(dirname(path));
  const script = 'mount -t tmpfs -o size=2m skerry-test "$1" || exit 77; shift; exec "$@"';
  const args = [
    '--mount',
    '--user',
    '--map-root-user',
    'sh',
    '-c',
    script,
    'sh',
    dirname(path),
    ...node,
    path,
    '0',
    '20000',
  ];
  const writer = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const lines: string[] = [];
  createInterface(writer.stdout).on('line', (line) => lines.push(line));
  const [exitCode] = (await once(writer, 'close')) as [number];
  if (lines.length === 0 && exitCode !== 0) return context.skip('no mount namespace here');
  const end = JSON.parse(lines.pop() ?? '') as { code: string; remedy: string; keys: number };
  expect(end).toMatchObject({ code: 'no-space', remedy: expect.any(String) });
  const acknowledged = lines.length - 1;
  expect(acknowledged).toBeGreaterThan(3);
  // The other writers of the child may have had one more each on its way.
  expect(end.keys).toBeGreaterThanOrEqual(acknowledged * 2);
  expect(end.keys % 2).toBe(0);
});

test('kill -9 in the middle of writes loses nothing that was acknowledged, and no transaction half', async () => {
  const path = await stores.path();
  const acknowledged: number[] = [];
  let seed = 20_261;
  for (let round = 0; round < 2; round += 1) {
    seed = (seed * 48_271) % 2_147_483_647;
    const first = String((acknowledged.at(-1) ?? 0) + 1000);
    const writer = spawn(node[0], [...node.slice(1), path, first], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface(writer.stdout);
    lines.on('line', (line) => {
      if (line === 'open') setTimeout(() => writer.kill('SIGKILL'), seed % 120);
      else acknowledged.push(Number(line));
    });
    await once(lines, 'close');
  }
  expect(acknowledged.length).toBeGreaterThan(10);
  const store = await stores.open({ path });
  const ids = async (prefix: string): Promise<Set<number>> =>
    new Set((await store.range({ prefix })).entries.map((entry) => Number(entry.key.slice(3))));
  const a = await ids('/a/');
  expect(acknowledged.filter((id) => !a.has(id))).toEqual([]);
  expect(await ids('/b/')).toEqual(a);
});

test('writers that wait together share commits, and the loop stays free meanwhile', async () => {
  const store = await stores.open();
  const startMs = performance.now();
  let longestStallMs = 0;
  let lastMs = startMs;
  const ticking = setInterval(() => {
    longestStallMs = Math.max(longestStallMs, performance.now() - lastMs);
    lastMs = performance.now();
  }, 1);
  const writes = await Promise.all(
    Array.from({ length: 1000 }, (_, id) => store.txn({ then: [put(`/k/${id}`, 'x')] })),
  );
  clearInterval(ticking);
  expect(new Set(writes.map((write) => write.revision)).size).toBe(1000);
  // Alone each costs an fsync, 0.3 ms on a fast disk and 10 ms on a slow one; the bound is for the slow one.
  expect(performance.now() - startMs).toBeLessThan(3000);
  expect(longestStallMs).toBeLessThan(500);
});

test('a watcher that is too slow is told so; one whose keys did not change is not', async () => {
  const store = await stores.open({ history: { maxEvents: 50 } });
  const { revision } = await store.range({ prefix: '/' });
  const slow = store.watch({ prefix: '/busy', fromRevision: revision + 1 })[Symbol.asyncIterator]();
  const idle = store.watch({ prefix: '/idle', fromRevision: revision + 1 })[Symbol.asyncIterator]();
  const idleNext = idle.next();
  const slowFirst = slow.next();
  for (let id = 0; id < 100; id += 1) await store.txn({ then: [put('/busy', String(id))] });
  await store.txn({ then: [put('/idle', 'x')] });
  expect((await slowFirst).value).toMatchObject({ entry: { value: '0' } });
  await expect(slow.next()).rejects.toMatchObject({ code: 'unavailable', compactRevision: expect.any(Number) });
  expect((await idleNext).value).toMatchObject({ key: '/idle' });
  await idle.return?.();
});

function put(key: string, value: string): { type: 'put'; key: string; value: string } {
  return { type: 'put', key, value };
}

test('a copy is made while it is written to: whole, for its owner only, and what goes wrong harms the copy only', async () => {
  const path = await stores.path();
  const store = await stores.open({ path });
  const put = (id: number) => store.txn({ then: [{ type: 'put', key: `/k/${id}`, value: `v${id}` }] });
  await Promise.all([1, 2, 3].map(put));
  const later = Promise.all(Array.from({ length: 200 }, (_, index) => put(index + 4)));
  const to = `${path}.copy`;
  await store.copyTo(to);
  await later;
  expect((await stat(to)).mode & 0o777).toBe(0o600);
  const copy = await stores.open({ path: to });
  const { entries } = await copy.range({ prefix: '/k/' });
  expect(entries.length).toBeGreaterThanOrEqual(3);
  for (const { key, value } of entries) expect(value).toBe(`v${key.slice(3)}`);

  await expect(store.copyTo(to)).rejects.toMatchObject({ code: 'conflict' });
  await expect(store.copyTo('/proc/nothing')).rejects.toMatchObject({ code: 'refused' });
  await put(1000);
  await store.close();
  await expect(store.copyTo(`${path}.late`)).rejects.toMatchObject({ code: 'unavailable' });
});

import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentClient } from '../../../src/vms/agent/index.ts';
import { collect, exists, startAgent, until, type RealAgent } from './real-agent.ts';

let agent: RealAgent;
let client: AgentClient;
let dir: string;

beforeAll(async () => {
  agent = await startAgent();
  client = await agent.connect();
  dir = join(agent.dir, 'files');
  await mkdir(dir);
});
afterAll(() => agent[Symbol.asyncDispose]());

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');
const code = (value: string) => expect.objectContaining({ code: value });

test.each([0, 1, 63, 64, 65, 65_530, 5_000_000])('puts and gets %i bytes', async (bytes) => {
  const path = join(dir, `round-${bytes}`);
  const data = randomBytes(bytes);
  expect(await client.put(path, Readable.from([data]))).toEqual({ sha256: sha256(data), bytes });
  expect((await readFile(path)).equals(data)).toBe(true);
  const download = client.get(path);
  expect((await collect(download.body)).equals(data)).toBe(true);
  expect(await download.done).toEqual({ sha256: sha256(data), bytes, mode: 0o644 });
});

test('a file with the magic in it arrives unchanged', async () => {
  const data = Buffer.concat([Buffer.alloc(65_500), Buffer.from('\xf5SKERRY-AGENT/1\xfe', 'latin1'), Buffer.alloc(9)]);
  const { sha256: sum } = await client.put(join(dir, 'magic'), Readable.from([data]));
  expect(sum).toBe(sha256(data));
});

test('keeps the mode of what it replaces, sets the one given, follows a link', async () => {
  const path = join(dir, 'mode');
  await writeFile(path, 'old');
  await chmod(path, 0o750);
  await symlink(path, join(dir, 'link'));
  await client.put(join(dir, 'link'), Readable.from(['new']));
  expect((await stat(path)).mode & 0o7777).toBe(0o750);
  expect(await readFile(path, 'utf8')).toBe('new');
  await client.put(path, Readable.from(['newer']), { mode: 0o4711 });
  expect((await stat(path)).mode & 0o7777).toBe(0o4711);
});

test('a source that fails leaves the old file and nothing beside it', async () => {
  const path = join(dir, 'kept', 'file');
  await client.put(path, Readable.from(['old']), { makeParents: true });
  async function* failing() {
    yield Buffer.alloc(400_000);
    throw new Error('source broke');
  }
  await expect(client.put(path, Readable.from(failing()))).rejects.toThrow('source broke');
  await until(async () => (await readdir(join(dir, 'kept'))).length === 1);
  expect(await readFile(path, 'utf8')).toBe('old');
});

test('an announced size that differs is refused', async () => {
  const path = join(dir, 'size');
  await expect(client.put(path, Readable.from(['four']), { sizeBytes: 5 })).rejects.toEqual(code('failed'));
  expect(await exists(path)).toBe(false);
});

test('says what is wrong with a target', async () => {
  await expect(client.put(dir, Readable.from(['x']))).rejects.toEqual(code('invalid'));
  await expect(client.put(join(dir, 'no/such'), Readable.from(['x']))).rejects.toEqual(code('not-found'));
  await expect(client.put('/dev/null', Readable.from(['x']))).rejects.toEqual(code('invalid'));
  await expect(client.put('relative', Readable.from(['x']))).rejects.toEqual(code('invalid'));
});

test('a refused upload ends an endless source', async () => {
  const source = Readable.from(
    (async function* () {
      for (;;) yield Buffer.alloc(65_536);
    })(),
  );
  await expect(client.put(join(dir, 'no/such/file'), source)).rejects.toEqual(code('not-found'));
  expect(source.destroyed).toBe(true);
});

test.runIf(process.getuid?.() === 0)('a full disk is no-space, found at once when the size is known', async () => {
  const full = join(dir, 'full');
  await mkdir(full);
  await client.mount({ source: 'tmpfs', target: full, fstype: 'tmpfs', options: 'size=1m,mode=700,noexec' });
  try {
    await expect(client.put(join(full, 'a'), Readable.from([Buffer.alloc(10)]), { sizeBytes: 1e9 })).rejects.toEqual(
      code('no-space'),
    );
    await expect(client.put(join(full, 'b'), Readable.from([Buffer.alloc(2_000_000)]))).rejects.toEqual(
      code('no-space'),
    );
    expect(await readdir(full)).toEqual([]);
    expect((await stat(full)).mode & 0o777).toBe(0o700);
  } finally {
    await client.unmount(full);
  }
});

test('says what is wrong with a source', async () => {
  for (const [path, wanted] of [
    ['/no/such', 'not-found'],
    [dir, 'invalid'],
    ['/dev/zero', 'invalid'],
  ] as const) {
    const download = client.get(path);
    await expect(download.done).rejects.toEqual(code(wanted));
    await expect(collect(download.body)).rejects.toEqual(code(wanted));
  }
});

test('gets files of proc, which have no size', async () => {
  const { body, done } = client.get('/proc/self/status');
  expect((await collect(body)).toString()).toContain('Name:\tagent');
  expect((await done).bytes).toBeGreaterThan(100);
});

test('a reader that goes away ends the download', async () => {
  const path = join(dir, 'long');
  await client.put(path, Readable.from([Buffer.alloc(3_000_000)]));
  const { body, done } = client.get(path);
  body.destroy();
  await expect(done).rejects.toEqual(code('cancelled'));
  expect((await client.stat(path)).sizeBytes).toBe(3_000_000);
});

test('lists and stats', async () => {
  const folder = join(dir, 'folder');
  await mkdir(join(folder, 'sub'), { recursive: true });
  await writeFile(join(folder, 'ä file'), 'abc');
  await symlink('nowhere', join(folder, 'link'));
  expect((await client.list(folder)).map(({ name, type }) => [name, type])).toEqual([
    ['link', 'symlink'],
    ['sub', 'directory'],
    ['ä file', 'file'],
  ]);
  const entry = await client.stat(join(folder, 'ä file'));
  expect(entry).toMatchObject({ name: 'ä file', type: 'file', sizeBytes: 3, mode: 0o644 });
  expect(Math.abs(entry.mtimeMs - Date.now())).toBeLessThan(60_000);
  expect((await client.stat('/')).type).toBe('directory');
  await expect(client.list(join(folder, 'ä file'))).rejects.toEqual(code('invalid'));
  await expect(client.stat('/no/such')).rejects.toEqual(code('not-found'));
});

test('lists a folder of many frames', async () => {
  const folder = join(dir, 'many');
  await mkdir(folder);
  const names = Array.from({ length: 1500 }, (_, index) => `${String(index).padStart(5, '0')}-${'n'.repeat(150)}`);
  await Promise.all(names.map((name) => writeFile(join(folder, name), '')));
  const found = await client.list(folder);
  expect(found.length).toBe(1500);
  expect(found.every(({ name }, index) => name === names[index])).toBe(true);
});

test('a link takes the place of a file or link, not of a folder', async () => {
  const path = join(dir, 'new', 'folder', 'key');
  await client.link(path, '/run/secrets/one');
  await client.link(path, '/run/secrets/two');
  expect(await readlink(path)).toBe('/run/secrets/two');
  await writeFile(join(dir, 'plain'), 'old');
  await client.link(join(dir, 'plain'), path);
  expect(await readlink(join(dir, 'plain'))).toBe(path);
  await expect(client.link(join(dir, 'new'), path)).rejects.toThrow(/directory/i);
  await expect(client.link('relative', path)).rejects.toEqual(code('invalid'));
  expect(await readdir(join(dir, 'new', 'folder'))).toEqual(['key']);
});

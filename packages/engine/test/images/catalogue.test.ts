import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openCatalogue, readImage } from '../../src/images/catalogue.ts';
import { digestOf, uuidOf } from '../../src/images/digest.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-images-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function addImage(name: string, createdAt: string, more: Record<string, unknown> = {}): Promise<string> {
  const digest = digestOf({ name, createdAt });
  await mkdir(join(dir, digest));
  await writeFile(join(dir, digest, 'root.raw'), 'disk');
  const manifest = {
    version: 1,
    name,
    digest,
    recipeHash: digestOf({ name }),
    from: 'micro',
    createdAt,
    requires: { agent: true, kernel: 'virtio-blk+ext4' },
    minMemoryMib: 64,
    rootDisk: { file: 'root.raw', format: 'raw', virtualSizeBytes: 4, sha256: '0' },
    packages: {},
    env: {},
    ...more,
  };
  await writeFile(join(dir, digest, 'image.json'), JSON.stringify(manifest));
  return digest;
}

test('the newest image of a name is found by it, older ones by their digest', async () => {
  const old = await addImage('web', '2026-01-01T00:00:00Z');
  const between = await addImage('web', '2026-01-15T00:00:00Z');
  const later = await addImage('web', '2026-01-20T00:00:00Z');
  const young = await addImage('web', '2026-02-01T00:00:00Z');
  const catalogue = openCatalogue(dir);
  expect((await catalogue.list()).map((image) => image.digest)).toEqual([young, later, between, old]);
  expect((await catalogue.get('web')).digest).toBe(young);
  expect((await catalogue.get(old)).digest).toBe(old);
  expect((await catalogue.get(old.slice(0, 8))).digest).toBe(old);
  expect(await catalogue.find(old.slice(0, 7))).toBeUndefined();
  expect((await catalogue.get('web')).rootDiskPath).toBe(join(dir, young, 'root.raw'));
});

test('an unknown image is told with what there is', async () => {
  await addImage('web', '2026-01-01T00:00:00Z');
  await expect(openCatalogue(dir).get('wob')).rejects.toMatchObject({
    code: 'not-found',
    remedy: expect.stringContaining('web') as string,
  });
  await expect(openCatalogue(join(dir, 'none')).get('micro')).rejects.toMatchObject({
    remedy: 'Build it: `skerry image build micro`.',
  });
});

test('a deleted image leaves nothing', async () => {
  const digest = await addImage('web', '2026-01-01T00:00:00Z');
  await openCatalogue(dir).delete(digest);
  expect(await readdir(dir)).toEqual([]);
});

test('half an image is none, and one of a newer format is refused without hiding the others', async () => {
  const newer = await addImage('new', '2026-03-01T00:00:00Z', { version: 2 });
  await addImage('broken', '2026-03-01T00:00:00Z', { rootDisk: null });
  const gone = await addImage('gone', '2026-03-01T00:00:00Z');
  await rm(join(dir, gone, 'root.raw'));
  await addImage('web', '2026-01-01T00:00:00Z');
  expect((await openCatalogue(dir).list()).map((image) => image.name)).toEqual(['web']);
  await expect(readImage(dir, newer)).rejects.toMatchObject({ code: 'unsupported' });
});

test('a digest depends on the content, not on the order of keys', () => {
  expect(digestOf({ a: 1, b: [1, { c: null }] })).toBe(digestOf({ b: [1, { c: null }], a: 1 }));
  expect(digestOf({ a: 1 })).not.toBe(digestOf({ a: '1' }));
  expect(digestOf({ a: undefined, b: 1 })).toBe(digestOf({ b: 1 }));
  expect(uuidOf(digestOf('x'))).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

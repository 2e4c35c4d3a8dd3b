import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PoolSizes } from '../../src/pools/sizes.ts';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skp-'));
  path = join(dir, 'data/pools.json');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const shape = { cpus: 1, memoryMib: 128 };

test('what was set is there after a restart; size 0 takes it away', async () => {
  const sizes = new PoolSizes(path);
  expect([...(await sizes.all())]).toEqual([]);
  await Promise.all([1, 2, 3].map((size) => sizes.set(`image-${size}`, { ...shape, size })));
  await sizes.set('image-2', { ...shape, size: 0 });
  const kept = [
    ['image-1', { ...shape, size: 1 }],
    ['image-3', { ...shape, size: 3 }],
  ];
  expect([...(await sizes.all())]).toEqual(kept);
  expect([...(await new PoolSizes(path).all())]).toEqual(kept);
});

test('a file of a newer version is refused, and left as it is', async () => {
  await new PoolSizes(path).set('micro', { ...shape, size: 1 });
  const text = '{"version":2,"pools":[]}';
  await writeFile(path, text);
  const sizes = new PoolSizes(path);
  await expect(sizes.all()).rejects.toMatchObject({ code: 'unsupported', remedy: expect.stringContaining('upgrade') });
  await expect(sizes.set('micro', { ...shape, size: 2 })).rejects.toMatchObject({ code: 'unsupported' });
  expect(await readFile(path, 'utf8')).toBe(text);
});

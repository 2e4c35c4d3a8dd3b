import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bringDiskBack, dropDiskAside, setDiskAside } from '../../src/vms/disk-aside.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'aside-'));
  await writeFile(join(dir, 'disk.qcow2'), 'old');
  await writeFile(join(dir, 'disk.json'), '{"version":1,"layers":["disk.qcow2"]}');
  await writeFile(join(dir, 'console.log'), 'log');
});
afterEach(() => rm(dir, { recursive: true }));

const disk = (): Promise<string> => readFile(join(dir, 'disk.qcow2'), 'utf8');

test('what was put aside comes back whole, and what was tried instead is gone', async () => {
  await setDiskAside(dir);
  expect((await readdir(dir)).toSorted()).toEqual(['console.log', 'previous']);
  await writeFile(join(dir, 'disk.qcow2'), 'new');
  await writeFile(join(dir, 'template.qcow2'), 'new');
  expect(await bringDiskBack(dir)).toBe(true);
  expect(await disk()).toBe('old');
  await dropDiskAside(dir);
  expect((await readdir(dir)).toSorted()).toEqual(['console.log', 'disk.json', 'disk.qcow2']);
});

test('each step can be done again', async () => {
  await setDiskAside(dir);
  await writeFile(join(dir, 'disk.qcow2'), 'new');
  await setDiskAside(dir);
  for (let again = 0; again < 2; again += 1) expect(await bringDiskBack(dir)).toBe(true);
  expect(await disk()).toBe('old');
  for (let again = 0; again < 2; again += 1) await dropDiskAside(dir);
  expect(await bringDiskBack(dir)).toBe(false);
  expect(await disk()).toBe('old');
});

test('a disk that is kept goes when the new one is good', async () => {
  await setDiskAside(dir);
  await writeFile(join(dir, 'disk.qcow2'), 'new');
  await dropDiskAside(dir);
  expect(await disk()).toBe('new');
  expect(await readdir(dir)).not.toContain('previous');
});

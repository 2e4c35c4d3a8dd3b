import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** A site without a network: all that its VMs need comes in one file, and nobody there can ask a package manager. */

let connected: TestHost;
let site: TestHost;
let bundle: string;
let bin: string;
let cacheDir: string;
beforeAll(async () => {
  connected = await startTestHost();
  bundle = join(connected.dir, 'site.bundle');
  // Everything of this machine but what could fetch or build something.
  bin = await mkdtemp(join(tmpdir(), 'skb-'));
  await chmod(bin, 0o755); // VMs have users of their own, and find QEMU there.
  for (const dir of ['/usr/bin', '/bin', '/usr/local/bin']) {
    for (const name of await readdir(dir).catch(() => [])) {
      if (/^(?:apt|dpkg|gcc|cc|make|musl-gcc|curl|wget|npm)/.test(name)) continue;
      await symlink(join(dir, name), join(bin, name)).catch(() => undefined);
    }
  }
  cacheDir = join(connected.dir, 'cache');
  site = await startTestHost({ env: { PATH: bin, SKERRY_CACHE_DIR: cacheDir } });
});
afterAll(async () => {
  await site[Symbol.asyncDispose]();
  await connected[Symbol.asyncDispose]();
  await rm(bin, { recursive: true, force: true });
});

test('without a bundle such a host says that it can not build', async () => {
  const { exitCode, stderr } = await site.cli(['create', 'web', 'micro', '--start']);
  expect(exitCode).not.toBe(0);
  expect(stderr).toMatch(/apt-get/);
});

test('a bundle of a node file holds the images of its recipes; what is asked twice is in it once', async () => {
  const recipe = 'from: micro\nname: tool\nfiles: [{ path: /etc/tool, content: sharp }]\nmemoryMin: 64Mi\n';
  await writeFile(join(connected.dir, 'tool.yaml'), recipe);
  const node =
    'apiVersion: skerry/v1\nname: shop\nvms:\n  web: { image: ./tool.yaml, memory: 64Mi }\n  db: { memory: 64Mi }\n';
  await writeFile(join(connected.dir, 'shop.yaml'), node);
  const made = await connected.cli(
    ['bundle', 'create', '--to', 'site.bundle', '--node', 'shop.yaml', '--image', 'micro', '-o', 'json'],
    {
      timeoutMs: 110_000,
    },
  );
  expect(made).toMatchObject({ exitCode: 0 });
  const { images } = JSON.parse(made.stdout) as { images: Array<{ name: string }> };
  expect(images.map(({ name }) => name).toSorted()).toEqual(['micro', 'tool']);
  expect((await stat(bundle)).mode & 0o777).toBe(0o600);
});

test('damaged or hostile bundles are refused before anything changes', async () => {
  const good = await readFile(bundle);
  const bad = join(connected.dir, 'bad.bundle');
  // In the middle of a disk; at the end; in a header; of a newer version.
  const middle = Buffer.from(good);
  middle[good.length >> 1] = (middle[good.length >> 1] ?? 0) ^ 1;
  const path = Buffer.from(good.toString('latin1').replaceAll('image.json', '..//x.json'), 'latin1');
  const newer = Buffer.from(good.toString('latin1').replace('"version": 1', '"version": 9'), 'latin1');
  for (const [bytes, exitCode, message] of [
    [middle, 1, /damaged/],
    [good.subarray(0, good.length - 50_000), 1, /damaged|ends/],
    [path, 2, /no (?:bundle|archive)/],
    [newer, 5, /format 9/],
  ] as const) {
    await writeFile(bad, bytes);
    const result = await site.cli(['bundle', 'load', bad]);
    expect(result.stderr).toMatch(message);
    expect(result).toMatchObject({ exitCode, stdout: '' });
    expect(await site.client.call('image.list')).toEqual([]);
    const kernels = await readdir(join(cacheDir, 'kernels')).catch(() => []);
    expect(kernels.filter((name) => !name.endsWith('.lock'))).toEqual([]);
    const left = [...(await readdir(join(site.dirs.dataDir, 'images'))), ...(await readdir(cacheDir))];
    expect(left.filter((name) => name.startsWith('.'))).toEqual([]);
  }
});

test('loaded, VMs and nodes start there; loading again changes nothing', async () => {
  const loaded = await site.cli(['bundle', 'load', bundle]);
  expect(loaded).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Loaded') });
  const again = await site.cli(['bundle', 'load', bundle]);
  expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('there already') });
  const up = await site.cli(['node', 'up', join(connected.dir, 'shop.yaml')], { timeoutMs: 110_000 });
  expect(up.stderr).not.toContain('error');
  expect(up.exitCode).toBe(0);
  expect((await site.client.exec('shop/web', 'cat /etc/tool')).stdout).toBe('sharp');
  expect((await site.client.exec('shop/db', 'hostname')).stdout).toBe('db\n');
  const events = await site.client.call('event.list');
  expect(events.filter(({ type }) => type.startsWith('kernel.build'))).toEqual([]);
});

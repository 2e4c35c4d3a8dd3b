import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unitScope } from '../src/daemon-process/unit.ts';

/** When commands leave it to systemd to start the daemon. With a real one: tests/install/systemd.ts. */

let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'skerry-unit-'))));
afterEach(() => rm(root, { recursive: true, force: true }));

const USER = { HOME: '/home/u', XDG_RUNTIME_DIR: '/run/user/7' };

async function there(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(join(root, dirname(path)), { recursive: true });
    await writeFile(join(root, path), '');
  }
}

test.each(['/etc/systemd/system', '/usr/lib/systemd/system'])("root's is the unit in %s", async (dir) => {
  await there('/run/systemd/system/x', `${dir}/skerryd.service`);
  expect(unitScope({}, 0, root)).toBe('system');
  expect(unitScope(USER, 7, root)).toBeUndefined();
});

test("a user's is that of the user's own manager", async () => {
  await there('/run/systemd/system/x', '/run/user/7/systemd/x', '/home/u/.config/systemd/user/skerryd.service');
  expect(unitScope(USER, 7, root)).toBe('user');
  expect(unitScope({ ...USER, XDG_CONFIG_HOME: '/home/u/else' }, 7, root)).toBeUndefined();
  expect(unitScope({ HOME: '/home/u' }, 7, root)).toBeUndefined();
  expect(unitScope(USER, 0, root)).toBeUndefined();
});

test('none: no unit, no systemd, or directories of somebody else', async () => {
  await there('/run/systemd/system/x');
  expect(unitScope({}, 0, root)).toBeUndefined();
  await there('/etc/systemd/system/skerryd.service');
  for (const name of ['SKERRY_DATA_DIR', 'SKERRY_RUNTIME_DIR'])
    expect(unitScope({ [name]: '/x' }, 0, root)).toBeUndefined();
  await rm(join(root, 'run'), { recursive: true });
  expect(unitScope({}, 0, root)).toBeUndefined();
});

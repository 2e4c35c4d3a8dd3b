import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hostPaths } from '@skerry/engine';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** The same as an ordinary user: when the tests run as root, as nobody; else as whoever runs them. */

const NOBODY = 65_534;
const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
let host: TestHost;
let home: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'skh-'));
  if (!isRoot) {
    host = await startTestHost();
    return;
  }
  // A cache has to be the user's own; the kernels in it are copied, not built again.
  const cacheDir = join(home, 'cache');
  const shared = hostPaths(process.env, 0).cacheDir;
  await run('sh', [
    '-c',
    'mkdir -p "$2" && cp -r "$1/kernels" "$2/" && rm -rf "$2"/kernels/.work* "$2"/kernels/*.lock',
    'sh',
    shared,
    cacheDir,
  ]);
  await run('chown', ['-R', `${NOBODY}:${NOBODY}`, home]);
  await chmod(home, 0o700);
  host = await startTestHost({ user: { uid: NOBODY, gid: NOBODY }, env: { HOME: home, SKERRY_CACHE_DIR: cacheDir } });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});

test('a VM runs, with a network, and leaves nothing', async () => {
  const result = await host.cli([
    'run',
    'micro',
    '--',
    'sh',
    '-c',
    'id -u; ping -c 1 -w 5 10.213.0.1 >/dev/null && echo gateway',
  ]);
  expect(result).toMatchObject({ exitCode: 0, stdout: '0\ngateway\n' });
});

test('what it can not have of the confinement is said', async () => {
  const vm = await host.client.run('vm.create', { body: { name: 'web', start: true } });
  expect(vm.status.process?.uid).toBeUndefined();
  const doctor = (await host.cli(['host', 'doctor'])).stdout;
  expect(doctor).toMatch(/A user id per VM: the daemon is uid \d+/);
  expect(doctor).toMatch(/All VMs run as you/);
});

test('its VMs outlive its daemon', async () => {
  const before = (await host.client.call('vm.get', { params: { vm: 'web' } })).status.process;
  await host.kill9();
  await host.start();
  expect((await host.client.call('vm.get', { params: { vm: 'web' } })).status).toMatchObject({
    state: 'running',
    process: before,
  });
});

test('it shares its own directories, read-only as well, and no others', async () => {
  const [src, docs] = [join(home, 'src'), join(home, 'docs')];
  for (const dir of [src, docs]) await mkdir(dir);
  await writeFile(join(docs, 'a'), 'doc\n');
  if (isRoot) for (const path of [src, docs, join(docs, 'a')]) await chown(path, NOBODY, NOBODY);
  const shares = [
    { hostPath: src, guestPath: '/mnt/src' },
    { hostPath: docs, guestPath: '/mnt/docs', readonly: true },
  ];
  await host.client.run('vm.create', { body: { name: 'dev', start: true, shares } });
  const { stdout, stderr } = await host.client.exec(
    'dev',
    'cat /mnt/docs/a; echo x >/mnt/src/x; chmod 4755 /mnt/src/x; mount -o remount,rw /mnt/docs; echo x >/mnt/docs/a',
  );
  expect(stdout).toBe('doc\n');
  expect(stderr).toMatch(/Operation not permitted[^]*Read-only file system/);
  expect((await stat(join(src, 'x'))).uid).toBe((await stat(src)).uid);
  const theirs = { name: 'bad', shares: [{ hostPath: '/etc', guestPath: '/mnt/etc' }] };
  await expect(host.client.run('vm.create', { body: theirs })).rejects.toMatchObject({ code: 'refused' });
  await host.client.run('vm.delete', { params: { vm: 'dev' }, query: { force: true } });
});

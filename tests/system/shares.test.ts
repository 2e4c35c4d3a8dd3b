import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ShareInfo } from '@skerry/api';
import { createVM } from '@skerry/sdk';
import { findVirtiofsd } from '@skerry/engine';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Directories of the host in real guests: what they can do there, and what even root in the guest can not. */

const ADA = 54_321;
const isRoot = process.getuid?.() === 0;
let host: TestHost;
let src: string;
let docs: string;

beforeAll(async () => {
  host = await startTestHost();
  [src, docs] = [join(host.dir, 'src'), join(host.dir, 'docs')];
  await chmod(host.dir, 0o755);
  for (const dir of [src, docs]) await mkdir(dir);
  await writeFile(join(docs, 'a'), 'doc\n');
});
afterAll(() => host[Symbol.asyncDispose]());

async function sh(vm: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}
const states = (shares: readonly ShareInfo[]): string[] =>
  shares.map(({ guestPath, state }) => `${guestPath} ${state}`);
const list = async (vm: string): Promise<string[]> =>
  states(await host.client.call('vm.share.list', { params: { vm } }));
const start = (vm: string) => host.client.run('vm.start', { params: { vm } });

test('as typed: what one side writes the other reads, at the first start already, from a template', async () => {
  const created = await host.cli(
    ['create', 'web', 'micro', '--share', './src:/mnt/src', '--share', `${docs}:/mnt/docs:ro`, '--start'],
    { cwd: host.dir, timeoutMs: 120_000 },
  );
  expect(created).toMatchObject({ exitCode: 0 });
  const vm = await host.client.call('vm.get', { params: { vm: 'web' } });
  expect(vm.status.start).toMatchObject({ how: 'clone' });
  expect(vm.status.start?.phases.map(({ name }) => name)).toContain('shares');
  expect(await list('web')).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);

  await writeFile(join(src, 'from-host'), 'one\n');
  expect(await sh('web', 'cat /mnt/src/from-host; echo two >/mnt/src/from-guest; mkdir /mnt/src/sub')).toBe('one');
  expect(await readFile(join(src, 'from-guest'), 'utf8')).toBe('two\n');
  for (const text of ['same', 'size', 'longer']) {
    await writeFile(join(src, 'from-host'), text);
    expect(await sh('web', 'cat /mnt/src/from-host')).toBe(text);
  }
  // Whoever made it: it belongs to whom the directory belongs to.
  const { uid, gid } = await stat(src);
  for (const name of ['from-guest', 'sub']) expect(await stat(join(src, name))).toMatchObject({ uid, gid });
  await sh('web', 'head -c 3000000 /dev/urandom >/mnt/src/big; ln -s from-host /mnt/src/link; cat /mnt/src/link');
  expect(await sh('web', 'sha256sum </mnt/src/big')).toContain(
    (await promisify(execFile)('sha256sum', [join(src, 'big')])).stdout.slice(0, 64),
  );
  const shown = (await host.cli(['share', 'list', 'web'])).stdout;
  expect(shown).toMatch(/\/mnt\/docs\s+\S+\/docs\s+ro\s+9p\s+mounted/);
});

test('read-only is the host’s word: root in the guest changes nothing, however it mounts it', async () => {
  const before = await readdir(docs);
  const script = `
    for at in /mnt/docs /mnt/again; do
      mkdir -p $at; mount -t 9p -o trans=virtio,version=9p2000.L share1 $at 2>/dev/null; mount -o remount,rw $at
      cat $at/a; echo evil >$at/a; echo evil >$at/new; rm $at/a; mv $at/a $at/b; chmod 777 $at/a; ln -s x $at/l; mkdir $at/d; touch $at/a
      umount $at
    done`;
  const { stdout, stderr } = await host.client.exec('web', script);
  // The control: it was there, and it was mounted for writing, as far as the guest knows.
  expect(stdout).toBe('doc\ndoc\n');
  expect(stderr.match(/Read-only file system/g)?.length).toBeGreaterThanOrEqual(14);
  expect(await readdir(docs)).toEqual(before);
  expect(await readFile(join(docs, 'a'), 'utf8')).toBe('doc\n');
  expect((await stat(join(docs, 'a'))).mode & 0o777).toBe(0o644);
  await sh('web', 'mount -t 9p -o trans=virtio,version=9p2000.L,ro share1 /mnt/docs');
});

test('no link leads out of it, and no set-id bit or device comes of it', async () => {
  const secret = join(host.dir, 'secret');
  await writeFile(secret, 'secret\n', { mode: 0o644 });
  await symlink(secret, join(src, 'leak'));
  await symlink(host.dir, join(src, 'up'));
  await symlink('../..', join(src, 'upper'));
  const escape = await host.client.exec(
    'web',
    'cd /mnt/src; cat leak up/secret upper/secret; ls ../../secret; echo x >leak',
  );
  expect(escape.stdout).not.toContain('secret');
  expect(escape.stderr).toMatch(/can't open 'leak'[^]*can't open 'up\/secret'/);
  expect(await readFile(secret, 'utf8')).toBe('secret\n');
  // The control: for the host each of them leads there.
  for (const name of ['leak', 'up/secret']) expect(await readFile(join(src, name), 'utf8')).toBe('secret\n');

  const bits = await host.client.exec(
    'web',
    'cd /mnt/src; echo x >p; chmod 4755 p; chmod g+s p; chmod 755 p; mknod dev c 1 3',
  );
  expect(bits.stderr.match(/Operation not permitted/g)).toHaveLength(3);
  expect((await stat(join(src, 'p'))).mode & 0o7777).toBe(0o755);
});

test('a bad one is refused before anything changes, and what to do is said', async () => {
  const file = join(host.dir, 'file');
  await writeFile(file, '');
  const vms = await host.client.call('vm.list');
  const shares = [
    [`${host.dir}/none:/mnt/x`, 'not-found', /mkdir -p/],
    [`${file}:/mnt/x`, 'invalid', /skerry cp/],
    [`${src}:/`, 'invalid', /./],
    [`${src}:/proc/x`, 'invalid', /./],
    ['/etc:/mnt/x', 'refused', /Share a directory in/],
    ['/:/mnt/x', 'refused', /./],
    [`${host.dirs.dataDir}:/mnt/x`, 'refused', /outside of it/],
    [`${host.dir}:/mnt/x`, 'refused', /does not hold/],
    [`${src}:mnt`, 'invalid', /Write /],
  ] as const;
  for (const [share, code, remedy] of shares) {
    const refused = await host.cli(['create', 'bad', '--share', share, '--start', '-o', 'json']);
    expect(JSON.parse(refused.stderr || refused.stdout), share).toMatchObject({
      code,
      remedy: expect.stringMatching(remedy),
    });
    expect(refused.exitCode, share).toBeGreaterThan(0);
  }
  const twice = await host.cli(['create', 'bad', '--share', `${src}:/mnt/x`, '--share', `${docs}:/mnt/x`]);
  expect(twice).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('two shares') });
  const many = ['a', 'b', 'c', 'd'].flatMap((name) => ['--share', `${src}:/mnt/${name}`]);
  expect(await host.cli(['create', 'bad', ...many])).toMatchObject({
    exitCode: 5,
    stderr: expect.stringMatching(/room for 3/),
  });
  const node = { name: 'n', spec: { vms: { web: vmOf('/etc') }, networks: { default: {} } } };
  await expect(host.client.run('node.up', { body: node })).rejects.toMatchObject({ code: 'refused' });
  expect(await host.client.call('vm.list')).toEqual(vms);
});

const vmOf = (hostPath: string) => ({
  image: 'micro',
  cpus: 1,
  memoryMib: 128,
  shares: [{ hostPath, guestPath: '/mnt/src' }],
});

test('suspend and fork let go of it and take it up; a process that is in it is named, and nothing is lost', async () => {
  await sh('web', 'cd /mnt/src; sleep 1000 >/dev/null 2>&1 & echo $! >/run/pid');
  for (const asked of [
    host.client.run('vm.suspend', { params: { vm: 'web' } }),
    host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'twin' } }),
  ]) {
    await expect(asked).rejects.toMatchObject({ code: 'in-use', remedy: expect.stringContaining('/mnt/src') });
  }
  expect(await list('web')).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);
  expect(
    await sh(
      'web',
      'kill $(cat /run/pid); sleep 0.2; cat /mnt/docs/a; (while :; do :; done) >/dev/null 2>&1 & echo $! >/run/pid',
    ),
  ).toBe('doc');

  const [twin] = await host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'twin' } });
  expect(twin?.status.start?.how).toBe('fork');
  expect(await list('twin')).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);
  await sh('twin', 'echo twin >/mnt/src/twin');
  expect(await sh('web', 'cat /mnt/src/twin')).toBe('twin');
  await host.client.run('vm.delete', { params: { vm: 'twin' }, query: { force: true } });

  await host.client.run('vm.suspend', { params: { vm: 'web' } });
  await expect(
    host.client.run('vm.share.remove', { params: { vm: 'web' }, query: { guestPath: '/mnt/src' } }),
  ).rejects.toMatchObject({ code: 'wrong-state', remedy: expect.stringContaining('skerry start') });
  await writeFile(join(src, 'meanwhile'), 'meanwhile\n');
  expect((await start('web')).status.start?.how).toBe('resume');
  expect(await list('web')).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);
  expect(await sh('web', 'kill -0 $(cat /run/pid); cat /mnt/src/meanwhile; kill $(cat /run/pid)')).toBe('meanwhile');

  // A guest that keeps it mounted behind our back.
  await sh('web', 'mkdir -p /mnt/own; umount /mnt/src; mount -t 9p -o trans=virtio,version=9p2000.L share0 /mnt/own');
  await expect(host.client.run('vm.suspend', { params: { vm: 'web' } })).rejects.toMatchObject({
    code: 'in-use',
    remedy: expect.stringContaining('mount -t 9p'),
  });
  expect(await sh('web', 'umount /mnt/own; hostname')).toBe('web');
});

test('daemon and VM die: nothing stays mounted, and it is there again', async () => {
  // Others mount what they like meanwhile.
  const mounts = async (): Promise<string[]> =>
    (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(host.dir));
  const before = await mounts();
  await host.kill9();
  await host.start();
  expect(await sh('web', 'cat /mnt/docs/a')).toBe('doc');
  const { status } = await host.client.call('vm.get', { params: { vm: 'web' } });
  process.kill(status.process!.pid, 'SIGKILL');
  await host.client.call('vm.wait', { params: { vm: 'web' }, body: { condition: 'stopped' } });
  expect(await list('web')).toEqual(['/mnt/src at-next-start', '/mnt/docs at-next-start']);
  expect(await mounts()).toEqual(before);
  await start('web');
  expect(await list('web')).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);
});

test('the daemon dies while the memory is written: it runs on with its shares, or is suspended', async () => {
  for (const afterMs of [50, 200, 500]) {
    host.client.call('vm.suspend', { params: { vm: 'web' } }).catch(() => undefined);
    await sleep(afterMs);
    await host.kill9();
    await host.start();
    const what = `killed after ${afterMs} ms`;
    const get = () => host.client.call('vm.get', { params: { vm: 'web' } });
    const settled = async () =>
      (({ spec, status }) => spec.power === status.state && status.agent?.connected !== false)(await get());
    await expect.poll(settled, { timeout: 30_000, message: what }).toBe(true);
    await start('web');
    // Its processes go on only once it has them again.
    expect(await sh('web', 'cat /mnt/docs/a; echo x >/mnt/src/x'), what).toBe('doc');
  }
});

test('added and removed: what runs is unmounted at once, and the rest waits for the next start', async () => {
  const typed = (...args: string[]) => host.cli(['share', ...args], { cwd: host.dir });
  await mkdir(join(host.dir, 'more'));
  const vm = { params: { vm: 'web' } };
  expect(await typed('add', 'web', './more:/mnt/more')).toMatchObject({ exitCode: 0 });
  expect(await typed('remove', 'web', '/mnt/src')).toMatchObject({ exitCode: 0 });
  expect(await typed('remove', 'web', '/mnt/src')).toMatchObject({ exitCode: 3 });
  expect(await list('web')).toEqual(['/mnt/docs mounted', '/mnt/more at-next-start', '/mnt/src until-stop']);
  expect(await sh('web', 'ls -A /mnt/src')).toBe('');
  await host.client.run('vm.restart', vm);
  expect(await list('web')).toEqual(['/mnt/docs mounted', '/mnt/more mounted']);
  expect(await sh('web', 'echo x >/mnt/more/x; ls -A /mnt/src')).toBe('');
  expect(await readdir(join(host.dir, 'more'))).toEqual(['x']);
  // What is gone when it starts is said, and how to go on.
  await host.client.run('vm.stop', { ...vm, body: {} });
  await rm(join(host.dir, 'more'), { recursive: true });
  await expect(start('web')).rejects.toMatchObject({ code: 'not-found', remedy: expect.stringContaining('mkdir') });
  expect(await typed('remove', 'web', '/mnt/more')).toMatchObject({ exitCode: 0 });
  expect((await start('web')).status.state).toBe('running');
});

test('in the SDK and in a node file, with paths of their own', async () => {
  await using vm = await createVM({
    name: 'sdk',
    client: host.client,
    ephemeral: true,
    shares: [`${src}:/mnt/src`, { hostPath: docs, guestPath: '/mnt/docs', readonly: true }],
  });
  expect(states(await vm.shares())).toEqual(['/mnt/src mounted', '/mnt/docs mounted']);
  await mkdir(join(host.dir, 'node/code'), { recursive: true });
  await writeFile(join(host.dir, 'node/code/hello'), 'hello\n');
  const path = join(host.dir, 'node/node.yaml');
  await writeFile(path, "apiVersion: skerry/v1\nname: dev\nvms:\n  web:\n    shares: ['./code:/srv/code:ro']\n");
  expect(await host.cli(['up', path], { timeoutMs: 120_000 })).toMatchObject({ exitCode: 0 });
  expect(await sh('dev/web', 'cat /srv/code/hello')).toBe('hello');
  expect((await host.cli(['up', path, '--dry-run'])).stdout).toMatch(/keep\s+vm\s+dev\/web/);
});

const hasVirtiofsd = await findVirtiofsd().then(
  () => true,
  () => false,
);

test.runIf(hasVirtiofsd)('by virtiofs: the VM boots, and has the same limits; its memory is not written', async () => {
  const at = join(host.dir, 'fs');
  await mkdir(at);
  await symlink(join(host.dir, 'docs'), join(at, 'up'));
  const shares = ['--share', './fs:/mnt/fs:virtiofs', '--share', `${docs}:/mnt/docs:ro,virtiofs`];
  const created = await host.cli(['create', 'fs', 'micro', ...shares, '--start'], { cwd: host.dir });
  expect(created).toMatchObject({ exitCode: 0 });
  const { status } = await host.client.call('vm.get', { params: { vm: 'fs' } });
  expect(status.start).toMatchObject({ how: 'cold', coldReason: expect.stringContaining('virtiofs') });
  expect((await host.cli(['share', 'list', 'fs'])).stdout).toMatch(/\/mnt\/docs\s+\S+\/docs\s+ro\s+virtiofs\s+mounted/);

  for (const text of ['same', 'size', 'longer']) {
    await writeFile(join(at, 'from-host'), text);
    expect(await sh('fs', 'cat /mnt/fs/from-host')).toBe(text);
  }
  const script = `
    echo two >/mnt/fs/made; chown 1000:1000 /mnt/fs/made; chmod 666 /mnt/fs/made
    cat /mnt/fs/up/a; chmod 4755 /mnt/fs/made; mknod /mnt/fs/dev c 1 3
    mount -o remount,rw /mnt/docs; echo evil >/mnt/docs/a; echo evil >/mnt/docs/new; rm /mnt/docs/a; cat /mnt/docs/a`;
  const { stdout, stderr } = await host.client.exec('fs', script);
  expect(stdout).toBe('doc\n');
  expect(stderr.match(/Read-only file system/g)).toHaveLength(3);
  expect(stderr).toMatch(/up\/a.*No such file[^]*chmod: .*not permitted[^]*mknod: .*not permitted/);
  const { uid, gid } = await stat(at);
  expect(await stat(join(at, 'made'))).toMatchObject({ uid, gid, mode: 0o100666 });

  for (const asked of [
    host.client.run('vm.suspend', { params: { vm: 'fs' } }),
    host.client.run('vm.fork', { params: { vm: 'fs' }, body: { name: 'twin' } }),
  ]) {
    await expect(asked).rejects.toMatchObject({ code: 'unsupported', remedy: expect.stringContaining('skerry stop') });
  }
  const servers = await serversOf(status.process!.pid);
  expect(servers).toHaveLength(4);
  await host.kill9();
  await host.start();
  expect(await sh('fs', 'cat /mnt/fs/from-host')).toBe('longer');
  await host.client.run('vm.stop', { params: { vm: 'fs' }, body: {} });
  expect((await serversOf(status.process!.pid)).length).toBe(0);
  for (const pid of servers) await expect(stat(`/proc/${pid}`)).rejects.toMatchObject({ code: 'ENOENT' });
});

/** Each server and its sandbox: children of who has started the VM's process, and theirs. */
async function serversOf(vmPid: number): Promise<number[]> {
  const parentOf = async (pid: number): Promise<number> =>
    Number(/^PPid:\t(\d+)$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))?.[1] ?? 0);
  const jail = await parentOf(vmPid);
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 1 && pid !== vmPid);
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)));
  const above = (pid: number): number => parents.get(pid) ?? 0;
  return jail === 0 ? [] : pids.filter((pid) => above(pid) === jail || above(above(pid)) === jail);
}

test.runIf(isRoot)('another user’s directory needs leave, and what is made in it is his', async () => {
  const his = join(host.dir, 'his');
  await mkdir(his, { mode: 0o700 });
  await chown(his, ADA, ADA);
  const create = (on: TestHost) =>
    on.client.run('vm.create', {
      body: { name: 'his', start: true, shares: [{ hostPath: his, guestPath: '/mnt/his' }] },
    });
  await expect(create(host)).rejects.toMatchObject({
    code: 'refused',
    remedy: expect.stringContaining('SKERRY_SHARE_ROOTS='),
  });
  await using open = await startTestHost({ env: { SKERRY_SHARE_ROOTS: his, SKERRY_VIRTIOFSD: join(his, 'none') } });
  const body = { name: 'fs', shares: [{ hostPath: his, guestPath: '/mnt/his', how: 'virtiofs' as const }] };
  await expect(open.client.run('vm.create', { body })).rejects.toMatchObject({
    code: 'unsupported',
    remedy: expect.stringContaining('apt-get install virtiofsd'),
  });
  await create(open);
  await open.client.exec('his', 'echo x >/mnt/his/x; chown 0:0 /mnt/his/x');
  expect(await stat(join(his, 'x'))).toMatchObject({ uid: ADA, gid: ADA });
});

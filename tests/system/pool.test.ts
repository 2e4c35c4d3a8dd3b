import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, symlink, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { NodeSpec, Pool, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** Clones that wait: each becomes one VM, and whatever happens meanwhile, none is left that nobody wants. */

const run = promisify(execFile);
const SHAPE = { cpus: 1, memoryMib: 64 };
let host: TestHost;
let programs: string;

/** The host has a QEMU of its own, so that it can be upgraded. */
beforeAll(async () => {
  // Outside of the host's directory, which other users may not enter: QEMU runs as one.
  programs = await mkdtemp(join(tmpdir(), 'skq-'));
  await run('mkdir', ['-m', '755', '-p', join(programs, 'bin')]);
  await run('chmod', ['755', programs]);
  const { stdout } = await run('sh', ['-c', 'command -v qemu-system-x86_64']);
  await copyFile(stdout.trim(), qemu());
  // It looks for its firmware and its modules beside itself (qemu: get_relocated_path).
  for (const beside of ['share', 'lib']) await symlink(join('/usr', beside), join(programs, beside));
  host = await startTestHost({ env: { PATH: `${join(programs, 'bin')}:${process.env['PATH']}` } });
});
afterEach(async () => {
  await host.start();
  for (const { image } of await pools()) await set(image, 0);
  await host.clear();
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(programs, { recursive: true, force: true });
});

const qemu = (): string => join(programs, 'bin/qemu-system-x86_64');
const pools = (): Promise<Pool[]> => host.client.call('pool.list') as Promise<Pool[]>;
const set = (image: string, size: number): Promise<Pool> =>
  host.client.call('pool.set', { params: { image }, body: { ...SHAPE, size } });
const create = (name: string, body: object = {}): Promise<Vm> =>
  host.client.run('vm.create', { body: { name, memoryMib: 64, start: true, ...body } });
const recorded = (): Promise<string[]> => readdir(join(host.dirs.dataDir, 'pool')).catch(() => []);
const vmDirs = (): Promise<string[]> => readdir(join(host.dirs.dataDir, 'vms')).catch(() => []);

/** Its members, once as many wait as shall. */
async function full(image: string, size: number): Promise<string[]> {
  const isFull = async (): Promise<unknown> => (await pools()).find((pool) => pool.image === image);
  await expect.poll(isFull, { timeout: 30_000, interval: 20 }).toMatchObject({ size, ready: size });
  return (await pools()).find((pool) => pool.image === image)?.members ?? [];
}
async function pidOf(id: string): Promise<number> {
  const text = await readFile(join(host.dirs.dataDir, 'vms', id, 'pid'), 'utf8');
  return (JSON.parse(text) as { pid: number }).pid;
}
const isAlive = async (pid: number): Promise<boolean> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return stat !== '' && !/\) [ZX] /.test(stat);
};
async function answers({ name }: Pick<Vm, 'name'>): Promise<void> {
  expect((await host.client.exec(name, 'hostname')).stdout).toBe(`${name.split('/').at(-1)}\n`);
}

test('VMs come from a pool, and others wait in their place', async () => {
  const { exitCode, stdout } = await host.cli(['pool', 'set', 'micro', '--size', '2', '--memory', '64Mi']);
  expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/IMAGE +SIZE +READY/)]);
  const members = await full('micro', 2);
  expect((await host.client.call('host.usage')).pools).toEqual([{ image: 'micro', size: 2, ready: 2 }]);
  expect((await host.cli(['top', '--once'])).stdout).toContain('micro 2/2');

  const [a, b] = await Promise.all([create('a', { env: { COLOUR: 'red' } }), create('b')]);
  for (const vm of [a, b]) {
    expect(vm.status).toMatchObject({ state: 'running', start: { how: 'pool' } });
    expect(members).toContain(vm.id);
    await answers(vm);
  }
  const [template] = await host.client.call('template.list');
  for (const vm of [a, b]) expect(vm.status.start?.template).toBe(template?.id);
  expect((await host.client.exec('a', 'echo $COLOUR; ping -c 1 -W 5 b > /dev/null && echo met')).stdout).toBe(
    'red\nmet\n',
  );

  expect(await full('micro', 2)).not.toEqual(expect.arrayContaining([a.id]));
  expect(await host.leftovers()).toEqual([]);
  // From then on it is a VM like any other.
  const { status } = await host.client.run('vm.restart', { params: { vm: 'a' } });
  expect(status.start?.how).toBe('clone');
  await answers(a);
});

describe('bad days', () => {
  test('of a pool of size 0 nothing is left, nor of what was being made for it', async () => {
    await set('micro', 1);
    const [first = ''] = await full('micro', 1);
    await set('micro', 4);
    const beingMade = async (): Promise<string | undefined> => (await pools())[0]?.members.find((id) => id !== first);
    await expect.poll(beingMade, { interval: 5 }).toBeDefined();
    await expect.poll(async () => (await vmDirs()).length, { interval: 5 }).toBeGreaterThan(1);
    const pid = await pidOf(first);
    expect(await host.cli(['pool', 'set', 'micro', '--size', '0'])).toMatchObject({ stdout: 'micro: no pool\n' });
    // When it answers, and not some time later.
    expect([await isAlive(pid), await pools(), await vmDirs(), await recorded()]).toEqual([false, [], [], []]);
    expect(await host.leftovers()).toEqual([]);
    await sleep(500);
    expect(await vmDirs()).toEqual([]);
  });

  test('one that is killed while it waits is replaced', async () => {
    await set('micro', 2);
    const [victim = '', other = ''] = await full('micro', 2);
    process.kill(await pidOf(victim), 'SIGKILL');
    await expect.poll(async () => (await pools())[0]?.members.includes(victim)).toBe(false);
    const members = await full('micro', 2);
    expect(members).toContain(other);
    expect((await pools())[0]?.message).toBeUndefined();
    expect((await create('a')).status.start?.how).toBe('pool');
  });

  test('a daemon that is killed leaves none of them behind, finished or not', async () => {
    await set('micro', 3);
    await expect.poll(async () => (await pools())[0]?.ready, { timeout: 30_000, interval: 5 }).toBeGreaterThan(0);
    const before = await vmDirs();
    expect(before.length).toBeGreaterThan(0);
    const pids = await Promise.all(before.map((id) => pidOf(id).catch(() => undefined)));
    await host.kill9();
    expect(await recorded()).toEqual(expect.arrayContaining(before));
    await host.start();
    const members = await full('micro', 3);
    expect(members.filter((id) => before.includes(id))).toEqual([]);
    for (const pid of pids) expect(pid !== undefined && (await isAlive(pid))).toBe(false);
    expect((await vmDirs()).toSorted()).toEqual(members.toSorted());
    // An orderly end as well.
    await host.stop();
    expect([await vmDirs(), await recorded(), await host.leftovers()]).toEqual([[], [], []]);
  });

  test('one that was taken is lost before its VM starts: the VM is cloned, on a disk of its own', async () => {
    const ended = await takenNotStarted();
    process.kill(await pidOf(ended.vm.id), 'SIGKILL');
    const node = await ended.goOn();
    expect(node.status.state).toBe('up');
    const vm = await host.client.call('vm.get', { params: { vm: 'two/web' } });
    expect(vm).toMatchObject({ id: ended.vm.id, status: { state: 'running', start: { how: 'clone' } } });
    await answers(vm);
    expect(await host.log()).toContain('one that waited could not be used');
  });

  test('the daemon is killed when one was taken and its VM did not start yet: the VM starts afterwards', async () => {
    const { vm } = await takenNotStarted();
    const pid = await pidOf(vm.id);
    await host.kill9();
    await host.start();
    expect(await isAlive(pid)).toBe(false);
    await openGate();
    const isUp = async () => (await host.client.call('node.get', { params: { node: 'two' } })).status.state;
    await expect.poll(isUp, { timeout: 20_000 }).toBe('up');
    await answers(vm);
  });

  test('a VM that was taken and not started is deleted: nothing is left of the one that waited', async () => {
    const { vm, up } = await takenNotStarted();
    const pid = await pidOf(vm.id);
    await host.client.run('node.delete', { params: { node: 'two' } });
    await expect(up).rejects.toMatchObject({ code: 'cancelled' });
    expect(await isAlive(pid)).toBe(false);
    await set('micro', 0);
    expect([await vmDirs(), await recorded(), await host.leftovers()]).toEqual([[], [], []]);
  });

  test('its template is deleted, goes stale, or is not wanted any more: others take their places, or none', async () => {
    await set('micro', 1);
    const first = await full('micro', 1);
    const [template] = await host.client.call('template.list');
    await host.client.run('template.delete', { params: { template: template?.id ?? '' } });
    const second = await full('micro', 1);
    expect(second.filter((id) => first.includes(id))).toEqual([]);
    expect((await host.client.call('template.list')).map(({ id }) => id)).toEqual([template?.id]);

    await utimes(qemu(), new Date(), new Date(Date.now() - 60_000));
    const a = await create('a');
    expect(a.status.start?.how).toBe('clone');
    expect(a.status.start?.template).not.toBe(template?.id);
    await expect.poll(async () => (await pools())[0]?.members.some((id) => second.includes(id))).toBe(false);
    await full('micro', 1);
    const b = await create('b');
    expect(b.status.start).toMatchObject({ how: 'pool', template: a.status.start?.template });

    const policy = (wanted: 'never' | 'auto') =>
      host.client.call('template.policy', { params: { image: 'micro' }, body: { policy: wanted } });
    await full('micro', 1);
    await policy('never');
    expect((await create('c')).status.start?.how).toBe('cold');
    await expect
      .poll(async () => (await pools())[0])
      .toMatchObject({ ready: 0, message: expect.stringContaining('never') });
    await policy('auto');
  });
});

/** A VM of a node that has a member of the pool, and does not start before `openGate`. */
async function takenNotStarted() {
  await set('micro', 2);
  await full('micro', 2);
  const health = { kind: 'exec', argv: ['test', '-e', '/run/open'], intervalMs: 100 };
  const vm = { image: 'micro', ...SHAPE, nics: [{ network: 'inner' }] };
  const web = { ...vm, dependsOn: [{ vm: 'gate', condition: 'healthy' }] };
  const spec = { vms: { gate: { ...vm, health }, web }, networks: { inner: {} } } as unknown as NodeSpec;
  const up = host.client.run('node.up', { body: { name: 'two', spec } });
  up.catch(() => undefined);
  const gate = async () => (await host.client.call('vm.list')).find(({ name }) => name === 'two/gate')?.status.state;
  await expect.poll(gate, { timeout: 10_000, interval: 20 }).toBe('running');
  const taken = (await host.client.call('vm.list')).find(({ name }) => name === 'two/web');
  if (taken === undefined) throw new Error('two/web was not made');
  expect(taken.status.state).toBe('stopped');
  expect(await isAlive(await pidOf(taken.id))).toBe(true);
  const goOn = async () => {
    await openGate();
    return up;
  };
  return { vm: taken, up, goOn };
}
async function openGate(): Promise<void> {
  await host.client.exec('two/gate', 'touch /run/open');
}

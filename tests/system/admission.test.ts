import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SkerryError, type NodeSpec, type Pool, type Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** A host with room for so many VMs: the others are refused before anything of them is there, and nobody suffers. */

const ROOM = 6;
const MANY = 200;
/** A VM and what QEMU takes beside it. */
const EACH_MIB = 64 + 40;

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost({ env: { SKERRY_MEMORY_BUDGET: `${ROOM * EACH_MIB + 10}Mi` } });
});
afterAll(() => host[Symbol.asyncDispose]());

const create = (name: string, body: object = {}): Promise<Vm> =>
  host.client.run('vm.create', { body: { name, memoryMib: 64, start: true, ...body } });
const remove = (vm: string) => host.client.run('vm.delete', { params: { vm }, query: { force: true } });
const refused = (promise: Promise<unknown>): Promise<SkerryError> =>
  promise.then(
    () => {
      throw new Error('it was let in');
    },
    (error: unknown) => SkerryError.from(error),
  );
const names = async (): Promise<string[]> => (await host.client.call('vm.list')).map(({ name }) => name).toSorted();
const vmDirs = (): Promise<string[]> => readdir(join(host.dirs.dataDir, 'vms'));
const pool = async (): Promise<Pool | undefined> => (await host.client.call('pool.list'))[0];
const vm = { image: 'micro', cpus: 1, memoryMib: 64, nics: [{ network: 'inner' }] };
const spec = (count: number): NodeSpec =>
  ({
    vms: Object.fromEntries(Array.from({ length: count }, (_, index) => [`v${index}`, vm])),
    networks: { inner: {} },
  }) as unknown as NodeSpec;
const beat = async (name: string): Promise<number> =>
  Number((await host.client.exec(name, 'wc -c < /tmp/beats')).stdout.trim());

test(`${MANY} clones asked at once on a host with room for ${ROOM}`, async () => {
  const original = await create('original');
  await host.client.exec('original', '(while sleep 0.1; do printf x >> /tmp/beats; done) > /dev/null 2>&1 &');
  // Of another shape: none of those who ask can be made of them.
  await host.client.call('pool.set', { params: { image: 'micro' }, body: { size: 3, cpus: 2, memoryMib: 64 } });
  await expect.poll(async () => (await pool())?.ready, { timeout: 20_000, interval: 50 }).toBe(3);

  const asked = Array.from({ length: MANY }, (_, index) => `many-${index}`);
  const results = await Promise.allSettled(asked.map((name) => create(name)));
  const came = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [SkerryError.from(result.reason)] : []));
  expect([came.length, errors.length]).toEqual([ROOM - 1, MANY - ROOM + 1]);
  for (const error of errors) {
    expect(error).toMatchObject({
      code: 'no-space',
      details: { asked: 1, fits: 0, fitsMib: 0, budgetMib: ROOM * EACH_MIB + 10 },
      remedy: expect.stringContaining('SKERRY_MEMORY_BUDGET'),
    });
    expect(error.message).toMatch(/^A VM of 64Mi does not fit on this host: \d+Mi of 634Mi are promised to VMs; /);
  }
  // Those who were let in run, the pool has given way, and of the others there never was anything.
  for (const each of came) expect((await host.client.exec(each.name, 'hostname')).stdout).toBe(`${each.name}\n`);
  expect(await names()).toEqual(['original', ...came.map(({ name }) => name)].toSorted());
  expect((await vmDirs()).toSorted()).toEqual([original.id, ...came.map(({ id }) => id)].toSorted());
  const made = await host.client.call('event.list', { query: { limit: 10_000 } });
  expect(made.filter(({ type }) => type === 'vm.created')).toHaveLength(ROOM);
  expect(await pool()).toMatchObject({ ready: 0, members: [], message: expect.stringMatching(/needed the memory/) });
  expect(await host.leftovers()).toEqual([]);
  const beats = await beat('original');
  await expect.poll(() => beat('original'), { timeout: 5000 }).toBeGreaterThan(beats);
  expect((await host.client.call('vm.get', { params: { vm: 'original' } })).status.process).toEqual(
    original.status.process,
  );
});

test('what runs is counted by the next daemon, too; a VM that is stopped makes room', async () => {
  await host.client.call('pool.set', { params: { image: 'micro' }, body: { size: 0 } });
  await host.kill9();
  await host.start();
  const doctor = await host.client.call('host.doctor');
  expect(doctor.find(({ id }) => id === 'memory-budget')).toMatchObject({
    state: 'limited',
    found: '624Mi of 634Mi promised',
  });
  const cli = await host.cli(['create', '--name', 'late', '--os', 'micro', '--memory', '64Mi', '--start']);
  expect([cli.exitCode, cli.stderr]).toEqual([
    new SkerryError('no-space', '').exitCode,
    expect.stringMatching(/does not fit on this host/),
  ]);
  // One that is not to start takes only disk; its start is refused, and it is as it was.
  await create('late', { start: false });
  expect((await refused(host.client.run('vm.start', { params: { vm: 'late' } }))).code).toBe('no-space');
  expect((await host.client.call('vm.get', { params: { vm: 'late' } })).status).toMatchObject({
    state: 'stopped',
    message: expect.stringContaining('does not fit'),
  });
  const [other = ''] = (await names()).filter((name) => name.startsWith('many'));
  await host.client.run('vm.stop', { params: { vm: other }, body: { timeoutMs: 0 } });
  const { status } = await host.client.run('vm.start', { params: { vm: 'late' } });
  expect(status.state).toBe('running');
  await host.client.run('vm.suspend', { params: { vm: 'late' } });
  await create('another');
  expect((await refused(host.client.run('vm.start', { params: { vm: 'late' } }))).code).toBe('no-space');
  expect((await host.client.call('vm.get', { params: { vm: 'late' } })).status.state).toBe('suspended');
});

test('a fork that does not fit as a whole is refused before the original stands still', async () => {
  for (const name of await names()) if (name !== 'original' && name !== 'another') await remove(name);
  const left = await names();
  expect(left).toEqual(['another', 'original']);
  const body = { name: 'copy', count: 9 };
  const error = await refused(host.client.run('vm.fork', { params: { vm: 'original' }, body }));
  expect(error).toMatchObject({ code: 'no-space', details: { asked: 9, fits: 4 } });
  expect(error.message).toMatch(/^9 VMs of 64Mi do not fit on this host: .*; 4 would$/);
  expect(error.remedy).toMatch(/^Ask for 4 at most/);
  expect(await names()).toEqual(left);
  const events = await host.client.call('event.list', { query: { limit: 10_000 } });
  expect(events.some(({ type }) => type === 'vm.forked')).toBe(false);
});

test('a node that does not fit as a whole is refused before anything changes', async () => {
  for (const name of await names()) await remove(name);
  const up = (count: number) => host.client.run('node.up', { body: { name: 'shop', spec: spec(count) } });
  const networks = async (): Promise<string[]> => (await host.client.call('network.list')).map(({ name }) => name);
  const before = await networks();
  const error = await refused(up(ROOM + 3));
  expect(error).toMatchObject({ code: 'no-space', details: { asked: 9, fits: ROOM } });
  expect([await host.client.call('node.list'), await names(), await networks()]).toEqual([[], [], before]);

  await up(4);
  const processes = async () => (await host.client.call('vm.list')).map(({ status }) => status.process?.pid);
  const running = await processes();
  expect((await refused(up(7))).details).toMatchObject({ asked: 7, fits: 6 });
  // What runs already fits, however much was asked of it before.
  await up(4);
  expect(await processes()).toEqual(running);
  const fork = host.client.run('node.fork', { params: { node: 'shop' }, body: { name: 'shop-b' } });
  expect((await refused(fork)).details).toMatchObject({ asked: 4, fits: 2 });
  expect((await host.client.call('node.list')).map(({ name }) => name)).toEqual(['shop']);
  expect(await processes()).toEqual(running);

  // What was saved waits for room, and the node stays as it is until there is.
  await host.client.run('node.save', { params: { node: 'shop' }, body: { name: 'full' } });
  await host.client.run('node.down', { params: { node: 'shop' } });
  for (const name of ['x', 'y', 'z']) await create(name);
  const restore = () => host.client.run('node.restore', { params: { node: 'shop' }, body: { save: 'full' } });
  expect((await refused(restore())).details).toMatchObject({ asked: 4, fits: 3 });
  expect((await host.client.call('node.get', { params: { node: 'shop' } })).status.state).toBe('down');
  await remove('z');
  expect((await restore()).status.state).toBe('up');
});

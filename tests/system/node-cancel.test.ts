import type { NodeUpInput, Task } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** An `up` that does not come to an end says why, and gives way when its node is taken down or deleted. */

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const vm = (change: object = {}) => ({
  image: 'micro',
  cpus: 1,
  memoryMib: 64,
  nics: [{ network: 'inner' }],
  ...change,
});
/** Nobody listens there. */
const never = { health: { kind: 'tcp' as const, port: 9 } };
const node = (vms: NodeUpInput['spec']['vms']): NodeUpInput => ({
  name: 'stuck',
  spec: { vms, networks: { inner: { egress: false } } },
});

const states = async (): Promise<string[]> =>
  (await host.client.call('vm.list')).map(({ name, status }) => `${name} ${status.state}`).toSorted();

/** An `up` in the background, once it waits for the health check that never passes. */
async function upWaiting(body: NodeUpInput): Promise<Task> {
  const task = await host.client.call('node.up', { body });
  await expect
    .poll(async () => (await get(task)).progress?.message, { timeout: 60_000 })
    .toMatch(/^stuck\/\w+: waiting for .*: .*refused/i);
  return task;
}
const get = (task: Task): Promise<Task> => host.client.call('task.get', { params: { task: task.id } });

test('a first up: down cancels it, and nothing is left', async () => {
  const up = await upWaiting(node({ db: vm(never), web: vm({ dependsOn: [{ vm: 'db', condition: 'healthy' }] }) }));
  const db = await host.client.call('vm.get', { params: { vm: 'stuck/db' } });
  expect(db.status).toMatchObject({ health: 'starting', healthMessage: expect.stringMatching(/refused/i) });
  const waited = await host.cli(['wait', 'stuck/db', 'healthy', '--timeout', '100ms']);
  expect(waited.stderr).toMatch(/health starting \(.*refused/i);

  const beganMs = performance.now();
  const down = await host.cli(['node', 'down', 'stuck']);
  expect(down, down.stderr).toMatchObject({ exitCode: 0 });
  expect(performance.now() - beganMs).toBeLessThan(20_000);
  expect(await get(up)).toMatchObject({
    state: 'cancelled',
    error: { message: 'cancelled: the node is being taken down' },
  });
  expect(await host.client.call('node.list')).toEqual([]);
  expect(await states()).toEqual([]);
}, 180_000);

test('who waits for the up is told; a later one leaves what was declared, and that is taken down', async () => {
  await host.client.run('node.up', { body: node({ web: vm() }) });
  const up = host.client.follow(await upWaiting(node({ web: vm(), db: vm(never) })));
  up.catch(() => undefined);
  const down = await host.client.run('node.down', { params: { node: 'stuck' } });
  await expect(up).rejects.toMatchObject({
    code: 'cancelled',
    message: 'Bring up stuck: cancelled: the node is being taken down',
  });
  expect([Object.keys(down.spec.vms), down.status.state]).toEqual([['web'], 'down']);
  expect(await states()).toEqual(['stuck/web stopped']);
}, 180_000);

test('delete cancels it, too', async () => {
  const up = await upWaiting(node({ web: vm(), db: vm(never) }));
  await host.client.run('node.delete', { params: { node: 'stuck' } });
  expect(await get(up)).toMatchObject({
    state: 'cancelled',
    error: { message: 'cancelled: the node is being deleted' },
  });
  expect(await host.client.call('node.list')).toEqual([]);
  expect(await states()).toEqual([]);
  expect(await host.leftovers({ idleNetwork: false })).toEqual([]);
}, 180_000);

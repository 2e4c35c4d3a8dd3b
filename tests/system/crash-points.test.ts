import { execFile } from 'node:child_process';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { nodeUp } from '../soak/actions.ts';
import { KillRounds } from '../soak/rounds.ts';

/** A sample of `npm run soak`: the same rounds, few of them. Another seed is another sample: SKERRY_SEED=N. */

const ROUNDS = 8;
const seed = Number(process.env['SKERRY_SEED'] ?? 20_260);

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

test(`the daemon is killed ${ROUNDS} times at random moments (seed ${seed}): no VM is lost, nothing is left over`, async () => {
  const rounds = new KillRounds(host, seed);
  for (let done = 0; done < ROUNDS; done += 1) {
    if (done === ROUNDS / 3) await rounds.addWitness();
    const { problems, ...report } = await rounds.round();
    expect(problems, JSON.stringify(report)).toEqual([]);
  }
}, 300_000);

test('killed while the last VM is deleted: the switch does not stay behind', async () => {
  await host.clear();
  for (const afterMs of [0, 20, 40, 80]) {
    const { id } = await host.client.run('vm.create', { body: { name: 'last', memoryMib: 64, start: true } });
    const remove = (): Promise<unknown> =>
      host.client.call('vm.delete', { params: { vm: id }, query: { force: true } }).catch(() => undefined);
    await remove();
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    await host.kill9();
    await host.start();
    // It may have died before the wish was on disk: then it is asked once more.
    const states = async () => (await host.client.call('vm.list')).map(({ status }) => status.state);
    if ((await states())[0] === 'running') await remove();
    await expect.poll(states, { timeout: 20_000 }).toEqual([]);
    expect(await host.leftovers({ idleNetwork: false }), `killed after ${afterMs} ms`).toEqual([]);
  }
});

test('killed while one VM of a node that is up restarts: it comes back', async () => {
  const { client } = host;
  await client.run('node.up', { body: nodeUp('n', 'first') });
  const { restarts } = (await client.call('vm.get', { params: { vm: 'n/web' } })).spec;
  const accepted = client.call('vm.restart', { params: { vm: 'n/web' } });
  await accepted;
  await expect
    .poll(async () => (await client.call('vm.get', { params: { vm: 'n/web' } })).status.state, { interval: 10 })
    .toBe('starting');
  await host.kill9();
  await host.start();
  await host.client.call('vm.wait', { params: { vm: 'n/web' }, body: { condition: 'agent', timeoutMs: 30_000 } });
  const { spec, status } = await host.client.call('vm.get', { params: { vm: 'n/web' } });
  expect([spec.restarts, status.restarts]).toEqual([restarts + 1, restarts + 1]);
  expect(await host.leftovers()).toEqual([]);
});

test.for([false, true])(
  'a node is deleted, the daemon killed meanwhile: %s: nothing of it stays behind',
  async (kills) => {
    await host.client.run('node.up', { body: nodeUp('n', 'first') });
    const { id } = (await host.client.call('node.list'))[0] ?? { id: '' };
    const [a, b] = (await host.client.call('vm.list')).map(({ name }) => name).filter((name) => name.startsWith('n/'));
    // It goes with its VMs, both of which go at once.
    await host.client.run('link.create', { body: { ends: [`${a}:eth1`, `${b}:eth1`] } });
    const deleting = host.client.run('node.delete', { params: { node: 'n' } });
    if (kills) {
      deleting.catch(() => undefined);
      await expect
        .poll(async () => (await host.client.call('node.get', { params: { node: id } })).status.state, { interval: 10 })
        .toBe('stopping');
      await host.kill9();
      await host.start();
    } else {
      await deleting;
    }
    await expect.poll(() => host.client.call('node.list'), { timeout: 20_000 }).toEqual([]);
    expect((await host.client.call('vm.list')).filter(({ name }) => name.startsWith('n/'))).toEqual([]);
    await expect.poll(() => host.client.call('link.list'), { timeout: 5000 }).toEqual([]);
  },
);

test('killed when a start has hardly begun: the end of the run before is not taken for its end', async () => {
  const vm = { params: { vm: 'again' } };
  const { id } = await host.client.run('vm.create', { body: { name: 'again', memoryMib: 64, start: true } });
  await host.client.run('vm.stop', { ...vm, body: {} });
  // A pipe that nobody reads holds the start up before QEMU's, in the state that takes some milliseconds otherwise.
  const log = join(host.dirs.dataDir, 'vms', id, 'console.log');
  await rename(log, `${log}.kept`);
  await promisify(execFile)('mkfifo', [log]);
  host.client.call('vm.start', vm).catch(() => undefined);
  await expect.poll(async () => (await host.client.call('vm.get', vm)).status.state).toBe('starting');
  await host.kill9();
  await rename(`${log}.kept`, log);
  await host.start();
  await host.client.call('vm.wait', { ...vm, body: { condition: 'agent' } });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SkerryEvent, Vm, VmCreateInput } from '@skerry/api';
import { createVM } from '@skerry/sdk';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** VMs that fail and come back by their restart policy, and those that do not. */

let host: TestHost;
/** Its daemon is not killed: one VM flaps there all the while, for a minute of back-off. */
let steady: TestHost;
let flapping: Promise<Flapped>;
beforeAll(async () => {
  [host, steady] = await Promise.all([startTestHost(), startTestHost()]);
  flapping = flap();
  flapping.catch(() => undefined);
});
afterAll(() => Promise.all([host, steady].map((each) => each[Symbol.asyncDispose]())));

/** Long enough to be seen waiting, also by a busy machine's command line. */
const BACKOFF_MS = 5000;

const get = (name: string, { client } = host): Promise<Vm> => client.call('vm.get', { params: { vm: name } });
const create = (body: VmCreateInput, { client } = host): Promise<Vm> =>
  client.run('vm.create', { body: { memoryMib: 64, ...body } });
const remove = (vm: string, { client } = host) => client.run('vm.delete', { params: { vm }, query: { force: true } });
const eventsOf = async (name: string, { client } = host): Promise<SkerryEvent[]> =>
  (await client.call('event.list')).filter(({ subject }) => subject?.name === name);
const killQemu = async (name: string): Promise<number> => {
  const pid = (await get(name)).status.process?.pid ?? Number.NaN;
  process.kill(pid, 'SIGKILL');
  return pid;
};
const waitFor = (name: string, state: Vm['status']['state'], timeout = 20_000) =>
  expect.poll(async () => (await get(name)).status.state, { timeout, interval: 20 }).toBe(state);
/** With another process than before. */
const runsAnew = (name: string, pid: number | undefined) =>
  expect
    .poll(
      async () => {
        const { state, process } = (await get(name)).status;
        return state === 'running' && process?.pid !== pid;
      },
      { timeout: 60_000 },
    )
    .toBe(true);

describe('on-failure', () => {
  test('a VM whose QEMU is killed is told to come back, and does', async () => {
    await create({ name: 'web', restart: { policy: 'on-failure', backoffMs: BACKOFF_MS }, start: true });
    const pid = await killQemu('web');
    await waitFor('web', 'crashed');
    expect((await get('web')).status).toMatchObject({
      message: expect.stringContaining('SIGKILL'),
      recovery: { phase: 'waiting', tries: 1, dueAt: expect.any(String) },
    });
    expect((await host.cli(['list'])).stdout).toMatch(/web +crashed .*restarts in \d+ s \(try 1\)/);
    expect((await host.cli(['info', 'web'])).stdout).toMatch(/crashed: .*SIGKILL.*; restarts in \d+ s \(try 1\)/);
    await runsAnew('web', pid);
    expect((await get('web')).status.recovery).toMatchObject({ phase: 'up', tries: 1 });
    // An event is written beside the status, not before it.
    await expect
      .poll(async () => (await eventsOf('web')).map(({ type }) => type).slice(-3))
      .toEqual(['vm.crashed', 'vm.restart-due', 'vm.started']);
    expect((await eventsOf('web')).at(-2)?.message).toMatch(/^web restarts in 5.0s \(try 1\); .*SIGKILL/);
    // Soon after it was up: it waits for longer.
    await killQemu('web');
    await waitFor('web', 'crashed');
    expect((await get('web')).status.recovery).toMatchObject({ phase: 'waiting', tries: 2 });
    // A user's start does not wait, and begins anew.
    expect((await host.cli(['start', 'web'])).exitCode).toBe(0);
    expect((await get('web')).status.recovery).toBeUndefined();
  });

  test('a kernel that panics comes back; a guest that powers itself off does not', async () => {
    const { process } = (await get('web')).status;
    await host.cli(['exec', 'web', '--', 'sh', '-c', 'echo c > /proc/sysrq-trigger']);
    await runsAnew('web', process?.pid);
    await host.cli(['exec', 'web', '--', 'poweroff']);
    await waitFor('web', 'stopped');
    expect(await get('web')).toMatchObject({ spec: { power: 'stopped' } });
  });

  test("a user's stop is never undone, neither of one that runs nor of one that waits", async () => {
    await host.client.run('vm.start', { params: { vm: 'web' } });
    expect((await host.cli(['stop', 'web'])).exitCode).toBe(0);
    await host.client.run('vm.start', { params: { vm: 'web' } });
    await killQemu('web');
    await waitFor('web', 'crashed');
    expect((await host.cli(['stop', 'web'])).exitCode).toBe(0);
    await host.kill9();
    await host.start();
    await new Promise((resolve) => setTimeout(resolve, BACKOFF_MS + 2000));
    expect(await get('web')).toMatchObject({ spec: { power: 'stopped' }, status: { state: 'crashed' } });
    expect((await get('web')).status.recovery).toBeUndefined();
    await remove('web');
  });

  test('what was decided outlives the daemon', async () => {
    const restart = { policy: 'on-failure', backoffMs: BACKOFF_MS } as const;
    await createVM({
      client: host.client,
      name: 'late',
      memory: '64Mi',
      restart,
      stopGracePeriod: '3s',
      autostart: 'off',
    });
    expect((await get('late')).spec).toMatchObject({ restart, stopGracePeriodMs: 3000, autostart: 'off' });
    const pid = await killQemu('late');
    await waitFor('late', 'crashed');
    const { recovery } = (await get('late')).status;
    await host.kill9();
    await host.start();
    expect((await get('late')).status.recovery).toEqual(recovery);
    await runsAnew('late', pid);
    expect(Date.parse((await get('late')).status.start?.at ?? '')).toBeGreaterThanOrEqual(
      Date.parse(recovery?.dueAt ?? ''),
    );
    // One that ends while no daemon runs comes back as well.
    const second = (await get('late')).status.process?.pid;
    await host.kill9();
    process.kill(second ?? Number.NaN, 'SIGKILL');
    await host.start();
    await runsAnew('late', second);
    await remove('late');
  });
});

test('as typed: a command that fails restarts its VM so often, then it is said what to do', async () => {
  const args = ['create', 'job', 'micro', '--memory', '64Mi', '--restart', 'on-failure:2', '--start', '--'];
  const made = await steady.cli([...args, 'sh', '-c', 'echo ran >> /root/runs; sync; exit 3']);
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  await expect.poll(async () => (await get('job', steady)).spec.power, { timeout: 40_000 }).toBe('stopped');
  const { status } = await get('job', steady);
  expect(status).toMatchObject({ state: 'crashed', exit: { reason: 'its command failed: it ended with exit code 3' } });
  expect(status.message).toMatch(/left stopped, for 2 tries were in vain: see `skerry logs job` .*`skerry start job`/);
  expect((await steady.cli(['info', 'job'])).stdout).toContain('on-failure:2');
  const types = (await eventsOf('job', steady)).map(({ type }) => type);
  expect(types.filter((type) => type === 'vm.restart-due')).toHaveLength(2);
  expect(types.at(-1)).toBe('vm.restart-given-up');
  await remove('job', steady);
});

test('a guest gets its grace period, and --force none', async () => {
  const trap = [
    'sh',
    '-c',
    'trap "" HUP; trap "sleep 6; echo done > /root/done; sync; exit 0" TERM; while :; do sleep 0.1; done',
  ];
  const made = await steady.cli(['create', 'slow', 'micro', '--stop-grace-period', '20s', '--start', '--', ...trap]);
  expect(made, made.stderr).toMatchObject({ exitCode: 0 });
  expect(await steady.cli(['stop', 'slow'])).toMatchObject({ exitCode: 0 });
  expect((await get('slow', steady)).status.exit?.reason).toBe('shut down as asked');
  expect(await steady.cli(['start', 'slow'])).toMatchObject({ exitCode: 0 });
  expect((await steady.client.exec('slow', ['cat', '/root/done'])).stdout).toBe('done\n');
  const atMs = performance.now();
  expect(await steady.cli(['stop', 'slow', '--force'])).toMatchObject({ exitCode: 0 });
  expect(performance.now() - atMs).toBeLessThan(5000);
  await remove('slow', steady);
}, 120_000);

test('always: also when the guest powers itself off; one that flaps is left stopped', async () => {
  const { first, last } = await flapping;
  expect(first).toMatchObject({ state: 'stopped', recovery: { phase: expect.any(String) } });
  expect(last.message).toMatch(/left stopped, for it has ended 10 times within .*: see .*`skerry start flaps`/);
  expect((await steady.cli(['list'])).stdout).toMatch(/flaps .*left stopped/);
  await remove('flaps', steady);
}, 180_000);

test.each([
  [['--restart', 'sometimes'], /no restart policy/, /on-failure:5/],
  [['--restart', 'never:3'], /no restart policy/, /on-failure:5/],
  [['--restart', 'always:0'], /no restart policy/, /on-failure:5/],
  [['--restart', 'always', '--ephemeral'], /ephemeral/i, /--restart/],
  [['--stop-grace-period', 'long'], /not a duration/, /30s/],
])('create %j is refused', async (flags, message, remedy) => {
  const result = await host.cli(['create', 'bad', 'micro', ...flags]);
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toMatch(message);
  expect(result.stderr).toMatch(remedy);
  await expect(get('bad')).rejects.toMatchObject({ code: 'not-found' });
});

interface Flapped {
  /** When its command had ended for the first time. */
  readonly first: Vm['status'];
  readonly last: Vm['status'];
}

/** It ends by itself once, and is then killed whenever it runs, until its policy has had enough. */
async function flap(): Promise<Flapped> {
  const restart = { policy: 'always', backoffMs: 100 } as const;
  await create({ name: 'flaps', restart, command: ['sh', '-c', 'exit 0'], start: true }, steady);
  let first: Vm['status'] | undefined;
  let killed: number | undefined;
  for (;;) {
    const { spec, status } = await get('flaps', steady);
    if (status.state === 'stopped') first ??= status;
    if (spec.power === 'stopped') return { first: first ?? status, last: status };
    const pid = first === undefined ? undefined : status.process?.pid;
    try {
      if (pid !== undefined && pid !== killed) process.kill((killed = pid), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

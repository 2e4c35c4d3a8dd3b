import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError, Task } from '@skerry/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Store } from '../../src/store/index.ts';
import { currentSignal, currentTask, TaskService, uninterrupted, type TaskContext } from '../../src/tasks/index.ts';
import { TemporaryStores } from '../store/temporary-store.ts';

const stores = new TemporaryStores();
let store: Store;
let tasks: TaskService;
beforeAll(async () => {
  store = await stores.open();
  tasks = new TaskService(store, { flushIntervalMs: 20 });
  await tasks.recover();
});
afterAll(() => stores[Symbol.asyncDispose]());

const start = (run: (context: TaskContext) => unknown, target?: Task['target']): Task =>
  tasks.start({ kind: 'test.run', description: 'Run a test', run, target });

/** Ends with the signal only. */
async function forever(signal: AbortSignal): Promise<never> {
  await new Promise((resolve) => signal.addEventListener('abort', resolve));
  throw signal.reason;
}

test('returns at once, runs, ends with its result on disk', async () => {
  const gate = Promise.withResolvers<void>();
  const target = { kind: 'vm', id: '1', name: 'web' };
  const task = start(() => gate.promise.then(() => ({ address: '10.0.0.2' })), target);
  expect(Task.parse(task)).toEqual(task);
  expect(task).toMatchObject({ state: 'pending', target, cancelRequested: false });
  await sleep(0);
  expect(await tasks.get(task.id)).toMatchObject({ state: 'running' });
  gate.resolve();
  const ended = await tasks.wait(task.id);
  expect(ended).toMatchObject({ state: 'succeeded', result: { address: '10.0.0.2' } });
  expect(Task.parse(ended)).toEqual(ended);
  expect(JSON.parse((await store.get(`/tasks/${task.id}`))?.value ?? '')).toEqual(ended);
  expect(await tasks.result(task.id)).toEqual({ address: '10.0.0.2' });
});

test('a failure keeps code, message, remedy; what is no error of ours is a bug', async () => {
  const failing = start(() => {
    throw new SkerryError('no-space', 'full', { remedy: 'free some', details: { path: '/x' } });
  });
  expect(await tasks.wait(failing.id)).toMatchObject({
    state: 'failed',
    error: { code: 'no-space', message: 'full', remedy: 'free some', details: { path: '/x' } },
  });
  await expect(tasks.result(failing.id)).rejects.toMatchObject({ code: 'no-space', remedy: 'free some' });
  const broken = start(() => Promise.reject(new TypeError('oops')));
  expect(await tasks.wait(broken.id)).toMatchObject({ state: 'failed', error: { code: 'internal', message: 'oops' } });
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  expect(await tasks.wait(start(() => circular).id)).toMatchObject({ state: 'failed', error: { code: 'internal' } });
});

test('progress is seen by watchers, in order, and written a few times only', async () => {
  const task = start(async ({ progress }) => {
    for (let index = 0; index < 200; index += 1) {
      progress(`step ${index}`, index / 100);
      if (index % 4 === 3) await sleep(2);
    }
  });
  const seen: Task[] = [];
  for await (const each of tasks.watch(task.id)) seen.push(each);
  expect(seen.at(-1)).toMatchObject({ state: 'succeeded', progress: { message: 'step 199', fraction: 1 } });
  const steps = seen.map((each) => Number(each.progress?.message.slice(5) ?? -1));
  expect(steps).toEqual(steps.toSorted((a, b) => a - b));
  expect(seen.length).toBeGreaterThan(3);
  expect((await store.get(`/tasks/${task.id}`))?.version).toBeLessThan(25);
});

test('cancel aborts the signal; what is taken back is not cancelled too', async () => {
  const trace: string[] = [];
  const task = start(async ({ signal }) => {
    try {
      await forever(signal);
    } finally {
      trace.push(`silent: ${uninterrupted(() => currentSignal()?.aborted)}, own: ${currentSignal()?.aborted}`);
      await sleep(10);
      trace.push('taken back');
    }
  });
  await sleep(5);
  expect(await tasks.cancel(task.id)).toMatchObject({ state: 'running', cancelRequested: true });
  await tasks.cancel(task.id);
  const ended = await tasks.wait(task.id);
  expect(ended.state).toBe('cancelled');
  expect(ended.error).toBeUndefined();
  expect(trace).toEqual(['silent: false, own: true', 'taken back']);
  await expect(tasks.cancel(task.id)).rejects.toMatchObject({
    code: 'wrong-state',
    message: expect.stringContaining('cancelled'),
    remedy: expect.any(String),
  });
  await expect(tasks.cancel('none')).rejects.toMatchObject({ code: 'not-found' });
});

test('cancelled early it never begins; too late it has succeeded; badly taken back it says so', async () => {
  let didRun = false;
  const early = start(() => void (didRun = true));
  await tasks.cancel(early.id);
  await tasks.wait(early.id);
  const late = start(() => sleep(20));
  const bad = start(({ signal }) =>
    forever(signal).catch(() => {
      throw new SkerryError('failed', 'could not delete the disk');
    }),
  );
  await sleep(0);
  await Promise.all([tasks.cancel(late.id), tasks.cancel(bad.id)]);
  expect((await tasks.wait(late.id)).state).toBe('succeeded');
  expect(await tasks.wait(bad.id)).toMatchObject({
    state: 'cancelled',
    error: { message: 'could not delete the disk' },
  });
  expect([didRun, (await tasks.get(early.id)).state]).toEqual([false, 'cancelled']);
});

test('what ends because something else was wished is cancelled, and says why', async () => {
  const task = start(() => {
    throw new SkerryError('cancelled', 'cancelled: the node is being taken down');
  });
  expect(await tasks.wait(task.id)).toMatchObject({
    state: 'cancelled',
    cancelRequested: false,
    error: { code: 'cancelled', message: 'cancelled: the node is being taken down' },
  });
});

test('the current task is known however deep, and no more once it has ended', async () => {
  const leaked = Promise.withResolvers<unknown[]>();
  const task = start(async (context) => {
    await sleep(1);
    expect(currentTask()).toBe(context);
    expect(currentSignal()).toBe(context.signal);
    void sleep(50).then(() => leaked.resolve([currentTask(), currentSignal()]));
  });
  expect((await tasks.wait(task.id)).state).toBe('succeeded');
  expect(await leaked.promise).toEqual([undefined, undefined]);
  expect(currentTask()).toBeUndefined();
});

test('a task started in another names it, and is cancelled with it', async () => {
  let child: Task | undefined;
  const parent = start(async ({ signal }) => {
    child = start(({ signal: own }) => forever(own));
    await forever(signal);
  });
  await sleep(5);
  expect(child?.parentId).toBe(parent.id);
  await tasks.cancel(parent.id);
  expect((await tasks.wait(child?.id ?? '')).state).toBe('cancelled');
});

test('an abort of the wait leaves the task alone', async () => {
  const task = start(({ signal }) => forever(signal));
  await expect(tasks.wait(task.id, AbortSignal.timeout(10))).rejects.toMatchObject({ code: 'cancelled' });
  expect((await tasks.get(task.id)).state).toBe('running');
  await tasks.cancel(task.id);
  await expect(tasks.wait('none')).rejects.toMatchObject({ code: 'not-found' });
});

test('log: followed as it comes, complete at the end, bounded', async () => {
  const task = start(async ({ log }) => {
    log('first');
    await sleep(40);
    log('x'.repeat(5000));
    for (let index = 0; index < 500; index += 1) log(`burst ${index}`);
    log('lost');
  });
  const lines: string[] = [];
  for await (const { line } of tasks.followLog(task.id)) lines.push(line);
  expect(lines[0]).toBe('first');
  expect(lines[1]).toHaveLength(2000);
  expect(lines).toHaveLength(1 + 200 + 1);
  expect(lines.at(-1)).toBe('(302 lines left out)');
  expect((await tasks.log(task.id)).map(({ line }) => line)).toEqual(lines);
});

test('list: newest first, by state and target', async () => {
  const target = { kind: 'vm', id: 'list-me', name: 'web' };
  const ids: string[] = [];
  for (const fails of [false, true, false]) {
    const { id } = start(() => (fails ? Promise.reject(new SkerryError('failed', 'x')) : 1), target);
    ids.push(id);
    await tasks.wait(id);
  }
  const listed = async (query: Parameters<TaskService['list']>[0]): Promise<string[]> =>
    (await tasks.list({ targetId: 'list-me', ...query })).map(({ id }) => id);
  expect(await listed({})).toEqual(ids.toReversed());
  expect(await listed({ states: ['failed'] })).toEqual([ids[1]]);
  expect(await listed({ limit: 1 })).toEqual([ids[2]]);
  expect(await listed({ after: ids[2] })).toEqual([ids[1], ids[0]]);
});

test('only so many ended ones are kept, without their logs', async () => {
  const own = await stores.open();
  const few = new TaskService(own, { keep: 3 });
  await few.recover();
  const ids: string[] = [];
  for (let index = 0; index < 5; index += 1) {
    const { id } = few.start({ kind: 'test', description: 'x', run: ({ log }) => log('line') });
    ids.push(id);
    await few.wait(id);
  }
  expect((await few.list()).map(({ id }) => id)).toEqual(ids.slice(2).toReversed());
  expect((await own.range({ prefix: '/task-logs/' })).entries).toHaveLength(3);
});

test('after a restart: interrupted ones failed, resumable ones go on, ended ones stay', async () => {
  const path = await stores.path();
  const first = await stores.open({ path });
  const before = new TaskService(first);
  const done = before.start({ kind: 'a', description: 'x', run: () => 1 });
  await before.wait(done.id);
  const lost = before.start({ kind: 'a', description: 'x', run: ({ signal }) => forever(signal) });
  const resumable = before.start({ kind: 'b', description: 'x', run: ({ signal }) => forever(signal) });
  await sleep(10);
  // As if the daemon had been killed: nothing is told to the tasks.
  await first.close();

  const after = new TaskService(await stores.open({ path }));
  after.registerResumer('b', (task, context) => {
    expect(context.id).toBe(task.id);
    return 'resumed';
  });
  await after.recover();
  expect(await after.get(done.id)).toMatchObject({ state: 'succeeded', result: 1 });
  expect(await after.get(lost.id)).toMatchObject({
    state: 'failed',
    error: { code: 'unavailable', message: 'interrupted: the daemon stopped while it ran', remedy: expect.any(String) },
  });
  expect(await after.wait(resumable.id)).toMatchObject({ id: resumable.id, state: 'succeeded', result: 'resumed' });
});

test('a stopping service interrupts what runs and starts nothing', async () => {
  const own = new TaskService(await stores.open());
  const parent = own.start({
    kind: 'a',
    description: 'x',
    run: async ({ signal }) => {
      own.start({ kind: 'a', description: 'child', run: (context) => forever(context.signal) });
      await forever(signal);
    },
  });
  await sleep(5);
  await own.close();
  for (const task of await own.list()) {
    expect(task).toMatchObject({ state: 'failed', cancelRequested: false, error: { code: 'unavailable' } });
  }
  expect((await own.list()).map(({ id }) => id)).toContain(parent.id);
  expect(() => own.start({ kind: 'a', description: 'x', run: () => 1 })).toThrow(/stopping/);
});

test('a full store: the task ends for who waits, and is written once there is room', async () => {
  const own = await stores.open({ maxSizeMib: 1 });
  const errors: string[] = [];
  const service = new TaskService(own, { onError: (error) => errors.push(error.code) });
  const gate = Promise.withResolvers<string>();
  const task = service.start({ kind: 'a', description: 'x', run: () => gate.promise });
  const key = `/tasks/${task.id}`;
  while ((await own.get(key)) === undefined) await sleep(1);
  for (let index = 0; ; index += 1) {
    const op = { type: 'put', key: `/fill/${index}`, value: 'x'.repeat(index < 9 ? 100_000 : 1000) } as const;
    if (
      await own.txn({ then: [op] }).then(
        () => false,
        () => true,
      )
    )
      break;
  }
  const waiting = service.wait(task.id);
  gate.resolve('y'.repeat(10_000));
  expect((await waiting).state).toBe('succeeded');
  expect(errors).toContain('no-space');
  expect((await own.get(key))?.value).toContain('running');
  await own.txn({ then: [{ type: 'deletePrefix', prefix: '/fill/' }] });
  const { revision } = await own.range({ prefix: '/' });
  for await (const event of own.watch({ prefix: key, fromRevision: revision + 1 })) {
    expect(event).toMatchObject({ entry: { value: expect.stringContaining('succeeded') } });
    break;
  }
});

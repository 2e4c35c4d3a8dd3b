import { SkerryEvent } from '@skerry/api';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { EventLog } from '../../src/events/index.ts';
import type { Store } from '../../src/store/index.ts';
import { TaskService } from '../../src/tasks/index.ts';
import { TemporaryStores } from '../store/temporary-store.ts';

const stores = new TemporaryStores();
let store: Store;
let log: EventLog;
beforeEach(async () => {
  store = await stores.open();
  log = new EventLog(store);
});
afterAll(() => stores[Symbol.asyncDispose]());

const web = { kind: 'vm', id: '1', name: 'web' };
const db = { kind: 'vm', id: '2', name: 'db' };

test('emit, list, filter', async () => {
  const first = await log.emit({ type: 'vm.started', subject: web, message: 'web runs', data: { ms: 420 } });
  expect(SkerryEvent.parse(first)).toEqual(first);
  expect(first).toMatchObject({ id: 1, type: 'vm.started', subject: web, data: { ms: 420 } });
  void log.emit({ type: 'vm.started', subject: db, message: 'db runs' });
  void log.emit({ type: 'vm.crashed', subject: web, message: 'web crashed' });
  void log.emit({ type: 'host.probed', message: 'no KVM' });
  await log.flush();
  const ids = async (query: Parameters<EventLog['list']>[0]): Promise<number[]> =>
    (await log.list(query)).map(({ id }) => id);
  expect(await log.list({ limit: 1, after: 0 })).toEqual([first]);
  expect(await ids({})).toEqual([1, 2, 3, 4]);
  expect(await ids({ limit: 2 })).toEqual([3, 4]);
  expect(await ids({ after: 1, limit: 2 })).toEqual([2, 3]);
  expect(await ids({ types: ['vm'] })).toEqual([1, 2, 3]);
  expect(await ids({ types: ['vm.crashed', 'host.probed'] })).toEqual([3, 4]);
  expect(await ids({ types: ['v'] })).toEqual([]);
  expect(await ids({ subject: { kind: 'vm', name: 'web' } })).toEqual([1, 3]);
  expect(await ids({ subject: { id: '2' }, after: 0 })).toEqual([2]);
  expect(await ids({ subject: { kind: 'node', name: 'web' } })).toEqual([]);
});

test('a filter looks past the pages that hold nothing for it', async () => {
  void log.emit({ type: 'vm.started', subject: web, message: 'rare' });
  for (let index = 0; index < 1200; index += 1) void log.emit({ type: 'host.tick', message: String(index) });
  void log.emit({ type: 'vm.stopped', subject: web, message: 'rare' });
  await log.flush();
  expect((await log.list({ types: ['vm'] })).map(({ id }) => id)).toEqual([1, 1202]);
  expect((await log.list({ types: ['vm'], after: 0, limit: 1 })).map(({ id }) => id)).toEqual([1]);
});

test('a follower sees what was and what comes', async () => {
  await log.emit({ type: 'vm.started', subject: web, message: '1' });
  const seen: string[] = [];
  const following = (async () => {
    for await (const event of log.follow({ fromId: 1, types: ['vm'] })) {
      seen.push(event.message);
      if (seen.length === 3) break;
    }
  })();
  await log.emit({ type: 'vm.stopped', subject: web, message: '2' });
  await log.emit({ type: 'host.probed', message: 'not wanted' });
  await log.emit({ type: 'vm.started', subject: db, message: '3' });
  await following;
  expect(seen).toEqual(['1', '2', '3']);
});

test('an event within a task names it', async () => {
  const tasks = new TaskService(store);
  const { id } = tasks.start({
    kind: 'test',
    description: 'Test',
    run: async () => (await log.emit({ type: 'vm.started', message: 'x' })).taskId,
  });
  expect(await tasks.result(id)).toBe(id);
});

test('what is no event is refused, and an emitter that does not wait is not hurt', async () => {
  const errors: string[] = [];
  const strict = new EventLog(store, { onError: (error) => errors.push(error.code) });
  void strict.emit({ type: 'NOT A TYPE', message: 'x' });
  await expect(strict.emit({ type: 'single', message: 'x' })).rejects.toMatchObject({ code: 'internal' });
  await store.close();
  await expect(strict.emit({ type: 'vm.started', message: 'x' })).rejects.toMatchObject({ code: 'unavailable' });
  expect(errors).toEqual(['internal', 'internal', 'unavailable']);
});

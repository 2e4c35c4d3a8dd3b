import { afterAll, beforeAll, expect, test } from 'vitest';
import { Journal, type Store } from '../../src/store/index.ts';
import { TemporaryStores } from './temporary-store.ts';

const stores = new TemporaryStores();
let store: Store;
let next = 0;
beforeAll(async () => void (store = await stores.open({ history: { maxEvents: 300 } })));
afterAll(() => stores[Symbol.asyncDispose]());

const prefix = (): string => `/journal${(next += 1)}/`;
const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

test('numbers items in the order they were appended, across instances', async () => {
  const options = { prefix: prefix(), keep: 1000 };
  const first = new Journal<number>(store, options);
  const ids = await Promise.all(numbers(1, 150).map((item) => first.append(item)));
  expect(ids).toEqual(numbers(1, 150));
  const second = new Journal<number>(store, options);
  expect(await second.append(151)).toBe(151);
  expect(await second.list({ after: 148 })).toEqual([149, 150, 151].map((id) => ({ id, item: id })));
  expect((await second.list({ limit: 2 })).map(({ id }) => id)).toEqual([150, 151]);
  expect((await second.list({ limit: 2, before: 150 })).map(({ id }) => id)).toEqual([148, 149]);
});

test('several writers leave no hole and no item twice', async () => {
  const options = { prefix: prefix(), keep: 1000 };
  const writers = [1, 2, 3].map(() => new Journal<string>(store, options));
  await Promise.all(
    numbers(1, 40).flatMap((item) => writers.map((writer, index) => writer.append(`${index}-${item}`))),
  );
  const items = await writers[0]!.list({ after: 0 });
  expect(items.map(({ id }) => id)).toEqual(numbers(1, 120));
  expect(new Set(items.map(({ item }) => item)).size).toBe(120);
});

test('keeps as many as it may, and shrinks when it may keep fewer', async () => {
  const key = prefix();
  const wide = new Journal<number>(store, { prefix: key, keep: 100 });
  for (const item of numbers(1, 250)) void wide.append(item);
  await wide.flush();
  expect((await wide.list({ after: 0 })).map(({ id }) => id)).toEqual(numbers(151, 250));
  const narrow = new Journal<number>(store, { prefix: key, keep: 10 });
  for (const item of numbers(251, 253)) await narrow.append(item);
  expect((await narrow.list({ after: 0 })).map(({ id }) => id)).toEqual(numbers(244, 253));
});

test('a follower gets what was and what comes, without gap or repeat, even when it is slow', async () => {
  const journal = new Journal<number>(store, { prefix: prefix(), keep: 5000 });
  for (const item of numbers(1, 20)) void journal.append(item);
  const seen: number[] = [];
  const following = (async () => {
    for await (const { id, item } of journal.follow({ fromId: 5 })) {
      expect(item).toBe(id);
      seen.push(id);
      // 1,000 appends against a history of 300 changes: it loses its place in the watch, and must find it again.
      if (id === 30) await Promise.all(numbers(101, 1100).map((each) => journal.append(each)));
      if (id === 1100) break;
    }
  })();
  await journal.flush();
  await Promise.all(numbers(21, 100).map((item) => journal.append(item)));
  await following;
  expect(seen).toEqual(numbers(5, 1100));
});

test('without a start only what comes; the signal ends it', async () => {
  const journal = new Journal<string>(store, { prefix: prefix(), keep: 10 });
  await journal.append('old');
  const controller = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { item } of journal.follow({ signal: controller.signal })) seen.push(item);
  })();
  // Its first read is of the present end; once that has been, what comes is new.
  await store.range({ prefix: '/' });
  await journal.append('new');
  while (seen.length === 0) await new Promise(setImmediate);
  controller.abort();
  await following;
  expect(seen).toEqual(['new']);
});

test('one that can not be written is refused alone', async () => {
  const journal = new Journal<unknown>(store, { prefix: prefix(), keep: 10 });
  const bad = journal.append(1n);
  const good = journal.append('fine');
  await expect(bad).rejects.toThrow(TypeError);
  expect(await good).toBe(1);
});

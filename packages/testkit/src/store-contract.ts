import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from './properties.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RangeQuery, Store, StoreEvent } from '@skerry/engine';
import { applyToModel, modelRange, opsArbitrary, type Model, type RelativeTxn } from './store-model.ts';

/**
 * What every adapter of the store's port must do, and nothing an adapter alone does. A store may be shared with others:
 * each test has a prefix of its own. Only the property needs to be the only writer, as it counts revisions.
 */
export function storeContract(name: string, openStore: () => Promise<Store>): void {
  describe(`store contract: ${name}`, () => {
    let store: Store;
    beforeAll(async () => {
      store = await openStore();
    });
    afterAll(async () => {
      await store.close();
    });

    const fresh = (): string => `/contract/${randomUUID()}/`;
    const put = async (key: string, value: string, leaseId?: string): Promise<number> =>
      (await store.txn({ then: [{ type: 'put', key, value, ...(leaseId === undefined ? {} : { leaseId }) }] }))
        .revision;
    const keysOf = async (query: RangeQuery): Promise<string[]> =>
      (await store.range(query)).entries.map((entry) => entry.key.slice(query.prefix.length));

    test('an absent key is undefined', async () => {
      expect(await store.get(`${fresh()}a`)).toBeUndefined();
    });

    test('revisions and versions of a key over its lives', async () => {
      const key = `${fresh()}a`;
      const first = await put(key, '1');
      expect(await store.get(key)).toMatchObject({ value: '1', createRevision: first, modRevision: first, version: 1 });
      const second = await put(key, '2');
      expect(second).toBeGreaterThan(first);
      expect(await store.get(key)).toMatchObject({
        value: '2',
        createRevision: first,
        modRevision: second,
        version: 2,
      });
      await store.txn({ then: [{ type: 'delete', key }] });
      const third = await put(key, '3');
      expect(await store.get(key)).toMatchObject({ value: '3', createRevision: third, modRevision: third, version: 1 });
    });

    test('a transaction that changes nothing leaves the revision alone', async () => {
      const prefix = fresh();
      const revision = await put(`${prefix}a`, '1');
      const nothing = await store.txn({
        then: [
          { type: 'delete', key: `${prefix}none` },
          { type: 'deletePrefix', prefix: `${prefix}none/` },
          { type: 'get', key: `${prefix}a` },
        ],
      });
      expect(nothing.revision).toBe(revision);
      expect(nothing.results.slice(0, 2)).toEqual([
        { type: 'delete', deleted: 0 },
        { type: 'delete', deleted: 0 },
      ]);
      expect(nothing.results[2]).toMatchObject({ type: 'get', entry: { value: '1' } });
    });

    test('compares revision, existence and value; takes else when one of them fails', async () => {
      const prefix = fresh();
      const a = `${prefix}a`;
      const b = `${prefix}b`;
      const revision = await put(a, 'x');
      const cases = [
        [[{ key: a, modRevision: revision }], true],
        [[{ key: a, modRevision: revision - 1 }], false],
        [[{ key: b, modRevision: 0 }], true],
        [[{ key: a, modRevision: 0 }], false],
        [[{ key: a, exists: true }], true],
        [[{ key: a, exists: false }], false],
        [[{ key: b, exists: true }], false],
        [[{ key: b, exists: false }], true],
        [[{ key: a, value: 'x' }], true],
        [[{ key: a, value: 'y' }], false],
        [[{ key: b, value: '' }], false],
        [
          [
            { key: a, value: 'x' },
            { key: b, exists: true },
          ],
          false,
        ],
      ] as const;
      for (const [compare, holds] of cases) {
        const result = await store.txn({ compare, then: [{ type: 'get', key: a }], else: [{ type: 'get', key: b }] });
        expect(result.succeeded, JSON.stringify(compare)).toBe(holds);
        expect(result.results).toMatchObject([{ type: 'get', ...(holds ? { entry: { key: a } } : {}) }]);
      }
      expect(await store.txn({ compare: [{ key: a, exists: false }], then: [] })).toMatchObject({
        succeeded: false,
        results: [],
      });
    });

    test('a transaction reads what it wrote, in order', async () => {
      const prefix = fresh();
      await put(`${prefix}x/1`, 'old');
      const result = await store.txn({
        then: [
          { type: 'put', key: `${prefix}a`, value: 'new' },
          { type: 'get', key: `${prefix}a` },
          { type: 'deletePrefix', prefix: `${prefix}x/` },
          { type: 'get', key: `${prefix}x/1` },
        ],
      });
      expect(result.results[1]).toMatchObject({ entry: { value: 'new', modRevision: result.revision, version: 1 } });
      expect(result.results[2]).toEqual({ type: 'delete', deleted: 1 });
      expect(result.results[3]).toMatchObject({ type: 'get' });
      expect((result.results[3] as { entry?: unknown }).entry).toBeUndefined();
    });

    test.each([
      ['the same key put twice', (k: string) => [put0(k), put0(k)]],
      ['put and delete of a key', (k: string) => [put0(k), { type: 'delete', key: k } as const]],
      ['put under a deleted prefix', (k: string) => [{ type: 'deletePrefix', prefix: k } as const, put0(`${k}/a`)]],
      ['more than 128 operations', (k: string) => Array.from({ length: 129 }, (_, index) => put0(`${k}${index}`))],
      ['an empty prefix to delete', () => [{ type: 'deletePrefix', prefix: '' } as const]],
      ['an empty key', () => [put0('')]],
      ['a key with a blank', (k: string) => [put0(`${k} x`)]],
      ['a key that is no ASCII', (k: string) => [put0(`${k}é`)]],
      ['a value above 1 MiB', (k: string) => [put0(k, 'x'.repeat(1024 * 1024 + 1))]],
    ])('refuses %s', async (_, ops) => {
      const prefix = fresh();
      await expect(store.txn({ then: ops(`${prefix}k`) })).rejects.toMatchObject({
        code: 'invalid',
        remedy: expect.any(String),
      });
      expect(await keysOf({ prefix })).toEqual([]);
    });

    test('ranges: order of bytes, limit, after, reverse, keysOnly', async () => {
      const prefix = fresh();
      for (const key of ['b', 'a', 'a/2', 'a-1', 'Z', '~', 'a/10']) await put(prefix + key, `v${key}`);
      const sorted = ['Z', 'a', 'a-1', 'a/10', 'a/2', 'b', '~'];
      expect(await keysOf({ prefix })).toEqual(sorted);
      expect(await keysOf({ prefix, reverse: true })).toEqual(sorted.toReversed());
      expect(await keysOf({ prefix: `${prefix}a` })).toEqual(['', '-1', '/10', '/2']);
      const page = await store.range({ prefix, limit: 2, after: `${prefix}a` });
      expect(page.entries.map((entry) => entry.value)).toEqual(['va-1', 'va/10']);
      expect(page.more).toBe(true);
      expect((await store.range({ prefix, limit: 7 })).more).toBe(false);
      expect(await keysOf({ prefix, after: `${prefix}a/11`, reverse: true, limit: 2 })).toEqual(['a/10', 'a-1']);
      expect(await keysOf({ prefix, after: `${prefix}~` })).toEqual([]);
      expect(await keysOf({ prefix, after: `${prefix}Z`, reverse: true })).toEqual([]);
      // Past either end of the prefix.
      expect(await keysOf({ prefix, after: '!' })).toEqual(sorted);
      expect(await keysOf({ prefix, after: '~~', reverse: true })).toEqual(sorted.toReversed());
      const keys = await store.range({ prefix, keysOnly: true, limit: 1 });
      expect(keys.entries[0]).toMatchObject({ key: `${prefix}Z`, value: '', version: 1 });
    });

    test('one of many that race wins; counters lose no increment', async () => {
      const key = `${fresh()}n`;
      const wins = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          store.txn({ compare: [{ key, exists: false }], then: [{ type: 'put', key, value: String(index) }] }),
        ),
      );
      expect(wins.filter((result) => result.succeeded)).toHaveLength(1);
      await put(key, '0');
      const increment = async (): Promise<void> => {
        for (;;) {
          const old = await store.get(key);
          const next = String(Number(old?.value) + 1);
          const result = await store.txn({
            compare: [{ key, modRevision: old?.modRevision ?? 0 }],
            then: [{ type: 'put', key, value: next }],
          });
          if (result.succeeded) return;
        }
      };
      await Promise.all(Array.from({ length: 10 }, increment));
      expect((await store.get(key))?.value).toBe('10');
    });

    test('a watch replays from its revision, then goes on live: in order, no gap, no repeat', async () => {
      const prefix = fresh();
      const before = await put(`${prefix}before`, '0');
      await put(`${prefix}a`, '1');
      await put(`${fresh()}other`, 'x');
      const watching = collect(store, prefix, before + 1, 5);
      await put(`${prefix}b`, '2');
      await store.txn({
        then: [
          { type: 'delete', key: `${prefix}b` },
          { type: 'put', key: `${prefix}c`, value: '3' },
        ],
      });
      await put(`${prefix}a`, '4');
      const events = await watching;
      expect(events.map((event) => [event.type, event.key.slice(prefix.length)])).toEqual([
        ['put', 'a'],
        ['put', 'b'],
        ['delete', 'b'],
        ['put', 'c'],
        ['put', 'a'],
      ]);
      expect(events[2]?.revision).toBe(events[3]?.revision);
      expect(events[4]).toMatchObject({ entry: { value: '4', version: 2 } });
      expect(await collect(store, prefix, before + 1, 5)).toEqual(events);
    });

    test('a watch from a revision to come begins there', async () => {
      const prefix = fresh();
      const now = await put(`${prefix}a`, '1');
      const watching = collect(store, prefix, now + 2, 1);
      await put(`${prefix}early`, '2');
      await put(`${prefix}wanted`, '3');
      expect((await watching).map((event) => event.key)).toEqual([`${prefix}wanted`]);
    });

    test('an aborted watch ends without an error', async () => {
      const prefix = fresh();
      const { revision } = await store.range({ prefix });
      const controller = new AbortController();
      const seen: StoreEvent[] = [];
      const watching = (async () => {
        for await (const event of store.watch({ prefix, fromRevision: revision + 1, signal: controller.signal })) {
          seen.push(event);
          controller.abort();
        }
      })();
      await put(`${prefix}a`, '1');
      await watching;
      expect(seen).toHaveLength(1);
      for await (const event of store.watch({ prefix, fromRevision: 1, signal: AbortSignal.abort() })) seen.push(event);
      expect(seen).toHaveLength(1);
    });

    test('compacted history is an error of its own; what comes after it is still there', async () => {
      const prefix = fresh();
      const first = await put(`${prefix}a`, '1');
      const second = await put(`${prefix}a`, '2');
      const third = await put(`${prefix}a`, '3');
      await store.compact(second);
      await expect(collect(store, prefix, first, 1)).rejects.toMatchObject({
        code: 'unavailable',
        compactRevision: expect.any(Number),
      });
      expect(await collect(store, prefix, third, 1)).toMatchObject([{ entry: { value: '3' } }]);
      expect((await store.get(`${prefix}a`))?.value).toBe('3');
      const { revision } = await store.range({ prefix, limit: 1 });
      await expect(store.compact(revision + 1000)).rejects.toMatchObject({ code: 'invalid' });
    });

    test('keys of a lease vanish together when it is revoked', async () => {
      const prefix = fresh();
      const lease = await store.grantLease(60_000);
      expect(lease.ttlMs).toBeGreaterThanOrEqual(60_000);
      await put(`${prefix}a`, '1', lease.id);
      await put(`${prefix}b`, '2', lease.id);
      const detached = await put(`${prefix}kept`, '3', lease.id);
      await put(`${prefix}kept`, '3');
      expect(await store.get(`${prefix}a`)).toMatchObject({ leaseId: lease.id });
      await store.revokeLease(lease.id);
      expect(await keysOf({ prefix })).toEqual(['kept']);
      const [, first, second] = await collect(store, prefix, detached + 1, 3);
      expect([first?.type, second?.type, first?.revision === second?.revision]).toEqual(['delete', 'delete', true]);
    });

    test('keys of a lease vanish when nobody keeps it alive, not before', async () => {
      const prefix = fresh();
      const lease = await store.grantLease(200);
      const revision = await put(`${prefix}a`, '1', lease.id);
      const startMs = Date.now();
      await sleep(lease.ttlMs / 2);
      expect(await store.keepLeaseAlive(lease.id)).toMatchObject({ id: lease.id });
      const [gone] = await collect(store, prefix, revision + 1, 1);
      expect(gone).toMatchObject({ type: 'delete', key: `${prefix}a` });
      expect(Date.now() - startMs).toBeGreaterThanOrEqual(lease.ttlMs * 1.4);
      await expect(store.keepLeaseAlive(lease.id)).rejects.toMatchObject({ code: 'not-found' });
    });

    test('a lease that is not there refuses puts and revokes', async () => {
      const prefix = fresh();
      const lease = await store.grantLease(60_000);
      await store.revokeLease(lease.id);
      await expect(put(`${prefix}a`, '1', lease.id)).rejects.toMatchObject({ code: 'not-found' });
      await expect(store.revokeLease(lease.id)).rejects.toMatchObject({ code: 'not-found' });
      expect(await keysOf({ prefix })).toEqual([]);
    });

    test('random transactions do what a naive model does, and a watch sees just that', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(opsArbitrary, { minLength: 1, maxLength: 12 }), async (txns) => {
          const prefix = fresh();
          const { revision: start } = await store.range({ prefix, limit: 1 });
          const model: Model = { revision: start, entries: new Map(), events: [] };
          for (const txn of txns) await runBoth(store, model, prefix, txn);
          const { entries, revision } = await store.range({ prefix });
          expect(revision).toBe(model.revision);
          expect(entries).toEqual(modelRange(model, prefix));
          expect(await collect(store, prefix, start + 1, model.events.length)).toEqual(model.events);
        }),
        { numRuns: 30 },
      );
    });

    test('once closed, everything is unavailable and watches end', async () => {
      const closing = await openStore();
      const { revision } = await closing.range({ prefix: '/' });
      const watching = collect(closing, '/', revision + 1, 1);
      watching.catch(() => undefined);
      await sleep(10);
      await closing.close();
      await expect(watching).rejects.toMatchObject({ code: 'unavailable' });
      await expect(closing.get('/a')).rejects.toMatchObject({ code: 'unavailable' });
      await expect(closing.txn({ then: [] })).rejects.toMatchObject({ code: 'unavailable' });
      await closing.close();
    });
  });
}

function put0(key: string, value = 'x'): { type: 'put'; key: string; value: string } {
  return { type: 'put', key, value };
}

async function collect(store: Store, prefix: string, fromRevision: number, count: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  if (count === 0) return events;
  for await (const event of store.watch({ prefix, fromRevision })) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

async function runBoth(store: Store, model: Model, prefix: string, relative: RelativeTxn): Promise<void> {
  const txn = relative(prefix, model);
  expect(await store.txn(txn)).toEqual(applyToModel(model, txn));
}

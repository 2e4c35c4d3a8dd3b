import { resourceSchema } from '@skerry/api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { Resources, uuidv7, type Store } from '../../src/store/index.ts';
import { TemporaryStores } from './temporary-store.ts';

interface Spec {
  readonly size: number;
}
interface Status {
  readonly state: string;
}

const stores = new TemporaryStores();
let store: Store;
let next = 0;
beforeAll(async () => void (store = await stores.open()));
afterAll(() => stores[Symbol.asyncDispose]());

/** A kind of its own per test. */
function things(): Resources<Spec, Status> {
  next += 1;
  return new Resources<Spec, Status>(store, { kind: 'thing', collection: `things${next}` });
}
const input = (name: string, size = 1) => ({ name, spec: { size }, status: { state: 'new' } });

test('create, find by id and name, list, delete', async () => {
  const kind = things();
  const made = await kind.create({ ...input('shop/web'), title: 'Web', labels: { tier: 'front' } });
  expect(made).toMatchObject({ kind: 'thing', name: 'shop/web', project: 'default', title: 'Web', spec: { size: 1 } });
  const schema = resourceSchema('thing', z.object({ size: z.int() }), z.object({ state: z.string() }));
  expect(schema.parse(made)).toEqual(made);
  expect(await kind.byName('shop/web')).toBe(await kind.get(made.id));
  const other = await kind.create({ ...input('shop/web'), project: 'else' });
  expect((await kind.list()).items.map((item) => item.id)).toEqual([made.id, other.id]);
  expect((await kind.list({ project: 'else' })).items).toEqual([other]);
  await kind.delete(made.id);
  expect(await kind.findByName('shop/web')).toBeUndefined();
  await expect(kind.get(made.id)).rejects.toMatchObject({ code: 'not-found', remedy: expect.any(String) });
  await expect(kind.delete(made.id)).rejects.toMatchObject({ code: 'not-found' });
  await kind.create(input('shop/web'));
});

test('of many that want a name one gets it', async () => {
  const kind = things();
  const made = await Promise.allSettled(Array.from({ length: 10 }, () => kind.create(input('web'))));
  const refused = made.filter((each) => each.status === 'rejected');
  expect(refused).toHaveLength(9);
  expect(refused[0]?.reason).toMatchObject({ code: 'conflict', remedy: expect.stringContaining('another name') });
  expect((await kind.list()).items).toHaveLength(1);
});

test('updates that race all take effect', async () => {
  const kind = things();
  const { id, revision } = await kind.create(input('web', 0));
  await Promise.all(
    Array.from({ length: 10 }, () => kind.update(id, async (now) => ({ spec: { size: now.spec.size + 1 } }))),
  );
  const now = await kind.get(id);
  expect(now.spec.size).toBe(10);
  expect(now.status).toEqual({ state: 'new' });
  await expect(kind.update(id, () => ({ spec: { size: 0 } }), { ifRevision: revision })).rejects.toMatchObject({
    code: 'conflict',
  });
  await expect(kind.delete(id, { ifRevision: revision })).rejects.toMatchObject({ code: 'conflict' });
  expect((await kind.get(id)).spec.size).toBe(10);
});

test('an update without a change writes nothing', async () => {
  const kind = things();
  const made = await kind.create(input('web'));
  expect(await kind.update(made.id, () => undefined)).toBe(made);
  expect(await kind.update(made.id, (now) => ({ spec: { ...now.spec }, labels: {} }))).toBe(made);
});

test('a new name frees the old one, and is refused when taken', async () => {
  const kind = things();
  const made = await kind.create(input('old'));
  await kind.create(input('taken'));
  await expect(kind.update(made.id, () => ({ name: 'taken' }))).rejects.toMatchObject({ code: 'conflict' });
  await kind.update(made.id, () => ({ name: 'new' }));
  expect((await kind.byName('new')).id).toBe(made.id);
  await kind.create(input('old'));
});

test('what is read is shared, so it can not be changed', async () => {
  const made = await things().create(input('web'));
  expect(() => Object.assign(made.spec, { size: 9 })).toThrow(TypeError);
});

test('pages end where the next begins', async () => {
  const kind = things();
  for (let index = 0; index < 5; index += 1) await kind.create(input(`n${index}`));
  const first = await kind.list({ limit: 3 });
  const second = await kind.list({ limit: 3, after: first.nextAfter });
  expect([...first.items, ...second.items].map((item) => item.name)).toEqual(['n0', 'n1', 'n2', 'n3', 'n4']);
  expect(second.nextAfter).toBeUndefined();
});

test('list, then watch: every change, none twice', async () => {
  const kind = things();
  const made = await kind.create(input('web'));
  const { revision } = await kind.list();
  await kind.update(made.id, () => ({ status: { state: 'ready' } }));
  await kind.delete(made.id);
  const seen: unknown[] = [];
  for await (const event of kind.watch({ fromRevision: revision + 1 })) {
    seen.push(event.type === 'put' ? event.resource.status : event.id);
    if (seen.length === 2) break;
  }
  expect(seen).toEqual([{ state: 'ready' }, made.id]);
});

test('a list of 10,000 takes at most 100 ms once it was read', async () => {
  const kind = things();
  const spec = { size: 1, text: 'x'.repeat(300) };
  await Promise.all(Array.from({ length: 10_000 }, (_, index) => kind.create({ ...input(`n${index}`), spec })));
  const startMs = performance.now();
  expect((await kind.list()).items).toHaveLength(10_000);
  expect(performance.now() - startMs).toBeLessThan(100);
});

test('uuidv7: version, variant, time, and order within a millisecond', () => {
  const nowMs = Date.now() + 60_000;
  const ids = Array.from({ length: 10_000 }, () => uuidv7(nowMs));
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids.slice(0, 100)) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)).toBe(nowMs);
  }
  // The clock going back does not make ids go back.
  expect(uuidv7(nowMs - 30_000) > (ids.at(-1) ?? '')).toBe(true);
});

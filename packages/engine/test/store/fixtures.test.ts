import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Network, Node, SkerryEvent, Task, Vm } from '@skerry/api';
import { afterAll, describe, expect, test } from 'vitest';
import { upgradeResources, type Store } from '../../src/store/index.ts';
import { TemporaryStores } from './temporary-store.ts';

/** Stores that daemons of the versions so far have left (fixtures/make.ts), each opened by the code of today, for ever. */

const FIXTURES = join(import.meta.dirname, 'fixtures');
const names = (await readdir(FIXTURES)).filter((name) => name.endsWith('.db'));
const stores = new TemporaryStores();
afterAll(() => stores[Symbol.asyncDispose]());

async function opened(name: string): Promise<Store> {
  const path = await stores.path();
  await mkdir(dirname(path), { recursive: true });
  await cp(join(FIXTURES, name), path);
  return stores.open({ path });
}

async function under<T>(store: Store, prefix: string): Promise<T[]> {
  const { entries } = await store.range({ prefix });
  return entries.map(({ value, modRevision }) => ({ ...(JSON.parse(value) as T), revision: modRevision }));
}

test('there is a store of each version', () => expect(names.length).toBeGreaterThanOrEqual(4));

describe.each(names)('%s', (name) => {
  test('every resource comes to be what the schemas of today say, with what it had', async () => {
    const store = await opened(name);
    const before = await under<Vm>(store, '/vms/');
    expect(before.map((vm) => vm.name).toSorted()).toEqual(['idle', 'shop/db', 'shop/front', 'web']);
    const { total } = await upgradeResources(store);
    expect(total).toBeGreaterThanOrEqual(6);

    const vms = await under<Vm>(store, '/vms/');
    for (const vm of vms) {
      const parsed = Vm.parse(vm);
      // Nothing is left for whoever reads it to fill in.
      expect(parsed).toEqual(vm);
      const old = before.find(({ id }) => id === vm.id);
      expect(vm.spec).toMatchObject(old?.spec ?? {});
      expect(vm.status).toMatchObject(old?.status ?? {});
    }
    const web = vms.find((vm) => vm.name === 'web');
    expect(web).toMatchObject({ labels: { tier: 'front' }, spec: { env: { GREETING: 'hello' }, kernel: 'distro' } });
    expect(vms.find((vm) => vm.name === 'idle')?.title).toBe('日本語の名前');
    for (const node of await under<Node>(store, '/nodes/')) expect(Node.parse(node)).toEqual(node);
    for (const network of await under<Network>(store, '/networks/')) expect(Network.parse(network)).toEqual(network);
    expect(await upgradeResources(store)).toMatchObject({ changed: [] });
  });

  test('a dry run says what it would do, and does not', async () => {
    const store = await opened(name);
    const { revision } = await store.range({ prefix: '' });
    const { changed } = await upgradeResources(store, { dryRun: true });
    expect((await store.range({ prefix: '' })).revision).toBe(revision);
    expect((await upgradeResources(store)).changed).toEqual(changed);
  });

  test('tasks and events can be read', async () => {
    const store = await opened(name);
    const tasks = await under<Task>(store, '/tasks/');
    expect(tasks.length).toBeGreaterThan(0);
    for (const { revision: _, ...task } of tasks as Array<Task & { revision: number }>) Task.parse(task);
    const events = await under<SkerryEvent>(store, '/events/');
    expect(events.length).toBeGreaterThan(0);
    for (const [index, event] of events.entries()) SkerryEvent.parse({ ...event, id: index + 1 });
  });
});

test('what a newer Skerry wrote into a resource is refused by name, and nothing is changed', async () => {
  const store = await opened(names[0] ?? '');
  const [entry] = (await store.range({ prefix: '/vms/' })).entries;
  const vm = JSON.parse(entry?.value ?? '') as Vm;
  const value = JSON.stringify({ ...vm, spec: { ...vm.spec, teleport: true } });
  const { revision } = await store.txn({ then: [{ type: 'put', key: entry?.key ?? '', value }] });
  await expect(upgradeResources(store)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('teleport'),
    remedy: expect.stringContaining('newer Skerry'),
    details: { name: vm.name },
  });
  expect((await store.range({ prefix: '' })).revision).toBe(revision);
});

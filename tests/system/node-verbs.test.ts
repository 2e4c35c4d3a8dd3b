import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Node, NodeSpecInput, PlanStep, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** Daily work with a node: more and fewer of a VM, another image, restarts. */

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
  for (const name of ['v1', 'v2', 'broken']) await buildImage(name);
  await up({ image: 'v1' });
}, 180_000);
afterAll(() => host[Symbol.asyncDispose]());

/** `v1` and `v2` serve their name; `broken` has nothing to serve. */
async function buildImage(name: string): Promise<void> {
  const recipe = join(host.dir, `${name}.yaml`);
  const file = name === 'broken' ? '/etc/empty' : '/srv/index.html';
  const content = `apiVersion: skerry/v1\nkind: Image\nname: ${name}\nfrom: micro\nfiles: [{ path: ${file}, content: "${name}" }]\n`;
  await writeFile(recipe, content);
  const { exitCode, stderr } = await host.cli(['image', 'build', recipe], { timeoutMs: 120_000 });
  expect(exitCode, stderr).toBe(0);
}

function specOf({ image, replicas }: { image: string; replicas?: number }): NodeSpecInput {
  return {
    vms: {
      db: { image: 'micro', cpus: 1, memoryMib: 64 },
      web: {
        image,
        cpus: 1,
        memoryMib: 64,
        dependsOn: [{ vm: 'db' }],
        command: ['sh', '-c', 'echo "serving $(cat /srv/index.html)"; exec httpd -f -p 80 -h /srv'],
        health: { kind: 'http', port: 80, intervalMs: 200, retries: 2, startPeriodMs: 8000 },
        ...(replicas === undefined ? {} : { replicas }),
      },
    },
    networks: { default: {} },
  };
}

const up = (wanted: { image: string; replicas?: number }): Promise<Node> =>
  host.client.run('node.up', { body: { name: 'shop', spec: specOf(wanted) } });
const skerry = async (...args: string[]) => {
  const result = await host.cli(args, { timeoutMs: 120_000 });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout;
};
const vms = async (): Promise<Record<string, Vm>> =>
  Object.fromEntries((await host.client.call('vm.list')).map((vm) => [vm.name.replace('shop/', ''), vm]));
const images = async () =>
  Object.fromEntries(Object.entries(await vms()).map(([name, { spec }]) => [name, spec.image]));
const pids = async () =>
  Object.fromEntries(Object.entries(await vms()).map(([name, { status }]) => [name, status.process?.pid]));
const sh = async (vm: string, script: string): Promise<string> =>
  (await host.client.exec(`shop/${vm}`, script)).stdout.trim();
const state = async (): Promise<string> =>
  (await host.client.call('node.get', { params: { node: 'shop' } })).status.state;

test('scale makes more of a VM, and leaves alone those that are there', async () => {
  const before = await pids();
  const plan = JSON.parse(await skerry('node', 'scale', 'shop', 'web=3', '--dry-run', '-o', 'json')) as PlanStep[];
  expect(plan.map(({ action, name }) => `${action} ${name}`)).toEqual([
    'keep shop/web',
    'create shop/web-2',
    'start shop/web-2',
    'create shop/web-3',
    'start shop/web-3',
  ]);
  expect(await skerry('node', 'scale', 'shop', 'web=3')).toMatch(/^shop: up\n/);
  const after = await vms();
  expect(Object.keys(after).toSorted()).toEqual(['db', 'web', 'web-2', 'web-3']);
  expect(await pids()).toMatchObject(before);
  expect(after['web-3']?.status.health).toBe('healthy');
  expect(await sh('db', 'wget -q -O - http://web-3/')).toBe('v1');
});

test('up of the same file keeps the number, one that says a number sets it', async () => {
  const before = await pids();
  await up({ image: 'v1' });
  expect(await pids()).toEqual(before);
  await up({ image: 'v1', replicas: 2 });
  expect(Object.keys(await vms()).toSorted()).toEqual(['db', 'web', 'web-2']);
});

test('none of a VM, and back', async () => {
  await skerry('node', 'scale', 'shop', 'web=0');
  expect(Object.keys(await vms())).toEqual(['db']);
  expect(await state()).toBe('up');
  await skerry('node', 'scale', 'shop', 'web=3');
  expect(Object.keys(await vms()).toSorted()).toEqual(['db', 'web', 'web-2', 'web-3']);
  expect(await host.leftovers()).toEqual([]);
});

test('what can not be is refused, and nothing has changed', async () => {
  const before = await pids();
  const refused = async (...args: string[]) => (await host.cli(args)).stderr;
  expect(await refused('node', 'scale', 'shop', 'wbe=3')).toMatch(/no VM 'wbe' in shop[^]*Name one of db, web/);
  expect(await refused('node', 'scale', 'shop', 'web=many')).toMatch(/not a number of VMs/);
  expect(await refused('node', 'scale', 'shop')).toMatch(/VM=N/);
  expect(await refused('node', 'update', 'shop', '--image', 'web=v9')).toMatch(/no image 'v9'[^]*skerry image list/);
  expect(await refused('node', 'update', 'shop')).toMatch(/--image web=v2/);
  expect(await refused('node', 'restart', 'shop', 'wbe')).toMatch(/no VM 'wbe'/);
  expect(await pids()).toEqual(before);
});

test('update replaces the image batch by batch; name, address and id stay', async () => {
  await sh('web', 'echo data >/root/data; sync');
  const before = await vms();
  const plan = await skerry('node', 'update', 'shop', '--image', 'web=v2', '--batch', '2', '--dry-run');
  expect(plan).toMatch(/shop\/web .*batch 1 of 2: image v1 -> v2[^]*shop\/web-3 .*batch 2 of 2/);
  expect(await images()).toMatchObject({ web: 'v1' });
  await skerry('node', 'update', 'shop', '--image', 'web=v2', '--batch', '2');
  const after = await vms();
  for (const name of ['web', 'web-2', 'web-3']) {
    expect(after[name]?.id).toBe(before[name]?.id);
    expect(after[name]?.status.nics).toEqual(before[name]?.status.nics);
    expect(await sh('db', `wget -q -O - http://${name}/`)).toBe('v2');
  }
  expect(after['db']?.status.process).toEqual(before['db']?.status.process);
  expect(await sh('web', 'ls /root/data 2>/dev/null; true')).toBe('');
  expect(await state()).toBe('up');
  const again = await skerry('node', 'update', 'shop', '--image', 'web=v2', '--dry-run', '-o', 'json');
  expect((JSON.parse(again) as PlanStep[]).map(({ action }) => action)).toEqual(['keep', 'keep', 'keep']);
});

test('an image that does not become healthy: its batch gets its disks back, the next is not begun', async () => {
  await sh('web', 'echo precious >/root/data; sync');
  const before = await pids();
  const failed = await host.cli(['node', 'update', 'shop', '--image', 'web=broken'], { timeoutMs: 120_000 });
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toMatch(/unhealthy[^]*With the new image: none; with the old one: web, web-2, web-3/);
  expect(await images()).toMatchObject({ web: 'v2', 'web-2': 'v2', 'web-3': 'v2' });
  expect(await pids()).toMatchObject({ 'web-2': before['web-2'], 'web-3': before['web-3'] });
  expect(await sh('web', 'cat /root/data')).toBe('precious');
  await expect.poll(state, { timeout: 20_000 }).toBe('up');
  expect((await vms())['web']?.status.previous).toBeUndefined();
  const { items } = { items: await host.client.call('node.events', { params: { node: 'shop' } }) };
  expect(items.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['node.update-failed', 'vm.put-back', 'task.failed']),
  );
});

test('a daemon that dies over an update: the next one goes on with it', async () => {
  await sh('web', 'echo precious >/root/data; sync');
  await host.client.call('node.update', { params: { node: 'shop' }, body: { images: { web: 'v1' } } });
  await expect
    .poll(async () => (await vms())['web']?.status.previous?.image, { interval: 10, timeout: 20_000 })
    .toBe('v2');
  await host.kill9();
  await host.start();
  await expect.poll(images, { timeout: 60_000 }).toMatchObject({ web: 'v1', 'web-2': 'v1', 'web-3': 'v1' });
  await expect.poll(state, { timeout: 60_000 }).toBe('up');
  expect((await vms())['web']?.status.previous).toBeUndefined();
  expect(await sh('db', 'wget -q -O - http://web/')).toBe('v1');
  expect(await host.leftovers()).toEqual([]);
}, 120_000);

test('restart: all, in order; or some, one after the other', async () => {
  const before = await pids();
  await skerry('node', 'restart', 'shop');
  const after = await vms();
  for (const [name, vm] of Object.entries(after)) expect(vm.status.process?.pid).not.toBe(before[name]);
  const startOf = (name: string): number => Date.parse(after[name]?.status.start?.at ?? '');
  expect(startOf('web')).toBeGreaterThan(startOf('db'));
  const { db } = await pids();
  await skerry('node', 'restart', 'shop', 'web-2', 'web-3', '--batch', '1');
  expect(await pids()).toMatchObject({ db, web: after['web']?.status.process?.pid });
  expect(await state()).toBe('up');
});

test('a restart that is cancelled leaves what ran running', async () => {
  const task = await host.client.call('node.restart', { params: { node: 'shop' }, body: {} });
  await sleep(150);
  await host.client.call('task.cancel', { params: { task: task.id } });
  await expect
    .poll(async () => Object.values(await vms()).map(({ status }) => status.state), { timeout: 30_000 })
    .toEqual(['running', 'running', 'running', 'running']);
  await expect.poll(state, { timeout: 30_000 }).toBe('up');
});

test('replicas are forked, saved and restored with their node', async () => {
  const shop = await host.client.node('shop');
  await using copy = await shop.fork('copy', { ephemeral: true });
  expect((await copy.vms()).map(({ name }) => name).toSorted()).toEqual([
    'copy/db',
    'copy/web',
    'copy/web-2',
    'copy/web-3',
  ]);
  await copy.save('three');
  await copy.scale({ web: 1 });
  expect((await copy.saves()).map(({ name }) => name)).toEqual(['three']);
  await copy.restore('three');
  expect(await copy.vms()).toHaveLength(4);
  expect((await copy.info()).spec.vms['web']?.replicas).toBe(3);
}, 120_000);

test('a daemon that dies over a restore: the next one makes it whole', async () => {
  await sh('web', 'echo then >/root/note; sync');
  await host.client.run('node.save', { params: { node: 'shop' }, body: { name: 'then' } });
  for (const afterMs of [0, 150, 400]) {
    await sh('web', 'echo now >/root/note; sync');
    await host.client.call('node.restore', { params: { node: 'shop' }, body: { save: 'then' } });
    // Before that nothing has been done to it.
    const work = async () => (await host.client.call('node.get', { params: { node: 'shop' } })).status.work?.kind;
    await expect.poll(work, { interval: 5, timeout: 20_000 }).toBe('restore');
    await sleep(afterMs);
    await host.kill9();
    await host.start();
    await expect.poll(state, { timeout: 60_000 }).toBe('up');
    expect(await sh('web', 'cat /root/note'), `killed after ${afterMs} ms`).toBe('then');
    const { status } = await host.client.call('node.get', { params: { node: 'shop' } });
    expect(status.work).toBeUndefined();
    expect(await host.leftovers()).toEqual([]);
  }
}, 180_000);

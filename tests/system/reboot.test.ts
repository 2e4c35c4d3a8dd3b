import { once } from 'node:events';
import { mkdtemp, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Node, Vm, VmCreateInput } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/**
 * After a restart of the host what ran comes back. Here it restarts as truly as can be without doing so: every process of
 * the daemon, its VMs, templates and networks is killed, what lies in memory (the runtime directory) is gone, and the file
 * that the daemon knows a boot by says something else.
 */

let host: TestHost;
let dir: string;
let port: number;
let boots = 0;
const startBoot = () => writeFile(join(dir, 'boot_id'), `boot-${(boots += 1)}\n`);
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'skerry-boot-'));
  await startBoot();
  port = await freePort();
  host = await startTestHost({ env: { SKERRY_BOOT_ID_FILE: join(dir, 'boot_id') } });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

const get = (name: string): Promise<Vm> => host.client.call('vm.get', { params: { vm: name } });
const create = (body: VmCreateInput): Promise<Vm> =>
  host.client.run('vm.create', { body: { memoryMib: 64, start: true, ...body } });
const node = (): Promise<Node> => host.client.call('node.get', { params: { node: 'shop' } });
const stateOf = async (name: string): Promise<string> =>
  get(name).then(
    ({ status }) => status.state,
    (error: { code: string }) => error.code,
  );
const becomes = (name: string, state: string) =>
  expect.poll(() => stateOf(name), { timeout: 60_000, message: name }).toBe(state);

async function reboot(): Promise<void> {
  await host.kill9();
  for (;;) {
    const traces = await host.leftovers({ settleMs: 0 });
    const pids = traces.flatMap((line) => /^process (\d+):/.exec(line)?.[1] ?? []);
    if (pids.length === 0) {
      const groups = traces.flatMap((line) => /^control group (.*)/.exec(line)?.[1] ?? []);
      for (const group of groups.toSorted((a, b) => b.length - a.length)) await rmdir(group).catch(() => undefined);
      break;
    }
    for (const pid of pids) killIfThere(Number(pid));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  for (const name of await readdir(host.dirs.runtimeDir))
    await rm(join(host.dirs.runtimeDir, name), { recursive: true });
  await startBoot();
  await host.start();
}

const SHOP = (): string => `
apiVersion: skerry/v1
name: shop
defaults: { image: micro, memory: 64Mi, restart: on-failure:3, stopGracePeriod: 5s }
vms:
  db:
    files: [{ path: /srv/index.html, content: "from db\\n" }]
    command: sleep 1; exec httpd -f -p 8080 -h /srv
    health: { tcp: 8080 }
  web:
    dependsOn: { db: { condition: healthy } }
    files: [{ path: /srv/index.html, content: "from web\\n" }]
    command: exec httpd -f -p 80 -h /srv
    health: { http: 80 }
  idle: { dependsOn: [db] }
forward:
  - { host: ${port}, to: web:80 }
`;
const page = async (): Promise<string> => {
  const call = httpGet({ host: '127.0.0.1', port, path: '/', agent: false, insecureHTTPParser: true });
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return await text(response);
};

test('VMs are as they were, or as they were said to be', async () => {
  await create({ name: 'ran' });
  await create({ name: 'rested', start: false });
  await create({ name: 'suspended', autostart: 'on' });
  await create({ name: 'always', start: false });
  await create({ name: 'never' });
  await create({ name: 'brief', ephemeral: true });
  await create({ name: 'waited', restart: { policy: 'on-failure', backoffMs: 600_000 } });
  await host.client.exec('ran', 'echo kept > /root/kept && sync');
  await host.client.exec('suspended', 'echo 42 > /tmp/in-memory');
  expect(await host.cli(['suspend', 'suspended'])).toMatchObject({ exitCode: 0 });
  expect((await host.cli(['autostart', 'always', 'on'])).stdout).toBe('always: autostart on\n');
  expect((await host.cli(['autostart', 'never', 'off'])).stdout).toBe('never: autostart off\n');
  process.kill((await get('waited')).status.process?.pid ?? Number.NaN, 'SIGKILL');
  await becomes('waited', 'crashed');
  const address = (await get('ran')).status.nics[0]?.address;
  const before = (await get('ran')).status.process?.pid;

  await reboot();
  for (const name of ['ran', 'always', 'waited']) await becomes(name, 'running');
  expect((await host.client.exec('ran', ['cat', '/root/kept'])).stdout).toBe('kept\n');
  expect((await get('ran')).status.nics[0]?.address).toBe(address);
  expect((await get('ran')).status.process?.pid).not.toBe(before);
  expect((await host.client.exec('ran', ['ping', '-c', '1', '-W', '5', 'always'])).exitCode).toBe(0);
  expect(await stateOf('rested')).toBe('stopped');
  expect((await get('never')).status).toMatchObject({
    state: 'stopped',
    message: expect.stringContaining('autostart is off'),
    exit: { kind: 'stopped', reason: 'the host restarted' },
  });
  await becomes('brief', 'not-found');
  expect(await stateOf('suspended')).toBe('suspended');
  expect(await host.cli(['start', 'suspended'])).toMatchObject({ exitCode: 0 });
  expect((await host.client.exec('suspended', ['cat', '/tmp/in-memory'])).stdout).toBe('42\n');

  const events = await host.client.call('event.list');
  expect(events.filter(({ type }) => type === 'host.restarted')).toHaveLength(1);
  expect(events.map(({ message }) => message)).toContain('ran stopped: the host restarted');
  // A new daemon alone is no restart of the host.
  const pid = (await get('ran')).status.process?.pid;
  await host.restart();
  expect((await get('ran')).status.process?.pid).toBe(pid);
  await host.clear();
}, 240_000);

test('a node comes back in the order of its dependencies, though the daemon is killed over it', async () => {
  await writeFile(join(host.dir, 'shop.yaml'), SHOP());
  const up = await host.cli(['up', join(host.dir, 'shop.yaml')], { timeoutMs: 120_000 });
  expect(up, up.stderr).toMatchObject({ exitCode: 0 });
  expect(await host.cli(['stop', 'shop/idle'])).toMatchObject({ exitCode: 0 });
  const before = (await get('shop/db')).id;

  await reboot();
  await host.kill9();
  await host.start();
  await expect.poll(async () => (await get('shop/web')).status.health, { timeout: 90_000 }).toBe('healthy');
  expect(await page()).toBe('from web\n');
  const [db, web] = [await get('shop/db'), await get('shop/web')];
  expect(db.id).toBe(before);
  // Its service begins a second after its start: who waits for its health starts later than that.
  const startOf = (vm: Vm): number => Date.parse(vm.status.start?.at ?? '');
  expect(startOf(web)).toBeGreaterThan(startOf(db) + 1000);
  // What its user has stopped stays so.
  expect(await stateOf('shop/idle')).toBe('stopped');
  await expect
    .poll(async () => (await host.client.call('event.list')).map(({ message }) => message), { timeout: 20_000 })
    .toContain('shop is up again: its host had restarted');
  expect(await host.leftovers()).toEqual([]);
}, 240_000);

test('autostart of a node: off, then on', async () => {
  expect((await host.cli(['autostart', 'shop', 'off'])).stdout).toBe('shop: autostart off\n');
  const refused = await host.cli(['autostart', 'shop/web', 'on']);
  expect(refused).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('skerry autostart shop on') });
  expect(await host.cli(['autostart', 'nobody', 'on'])).toMatchObject({ exitCode: 3 });
  await reboot();
  expect((await node()).status).toMatchObject({ state: 'down', message: 'autostart is off' });
  for (const name of ['db', 'web', 'idle']) expect(await stateOf(`shop/${name}`)).toBe('stopped');
  // Another `up` without a word about it leaves it as it is.
  expect(await host.cli(['up', join(host.dir, 'shop.yaml')], { timeoutMs: 120_000 })).toMatchObject({ exitCode: 0 });
  expect((await node()).spec.autostart).toBe('off');

  expect(await host.cli(['autostart', 'shop', 'on'])).toMatchObject({ exitCode: 0 });
  expect(await host.cli(['down', 'shop'])).toMatchObject({ exitCode: 0 });
  await reboot();
  await expect.poll(async () => (await node()).status.state, { timeout: 90_000 }).toBe('up');
  expect(await page()).toBe('from web\n');
}, 300_000);

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Its parent has taken it along.
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

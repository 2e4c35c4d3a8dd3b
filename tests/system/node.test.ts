import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Node, PlanStep, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** A node of three VMs by its file, as a person types it: up, used, changed, down, up again, deleted. */

let host: TestHost;
let port: number;
beforeAll(async () => {
  host = await startTestHost();
  port = await freePort();
});
afterAll(() => host[Symbol.asyncDispose]());

/** `db` answers on a port once its file is served; `web` reads it by name; `front` is reached from the host. */
const nodeFile = ({ setting = 'one', withWatcher = true } = {}): string => `
apiVersion: skerry/v1
name: trio
defaults: { image: micro, memory: 64Mi }
networks: { inner: { egress: false } }
vms:
  db:
    networks: [inner]
    files:
      - { path: /srv/index.html, content: "from db\\n" }
    command: sleep 1; exec httpd -f -p 8080 -h /srv
    health: { tcp: 8080 }
  web:
    networks: [inner]
    env: { SETTING: ${setting} }
    dependsOn: { db: { condition: healthy } }
    files:
      - path: /srv/cgi-bin/page
        mode: '0755'
        content: |
          #!/bin/sh
          echo "content-type: text/plain"
          echo
          echo "$SETTING: $(wget -q -O - http://db:8080/)"
    command: exec httpd -f -p 80 -h /srv
    health: { http: { port: 80, path: /cgi-bin/page } }
${withWatcher ? '  watcher: { networks: [inner], dependsOn: [web] }' : ''}
forward:
  - { host: ${port}, to: web:80 }
`;

async function up(content: string, ...options: string[]) {
  await mkdir(join(host.dir, 'files'), { recursive: true });
  await writeFile(join(host.dir, 'files/trio.yaml'), content);
  return host.cli(['up', join(host.dir, 'files/trio.yaml'), ...options], { timeoutMs: 60_000 });
}
const vms = async (): Promise<Record<string, Vm>> =>
  Object.fromEntries((await host.client.call('vm.list')).map((vm) => [vm.name.replace('trio/', ''), vm]));
const processes = async () =>
  Object.fromEntries(Object.entries(await vms()).map(([name, vm]) => [name, vm.status.process?.pid]));
const node = (): Promise<Node> => host.client.call('node.get', { params: { node: 'trio' } });
/** Its header lines end with LF alone, as echo writes them; that is the page's business, not ours. */
const page = async (): Promise<string> => {
  const call = get({ host: '127.0.0.1', port, path: '/cgi-bin/page', agent: false, insecureHTTPParser: true });
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  return await text(response);
};

test('a dry run prints the plan and does nothing', async () => {
  const result = await up(nodeFile(), '--dry-run', '-o', 'json');
  expect(result, result.stderr).toMatchObject({ exitCode: 0 });
  const plan = JSON.parse(result.stdout) as PlanStep[];
  expect(plan.map(({ action, name }) => `${action} ${name}`)).toEqual(
    expect.arrayContaining([
      'create trio-inner',
      'create trio/db',
      'start trio/db',
      'create trio/web',
      'start trio/watcher',
    ]),
  );
  const at = (name: string): number => plan.findIndex((step) => step.action === 'start' && step.name === name);
  expect(at('trio/db')).toBeLessThan(at('trio/web'));
  expect(await host.client.call('vm.list')).toEqual([]);
  expect(await host.client.call('node.list')).toEqual([]);
});

test('up brings it up in order, and it can be used', async () => {
  const result = await up(nodeFile());
  expect(result, result.stderr).toMatchObject({ exitCode: 0 });
  expect((await node()).status.state).toBe('up');
  const { db, web, watcher } = await vms();
  expect([db, web, watcher].map((vm) => vm?.status.state)).toEqual(['running', 'running', 'running']);
  expect([db?.status.health, web?.status.health]).toEqual(['healthy', 'healthy']);
  // Its service begins a second after its start: who waits for its health starts later than that.
  const startOf = (vm: Vm | undefined): number => Date.parse(vm?.status.start?.at ?? '');
  expect(startOf(web)).toBeGreaterThan(startOf(db) + 1000);

  expect(await page()).toBe('one: from db\n');
  // By name, by the name with its domain, and by address; nothing beyond.
  const { client } = host;
  for (const name of ['db', 'db.trio', db?.status.nics[0]?.address ?? ''])
    expect(await client.exec('trio/web', ['wget', '-q', '-O', '-', `http://${name}:8080/`])).toMatchObject({
      stdout: 'from db\n',
    });
  expect((await client.exec('trio/watcher', ['ping', '-c', '1', '-W', '5', 'web'])).exitCode).toBe(0);
  expect((await client.exec('trio/watcher', ['nslookup', 'nobody.trio'])).exitCode).not.toBe(0);
  expect((await host.cli(['exec', 'trio/web', '--', 'hostname'])).stdout).toBe('web\n');
  expect((await host.cli(['node', 'list'])).stdout).toMatch(/trio\s+up/);
}, 180_000);

test('up once more changes nothing', async () => {
  const before = await processes();
  expect(await up(nodeFile())).toMatchObject({ exitCode: 0 });
  expect(await processes()).toEqual(before);
  const plan = JSON.parse((await up(nodeFile(), '--dry-run', '-o', 'json')).stdout) as PlanStep[];
  expect(new Set(plan.map(({ action }) => action))).toEqual(new Set(['keep']));
});

test('a changed variable restarts that VM alone, and a VM that is gone from the file is deleted', async () => {
  const before = await processes();
  expect(await up(nodeFile({ setting: 'two', withWatcher: false }))).toMatchObject({ exitCode: 0 });
  const after = await processes();
  expect(Object.keys(after).toSorted()).toEqual(['db', 'web']);
  expect(after['db']).toBe(before['db']);
  expect(after['web']).not.toBe(before['web']);
  expect(await page()).toBe('two: from db\n');
  expect(await host.leftovers()).toEqual([]);
}, 180_000);

test('after kill -9 of the daemon the node is as it was, and its port answers', async () => {
  const before = await processes();
  await host.kill9();
  await host.start();
  expect(await processes()).toEqual(before);
  await expect.poll(async () => (await node()).status.state, { timeout: 20_000 }).toBe('up');
  expect(await page()).toBe('two: from db\n');
});

test('down keeps disks and addresses, delete leaves nothing', async () => {
  await host.client.exec('trio/db', 'echo kept > /root/kept && sync');
  const address = (await vms())['db']?.status.nics[0]?.address;
  expect(await host.cli(['down', 'trio'])).toMatchObject({ exitCode: 0 });
  expect((await node()).status.state).toBe('down');
  await expect(page()).rejects.toThrow();
  expect(await host.leftovers()).toEqual([]);

  expect(await up(nodeFile({ setting: 'two', withWatcher: false }))).toMatchObject({ exitCode: 0 });
  expect((await host.client.exec('trio/db', ['cat', '/root/kept'])).stdout).toBe('kept\n');
  expect((await vms())['db']?.status.nics[0]?.address).toBe(address);

  expect(await host.cli(['node', 'delete', 'trio', '--yes'])).toMatchObject({ exitCode: 0 });
  expect(await host.client.call('vm.list')).toEqual([]);
  expect((await host.client.call('network.list')).map(({ name }) => name)).not.toContain('trio-inner');
  expect(await host.leftovers()).toEqual([]);
  const taken = createServer();
  await new Promise<void>((resolve, reject) => taken.once('error', reject).listen(port, '127.0.0.1', resolve));
  taken.close();
}, 180_000);

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** The main job, as a person does it: the shop of three VMs with the distribution's nginx, redis and rsyslog. */

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));
let host: TestHost;
let file: string;
let url: string;

beforeAll(async () => {
  host = await startTestHost();
  const port = await freePort();
  url = `http://127.0.0.1:${port}/`;
  file = join(host.dir, 'shop.yaml');
  const shop = await readFile(join(EXAMPLES, 'shop.yaml'), 'utf8');
  await writeFile(file, shop.replaceAll('8080', String(port)).replaceAll('./shop/', join(EXAMPLES, 'shop/')));
});
afterAll(() => host[Symbol.asyncDispose]());

test('a page view is counted in redis, and is a line at the logger', async () => {
  const up = await host.cli(['up', file], { timeoutMs: 110_000 });
  expect(up).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('shop/web') });

  expect(await (await fetch(url)).text()).toContain('Views: 1');
  expect(await (await fetch(url)).text()).toContain('Views: 2');
  expect(await host.cli(['exec', 'shop/cache', '--', 'redis-cli', 'get', 'shop:views'])).toMatchObject({
    stdout: '2\n',
  });
  await expect
    .poll(async () => (await host.cli(['logs', 'shop/logs'])).stdout, { timeout: 10_000 })
    .toMatch(/web: .*"GET \/ HTTP/);

  // By name and by address, with nobody else's.
  expect(await host.cli(['exec', 'shop/web', '--', 'hostname'])).toMatchObject({ stdout: 'web\n' });
  expect(await host.cli(['exec', 'shop/web', '--', 'ping', '-c', '1', 'cache'])).toMatchObject({ exitCode: 0 });
});

test('up once more changes nothing', async () => {
  const before = await processes();
  expect((await host.cli(['up', file, '--dry-run'])).stdout.match(/keep/g)).toHaveLength(3);
  expect(await host.cli(['up', file])).toMatchObject({ exitCode: 0 });
  expect(await processes()).toEqual(before);
});

test('a change restarts the VM that it is about, and no other', async () => {
  const before = await processes();
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('dependsOn:\n', 'env: { MODE: test }\n    dependsOn:\n'));
  expect((await host.cli(['up', file, '--dry-run'])).stdout).toMatch(/restart\s+vm\s+shop\/web\s+env changed/);
  expect(await host.cli(['up', file])).toMatchObject({ exitCode: 0 });
  const after = await processes();
  expect(after).toMatchObject({ 'shop/cache': before['shop/cache'], 'shop/logs': before['shop/logs'] });
  expect(after['shop/web']).not.toBe(before['shop/web']);
  expect(await host.cli(['exec', 'shop/web', '--', 'sh', '-c', 'echo $MODE'])).toMatchObject({ stdout: 'test\n' });
});

test('down and up again: what was counted is still there', async () => {
  expect(await host.cli(['node', 'down', 'shop'])).toMatchObject({ exitCode: 0 });
  await expect(fetch(url)).rejects.toThrow();
  expect((await host.client.call('vm.list')).map((vm) => vm.status.state)).toEqual(['stopped', 'stopped', 'stopped']);
  expect(await host.cli(['up', file])).toMatchObject({ exitCode: 0 });
  expect(await (await fetch(url)).text()).toContain('Views: 3');
});

test('the daemon killed: the shop goes on, and its port comes back', async () => {
  const before = await processes();
  await host.kill9();
  await host.start();
  expect(await processes()).toEqual(before);
  await expect.poll(async () => (await fetch(url)).text(), { timeout: 10_000 }).toContain('Views: 4');
});

test('a VM that is no longer declared goes', async () => {
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace(/ {2}cache:\n(?: {4}.*\n)+/, '').replace(/.*cache: \{ condition.*\n/, ''));
  expect(await host.cli(['up', file])).toMatchObject({ exitCode: 0 });
  expect((await host.client.call('vm.list')).map((vm) => vm.name).toSorted()).toEqual(['shop/logs', 'shop/web']);
});

async function processes(): Promise<Record<string, number | undefined>> {
  return Object.fromEntries((await host.client.call('vm.list')).map((vm) => [vm.name, vm.status.process?.pid]));
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

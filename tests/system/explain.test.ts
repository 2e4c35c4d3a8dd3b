import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** `network explain` of real VMs: what is broken is named, and what is mended is told to be right. */

let host: TestHost;
const TIMEOUT_MS = 120_000;
const WAIT = { timeout: 20_000 };
const PAIR = `apiVersion: skerry/v1
kind: Node
name: pair
defaults: { memory: 64Mi }
networks: { inner: { mode: isolated } }
vms:
  x: { networks: [inner] }
`;

beforeAll(async () => {
  host = await startTestHost();
  await said('network create dev --subnet 192.168.60.0/24 --ipv6 fd00:60::/64');
  await said('network create-isolated lab --subnet 192.168.61.0/24');
  const [listen, wait] = ['httpd -f -p 80', 'tail -f /dev/null'];
  await Promise.all([
    host.cli(['create', 'web', 'micro', '--network', 'dev', '--start', '--', 'sh', '-c', wait]),
    host.cli(['create', 'db', 'micro', '--network', 'dev', '--start', '--', 'sh', '-c', listen]),
    host.cli(['create', 'far', 'micro', '--network', 'lab', '--start', '--', 'sh', '-c', wait]),
  ]);
}, TIMEOUT_MS);
afterAll(() => host[Symbol.asyncDispose]());

async function said(line: string): Promise<string> {
  // What is run in a guest needs no process of ours.
  const [, vm, command] = /^exec (\S+) -- (.*)$/.exec(line) ?? [];
  if (vm !== undefined && command !== undefined) {
    const { exitCode, stdout, stderr } = await host.client.exec(vm, command);
    expect(exitCode, `${line}: ${stderr}`).toBe(0);
    return stdout;
  }
  const { exitCode, stdout, stderr } = await host.cli(line.split(' '));
  expect(exitCode, `${line}: ${stderr}`).toBe(0);
  return stdout;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `no KIND AT`, or `yes`. */
async function answer(from: string, to: string): Promise<string> {
  const [end = '', port] = to.split(':');
  const body = { from, to: end, ...(port === undefined ? {} : { port: Number(port) }) };
  const { reachable, cause } = await host.client.call('network.explain', { body });
  return cause === undefined ? reachable : `${reachable} ${cause.kind} ${cause.at}`;
}

/** What it says mends it. */
async function mended(from: string, to: string): Promise<void> {
  const { stdout, exitCode } = await host.cli(['network', 'explain', from, to]);
  expect(exitCode).toBe(1);
  await said(/to mend it: skerry (?<line>.*)/.exec(stdout)?.groups?.['line'] ?? '');
  await expect.poll(() => answer(from, to), WAIT).toBe('yes');
}

/** Whether it is so. */
async function connects(from: string, to: string, port: number): Promise<boolean> {
  return (await host.client.exec(from, `echo | nc -w 2 ${to} ${port}`)).exitCode === 0;
}

test(
  'what is in the way is named, and it is in the way',
  async () => {
    const { address: db = '', address6 = '' } =
      (await host.client.call('vm.get', { params: { vm: 'db' } })).status.nics[0] ?? {};
    await expect.poll(() => connects('web', db, 80), WAIT).toBe(true);
    expect(await answer('web', 'db:80')).toBe('yes');
    const yes = await host.cli(['network', 'explain', 'web', 'db:80']);
    expect(yes).toMatchObject({ exitCode: 0, stderr: '' });
    expect(yes.stdout).toMatch(/^yes\n {2}web:eth0 +192\.168\.60\.0\/24 by eth0, on the network dev\n {2}db:eth0 /);

    expect(await answer('web', 'db:81')).toBe('no service db');
    expect(await connects('web', db, 81)).toBe(false);
    expect(await answer('db', 'web')).toBe('yes');
    expect(await answer('web', 'far')).toBe('no network lab');
    expect(await answer('far', 'web:80')).toBe('no network dev');
    expect(await answer('far', '198.51.100.7:443')).toBe('no network lab');

    await said('exec db -- ip -4 address flush dev eth0');
    await said('exec db -- ip address add 192.168.60.77/24 dev eth0');
    expect(await answer('web', 'db:80')).toBe('no address db:eth0');
    expect(await connects('web', db, 80)).toBe(false);
    await mended('web', 'db:80');
    expect(await connects('web', db, 80)).toBe(true);

    await said('exec web -- ip link set eth0 down');
    expect(await answer('web', 'db:80')).toBe('no nic web:eth0');
    await said('exec web -- ip link set eth0 up');
    await expect.poll(() => answer('web', 'db:80'), WAIT).toBe('yes');

    await said('nic set db eth0 --link down');
    expect(await answer('web', 'db:80')).toBe('no nic db:eth0');
    expect(await connects('web', db, 80)).toBe(false);
    await said('nic set db eth0 --link up');
    await expect.poll(() => answer('web', 'db:80'), WAIT).toBe('yes');

    await said('network acl add dev --deny --from any --to db --proto tcp --port 80');
    expect(await answer('web', 'db:80')).toBe('no acl dev/1');
    expect(await connects('web', db, 80)).toBe(false);
    await said('network acl remove dev 1');
    expect(await answer('web', 'db:80')).toBe('yes');

    // By IPv6, of which the guests know more than they were told.
    expect((await host.cli(['network', 'explain', 'web', `[${address6}]:80`])).stdout).toMatch(/^yes\n/);
    expect(await connects('web', address6, 80)).toBe(true);
    await said(`exec db -- ip -6 address del ${address6}/64 dev eth0`);
    const byName = await host.cli(['network', 'explain', 'web', 'db:80', '--ipv6']);
    expect(byName.stdout).toMatch(
      /^no\n[^]*eth0 in db has fe80::[^]*to mend it: skerry exec db -- ip address add fd00:60:/,
    );
    expect(await connects('web', address6, 80)).toBe(false);

    await said('nic set db eth0 --vlan 10');
    expect(await answer('web', 'db:80')).toBe('no vlan db:eth0');
    expect(await connects('web', db, 80)).toBe(false);
    expect(await answer('db', '198.51.100.7:443')).toBe('no vlan db:eth0');
    await mended('web', 'db:80');

    const frozen = /^[^:]+/.exec(await said('fault vm db freeze --for 60s'))?.[0];
    expect(await answer('web', 'db:80')).toBe(`no fault ${frozen}`);
    await mended('web', 'db:80');

    expect(await answer('host', 'db:80')).toBe('no network dev');
    const port = await freePort();
    await said(`network forward add dev --host ${port} --to db:80`);
    expect(await answer('host', 'db:80')).toBe('yes');
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    expect(await answer('192.0.2.9', 'db:80')).toBe(`no host 127.0.0.1:${port}`);
    // Its default route went when its NIC was down.
    expect(await answer('web', 'host:22')).toBe('no route web');
    await said('exec web -- ip route add default via 192.168.60.1');
    expect(await answer('web', 'host:22')).toBe('no host dev');

    await said('kill db --yes');
    expect(await answer('web', 'db:80')).toBe('no vm db');
    expect((await host.cli(['network', 'explain', 'web', 'db:80'])).stdout).toContain('skerry start db');

    const wrong = await host.cli(['network', 'explain', 'web', 'nobody']);
    expect(wrong).toMatchObject({ exitCode: 3, stdout: '' });
    expect((await host.cli(['network', 'explain', 'web', 'db:x'])).exitCode).toBe(2);
  },
  TIMEOUT_MS,
);

test(
  'a partition of a node, and a NIC that its file declares',
  async () => {
    const path = join(host.dir, 'pair.yaml');
    const up = async (vlan: string): Promise<void> => {
      const y = `{ nics: [{ network: inner${vlan} }], command: 'httpd -f -p 80' }`;
      await writeFile(path, `${PAIR}  y: ${y}\n`);
      await said(`up ${path}`);
    };
    await up('');
    await expect.poll(() => answer('pair/x', 'pair/y:80'), WAIT).toBe('yes');
    const fault = /^[^:]+/.exec(await said('fault partition pair x/y --for 60s'))?.[0];
    expect(await answer('pair/x', 'pair/y:80')).toBe(`no fault ${fault}`);
    expect(await connects('pair/x', 'y', 80)).toBe(false);
    await mended('pair/x', 'pair/y:80');
    await expect.poll(() => connects('pair/x', 'y', 80), WAIT).toBe(true);
    await up(', vlan: 20');
    expect(await answer('pair/x', 'pair/y:80')).toBe('no vlan pair/y:eth0');
    // What a file declares is not to be changed by hand.
    const { stdout } = await host.cli(['network', 'explain', 'pair/x', 'pair/y:80']);
    expect(stdout).toContain('Take `vlan` away from eth0 of y in the file of pair, then type `skerry up FILE`.');
    await up('');
    await expect.poll(() => answer('pair/x', 'pair/y:80'), WAIT).toBe('yes');
  },
  TIMEOUT_MS,
);

import { createSocket } from 'node:dgram';
import { writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { buildPaths, PATHS_PORT, proberInVm } from '../paths/prober.ts';
import { pingDf } from './ping-df.ts';

/** Networks that a person makes by hand, and what they refuse. */

let host: TestHost;
beforeAll(async () => {
  host = await startTestHost();
});
afterAll(() => host[Symbol.asyncDispose]());

const servers: Server[] = [];
afterAll(() => servers.map((server) => server.close()));

async function listen(): Promise<{ server: Server; port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port };
}
async function freePort(): Promise<number> {
  const { server, port } = await listen();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
async function takenPort(): Promise<number> {
  const { server, port } = await listen();
  servers.push(server);
  return port;
}

const skerry = (line: string) => host.cli(line.split(' '));
const networkNames = async () => (await host.client.call('network.list')).map(({ name }) => name).toSorted();

test('a network is made, shown and listed', async () => {
  const made = await skerry('network create dev --mode nat --subnet 192.168.50.0/24 --dns-domain dev.test');
  expect(made).toMatchObject({ exitCode: 0, stdout: 'dev: nat, 192.168.50.0/24\n' });
  expect(await skerry('network create-isolated lab')).toMatchObject({ exitCode: 0 });
  expect((await skerry('network list')).stdout).toMatch(
    /^dev +nat +192\.168\.50\.0\/24 +192\.168\.50\.1 +user +dev\.test/m,
  );
  expect((await skerry('network show dev')).stdout).toMatch(/domain: +dev\.test\n[^]*vms: +none/);
  expect(await networkNames()).toEqual(['dev', 'lab']);
});

describe('refused, and nothing has changed', () => {
  test('an interface that is not there, where a bridge is possible at all', async () => {
    expect([3, 5]).toContain((await skerry('network create new --mode bridged --parent nothere0')).exitCode);
  });

  test.each([
    ['network create dev', 4, /network 'dev' already/, /network delete dev/],
    ['network create new --subnet 192.168.50.128/25', 4, /overlaps 192\.168\.50\.0\/24/, /another subnet/],
    ['network create new --subnet 127.0.0.0/8', 2, /can not be a network's subnet/, /private IPv4/],
    ['network create new --subnet 10.9.0.0', 2, /subnet/i, /\S/],
    ['network create new --mtu 20', 2, /mtu/i, /\S/],
    ['network create new --mode overlay --vni 0', 2, /vni/i, /\S/],
    ['network create new --mode overlay --vni 16777216', 2, /vni/i, /\S/],
    ['network create new --mode overlay', 2, /needs a number/, /--vni 100/],
    ['network create new --mode link', 2, /--mode/, /nat/],
    ['network create new --vni 5', 2, /mode nat has no --vni/, /--mode overlay/],
    ['network create new --dhcp-range 10.9.0.1', 2, /no range of addresses/, /--dhcp-range 192/],
    ['network create a.b', 2, /name/i, /\S/],
    ['network show nothing', 3, /no network 'nothing'/, /network list/],
    ['network delete nothing', 3, /no network 'nothing'/, /network list/],
    ['create web micro --network nothing', 3, /no network 'nothing'/, /network list/],
  ])('%s', async (line, exitCode, message, remedy) => {
    const result = await skerry(line);
    expect(result).toMatchObject({ exitCode, stdout: '' });
    const [said = '', ...advice] = result.stderr.split('\n');
    expect(said).toMatch(message);
    expect(advice.join('\n')).toMatch(remedy);
    expect(await networkNames()).toEqual(['dev', 'lab']);
    expect(await host.client.call('vm.list')).toEqual([]);
  });
});

test('VMs on it reach each other by name, and keep it from being deleted', async () => {
  const [web, db] = await Promise.all(
    ['web', 'db'].map((name) => skerry(`create ${name} micro --network dev --start -- httpd -f -p 80 -h /etc`)),
  );
  expect([web?.exitCode, db?.exitCode], `${web?.stderr}${db?.stderr}`).toEqual([0, 0]);
  for (const name of ['db', 'db.dev.test'])
    expect(await skerry(`exec web -- ping -c 1 -W 5 ${name}`)).toMatchObject({ exitCode: 0 });

  const leases = await host.client.call('network.leases', { params: { network: 'dev' } });
  expect(leases.map(({ address }) => address)).toEqual(['192.168.50.10', '192.168.50.11']);
  expect(new Set(leases.map(({ vm }) => vm))).toEqual(new Set(['db', 'web']));

  const refused = await skerry('network delete-network dev');
  expect(refused).toMatchObject({ exitCode: 4, stdout: '' });
  expect(refused.stderr).toMatch(/(web, db|db, web) are on the network 'dev'\n.*skerry delete (web db|db web)/s);
  expect(await networkNames()).toEqual(['dev', 'lab']);
});

const fetched = async (port: number): Promise<string> => (await fetch(`http://127.0.0.1:${port}/hostname`)).text();
const reaches = async (command: string): Promise<boolean> => (await skerry(`exec db -- ${command}`)).exitCode === 0;

test('a port of the host leads to a VM, until it is taken back', async () => {
  const port = await freePort();
  const added = await skerry(`network forward add dev --host ${port} --to web:80`);
  expect(added).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`127.0.0.1:${port}`) });
  expect(await fetched(port)).toBe('web\n');

  for (const [line, exitCode, message] of [
    [`network forward add dev --host ${port} --to db:80`, 4, /leads to web:80 already/],
    [`network forward add dev --host ${await takenPort()} --to db:80`, 4, /is in use/],
    [`network forward add dev --host 1 --to nobody:80`, 3, /no VM 'nobody'/],
    [`network forward add dev --host 0 --to web:80`, 2, /port/i],
    [`network forward remove dev --host 1`, 3, /is not forwarded/],
  ] as const) {
    const refused = await skerry(line);
    expect(refused.stderr).toMatch(message);
    expect(refused).toMatchObject({ exitCode, stdout: '' });
  }
  expect(await skerry(`rename web shop`)).toMatchObject({ exitCode: 0 });
  expect((await skerry('network forward list dev')).stdout).toMatch(`127.0.0.1:${port}  tcp    shop:80`);
  expect(await fetched(port)).toBe('web\n');
  expect(await skerry(`rename shop web`)).toMatchObject({ exitCode: 0 });
  expect(await skerry(`network forward remove dev --host ${port}`)).toMatchObject({ exitCode: 0 });
  await expect(fetched(port)).rejects.toThrowError();
});

test('a UDP port of the host leads to a VM, each client has its own answers, and it closes', async () => {
  await proberInVm(host.client, 'web', await buildPaths(host.dir));
  const clients = [createSocket('udp4'), createSocket('udp4')];
  try {
    for (const client of clients) await new Promise<void>((resolve) => client.bind(0, '127.0.0.1', resolve));
    const port = await freeUdpPort();
    const heard = clients.map(() => [] as string[]);
    for (const [index, client] of clients.entries())
      client.on('message', (data, from) => heard[index]?.push(`${data.toString()} from ${from.port}`));
    const ask = async (): Promise<string[][]> => {
      for (const client of clients) client.send('who?', port, '127.0.0.1');
      await sleep(200);
      return heard.map((texts) => [...new Set(texts)]);
    };
    const added = await skerry(`network forward add dev --host ${port} --to web:${PATHS_PORT} --proto udp`);
    expect(added).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(`127.0.0.1:${port}.*udp`) });
    await expect.poll(ask).toEqual([[`web from ${port}`], [`web from ${port}`]]);
    expect((await skerry('network forward list dev')).stdout).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${port} +udp +web:${PATHS_PORT}`),
    );
    expect(await skerry(`network forward remove dev --host ${port} --proto udp`)).toMatchObject({ exitCode: 0 });
    for (const texts of heard) texts.length = 0;
    expect(await ask()).toEqual([[], []]);
  } finally {
    for (const client of clients) client.close();
  }
});

test('rules count at once for VMs that run', async () => {
  const asks = () => reaches('timeout 2 wget -q -O /dev/null http://web/hostname');
  const pings = () => reaches('ping -c 1 -W 1 web');
  expect([await asks(), await pings()]).toEqual([true, true]);
  expect(await skerry('network acl add dev --deny --from db --to web --proto tcp --port 80')).toMatchObject({
    exitCode: 0,
  });
  expect([await asks(), await pings()]).toEqual([false, true]);
  expect((await skerry('network ruleset dev')).stdout).toMatch(
    /1: deny tcp 80 from db to web \(192\.168\.50\.1\d -> 192\.168\.50\.1\d\)\n +allow all else/,
  );
  expect((await skerry('network acl list dev')).stdout).toMatch(/1 +deny +db +web +tcp +80\s+default: allow\n$/);
  expect(await skerry('network acl remove dev 1')).toMatchObject({ exitCode: 0, stdout: 'default: allow\n' });
  expect([await asks(), await pings()]).toEqual([true, true]);
  expect(await skerry('network acl default dev deny')).toMatchObject({ exitCode: 0, stdout: 'default: deny\n' });
  expect(await pings()).toBe(false);
  expect(await skerry('network acl default dev allow')).toMatchObject({ exitCode: 0 });
  expect(await skerry('network acl default deny')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/There are \d networks/),
  });
  expect(await skerry('network acl add dev --from db')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--allow or --deny'),
  });
  expect(await skerry('network acl remove dev 9')).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining('no rule 9'),
  });
});

test('a router leads from one network to another, and its VMs are told', async () => {
  for (const name of ['create left', 'create right --mtu 1400'])
    expect(await skerry(`network ${name} --mode isolated`)).toMatchObject({ exitCode: 0 });
  const make = (name: string, networks: string[], role?: 'router') =>
    host.client.run('vm.create', { body: { name, networks, ...(role === undefined ? {} : { role }) } });
  const [router, near, far] = await Promise.all([
    make('gate', ['left', 'right'], 'router'),
    make('near', ['left']),
    make('far', ['right']),
  ]);
  const [left, right] = ['left', 'right'].map(
    async (network) => (await host.client.call('network.get', { params: { network } })).status.subnet,
  );
  expect(await skerry(`network route add left ${await right}`)).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining(router.status.nics[0]?.address ?? '-'),
  });
  expect(await skerry(`network route add far ${await left} --via gate`)).toMatchObject({ exitCode: 0 });
  expect(await skerry(`network route add left 10.200.0.0/16 --via 10.201.0.1`)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('no next hop'),
  });
  expect(await skerry('start gate near far')).toMatchObject({ exitCode: 0 });
  expect(await skerry(`exec near -- ping -c 1 -W 5 ${far.status.nics[0]?.address}`)).toMatchObject({ exitCode: 0 });
  expect(
    (await skerry('exec gate -- cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding')).stdout,
  ).toBe('1\n1\n');
  expect((await skerry('exec near -- cat /proc/sys/net/ipv4/ip_forward')).stdout).toBe('0\n');
  // Who is on both knows the names of both, in whichever order it asks; who is on one learns nothing of the other.
  for (const name of ['near', 'far', 'near.left', 'far.right'])
    expect(await skerry(`exec gate -- ping -c 1 -W 5 ${name}`), name).toMatchObject({ exitCode: 0 });
  for (const name of ['far', 'far.right'])
    expect((await skerry(`exec near -- ping -c 1 -W 5 ${name}`)).stderr, name).toContain('bad address');
  // Each is told its MTU, and who sends more by way of the router is told that of the way.
  const pinger = await pingDf(host.dir);
  for (const vm of ['near', 'far'])
    expect(await skerry(`cp ${pinger} ${vm}:/bin/ping-df`)).toMatchObject({ exitCode: 0 });
  const whole = async (vm: string, to: { status: { nics: readonly { address: string }[] } }, bytes: number) =>
    (await skerry(`exec ${vm} -- ping-df ${to.status.nics[0]?.address} ${bytes}`)).stdout;
  expect(await whole('near', router, 1500)).toBe('reply\n');
  expect(await whole('near', router, 1501)).toBe('too big: 1500\n');
  expect(await whole('near', far, 1400)).toBe('reply\n');
  expect(await whole('near', far, 1401)).toBe('too big: 1400\n');
  expect(await whole('far', near, 1400)).toBe('reply\n');
  expect(await whole('far', near, 1401)).toBe('too big: 1400\n');
  expect(await skerry(`network route remove far ${await left}`)).toMatchObject({ exitCode: 0 });
  expect((await skerry(`network route list far`)).stdout).not.toContain(await left);
  expect(await skerry('delete gate near far --force')).toMatchObject({ exitCode: 0 });
  expect(await skerry('network delete left right')).toMatchObject({ exitCode: 0 });
});

test('a router on a trunk leads from one VLAN to another, with an address of its own in each', async () => {
  expect(await skerry('network create floor --mode isolated --subnet 10.88.0.0/24')).toMatchObject({ exitCode: 0 });
  const make = (name: string, nic: object, role?: 'router') =>
    host.client.run('vm.create', {
      body: { name, memoryMib: 64, nics: [{ network: 'floor', ...nic }], ...(role === undefined ? {} : { role }) },
    });
  const trunk = [10, 20].map((vlan) => ({ from: vlan, to: vlan }));
  await make('gate', { trunk, address: '10.88.0.10' }, 'router');
  await make('near', { vlan: 10, address: '10.88.0.11' });
  await make('far', { vlan: 20, address: '10.88.0.12' });
  expect(await skerry('start gate near far')).toMatchObject({ exitCode: 0 });
  const inside = async (vm: string, ...lines: string[]) =>
    (await host.cli(['exec', vm, '--', 'sh', '-c', lines.join(' && ')])).exitCode === 0;
  for (const [vlan, own, other] of [
    [10, '10.88.0.21', '10.88.0.11'],
    [20, '10.88.0.22', '10.88.0.12'],
  ]) {
    const nic = `eth0.${vlan}`;
    const made = [
      `ip link add link eth0 name ${nic} type vlan id ${vlan}`,
      `ip link set ${nic} up`,
      `ip address add ${own}/32 dev ${nic}`,
      `ip route add ${other} dev ${nic}`,
    ];
    expect(await inside('gate', ...made)).toBe(true);
  }
  const ping = 'ping -c 1 -W 5';
  expect(await inside('near', `${ping} 10.88.0.21`)).toBe(true);
  expect(await inside('near', 'ping -c 1 -W 1 10.88.0.12')).toBe(false);
  expect(await inside('near', 'ip route add 10.88.0.12 via 10.88.0.21')).toBe(true);
  expect(await inside('far', 'ip route add 10.88.0.11 via 10.88.0.22', `${ping} 10.88.0.11`)).toBe(true);
  // Who is no router has no further address.
  const claims = ['ip address add 10.88.0.99/24 dev eth0', 'ping -c 1 -W 1 -I 10.88.0.99 10.88.0.21'];
  expect(await inside('near', ...claims)).toBe(false);
  expect(await skerry('delete gate near far --force')).toMatchObject({ exitCode: 0 });
  expect(await skerry('network delete floor')).toMatchObject({ exitCode: 0 });
});

test('a node file says it all, and the same again changes nothing', async () => {
  const [port, other] = [await freePort(), await freePort()];
  const file = (rules: string, forward: number) => `apiVersion: skerry/v1
name: ruled
networks:
  lan:
    mode: isolated
    subnet: 10.77.0.0/24
    mtu: 1400
    acl: {default: allow, rules: [${rules}]}
    forward: [{host: ${forward}, to: web:80}]
    routes: [{to: 10.78.0.0/16, via: 10.77.0.50}]
vms:
  web:
    nics: [{network: lan, address: 10.77.0.40}]
    command: httpd -f -p 80 -h /etc
  gate:
    nics: [{network: lan, address: 10.77.0.50}]
    role: router
    routes: [{to: 10.79.0.0/16, via: 10.77.0.40}]
`;
  const path = join(host.dir, 'ruled.yaml');
  await writeFile(path, file('', port));
  expect(await skerry(`up ${path}`)).toMatchObject({ exitCode: 0 });
  // `up` waits for the VM, not for what it runs: there is no health check.
  await expect.poll(() => fetched(port).catch(() => ''), { timeout: 10_000 }).toBe('web\n');
  const told = (await skerry('exec ruled/web -- ip route')).stdout;
  expect(told).toMatch(/10\.78\.0\.0\/16 via 10\.77\.0\.50/);
  expect(told).not.toContain('10.79.0.0');
  expect((await skerry('exec ruled/gate -- cat /proc/sys/net/ipv4/ip_forward')).stdout).toBe('1\n');
  const ids = async () =>
    (await host.client.call('vm.list')).map(({ id, status }) => `${id} ${status.start?.at}`).toSorted();
  const before = await ids();
  const steps = async () =>
    (JSON.parse((await skerry(`up ${path} --dry-run -o json`)).stdout) as { action: string; name: string }[]).map(
      ({ action, name }) => `${action} ${name}`,
    );
  expect(await steps()).toEqual(['keep ruled/web', 'keep ruled/gate']);

  await writeFile(path, file('{action: deny, from: gate, to: web, proto: icmp}', other));
  expect(await steps()).toEqual(['update ruled-lan', 'update ruled', 'keep ruled/web', 'keep ruled/gate']);
  expect((await skerry('exec ruled/gate -- ping -c 1 -W 2 10.77.0.40')).exitCode).toBe(0);
  expect(await skerry(`up ${path}`)).toMatchObject({ exitCode: 0 });
  expect((await skerry('exec ruled/gate -- ping -c 1 -W 1 10.77.0.40')).exitCode).not.toBe(0);
  expect(await fetched(other)).toBe('web\n');
  await expect(fetched(port)).rejects.toThrowError();
  expect(await ids()).toEqual(before);
  expect(await skerry('node delete ruled --force')).toMatchObject({ exitCode: 0 });
});

test('a network that nobody is on is deleted', async () => {
  expect(await skerry('network delete lab')).toMatchObject({ exitCode: 0, stdout: 'lab: deleted\n' });
  expect(await skerry('delete web db --force')).toMatchObject({ exitCode: 0 });
  expect(await skerry('network delete dev')).toMatchObject({ exitCode: 0 });
  expect(await networkNames()).toEqual([]);
});

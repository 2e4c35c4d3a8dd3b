import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { run } from '../../packages/engine/src/hosts/index.ts';

/**
 * An interface of the host as a port of a bridge, with a daemon that has a network namespace of its own for a host, and a LAN
 * behind one end of a veth pair: nothing of the machine that the tests run on is touched.
 */

const possible = process.getuid?.() === 0;
const id = randomBytes(3).toString('hex');
const HOST_NS = `skt${id}h`;
const LAN_NS = `skt${id}l`;
const HOST_IP = '198.51.100.2';
const LAN_IP = '198.51.100.1';
const FREE = { from: '198.51.100.50', to: '198.51.100.60' };
/** What a move may cost those who are connected: a retransmission, no connection. */
const GAP_MS = 1000;
const WITHIN_MS = 2500;

const inHost = (...argv: string[]) => run(['nsenter', `--net=/run/netns/${HOST_NS}`, ...argv] as never);

const children: ChildProcess[] = [];
let host: TestHost;
let probe: Probe;

/** A host of the LAN that asks ours every 20 ms, and tells of the longest time without an answer. */
class Probe {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! });
  }

  /** Since it was asked the last time. */
  async gapMs(): Promise<number> {
    this.#child.stdin!.write('\n');
    const [line] = (await once(this.#lines, 'line')) as [string];
    return Number(line);
  }
}

function program(netns: string, text: string): ChildProcess {
  const child = spawn('nsenter', [`--net=/run/netns/${netns}`, process.execPath, '-e', text], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

const ECHO = `const s = require('node:dgram').createSocket('udp4');
s.on('message', (m, from) => s.send(m, from.port, from.address)).bind(9000, '0.0.0.0', () => console.log('ready'));`;
const ASK = `const s = require('node:dgram').createSocket('udp4');
let last = performance.now(), gap = 0;
const look = () => { gap = Math.max(gap, performance.now() - last); };
s.on('message', () => { look(); last = performance.now(); });
setInterval(() => s.send('hi', 9000, '${HOST_IP}', () => {}), 20);
s.on('error', () => {});
process.stdin.on('data', () => { look(); console.log(Math.round(gap)); gap = 0; });`;
const SERVER = `require('node:net').createServer((s) => { s.on('error', () => {}); s.end('you are ' + s.remoteAddress.replace('::ffff:', '') + '\\n'); }).listen(7000, '0.0.0.0', () => console.log('ready'))`;

/** Addresses and routes of the host, without what the kernel adds. */
async function state(dev: string): Promise<{ addresses: string[]; routes: string[]; master?: string }> {
  const show = async (...args: string[]) => JSON.parse((await inHost('ip', '-j', ...args)).stdout || '[]');
  const [link] = (await show('address', 'show', 'dev', dev)) as Array<{
    master?: string;
    addr_info: Array<{ local: string; prefixlen: number; scope: string }>;
  }>;
  const routes = (await show('route', 'show', 'dev', dev)) as Array<{ dst: string; gateway?: string }>;
  const addresses = (link?.addr_info ?? []).filter(({ scope }) => scope !== 'link');
  return {
    addresses: addresses.map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    routes: routes.map(({ dst, gateway }) => `${dst} ${gateway ?? ''}`.trim()),
    ...(link?.master === undefined ? {} : { master: link.master }),
  };
}

const bridges = async (): Promise<string[]> =>
  (
    JSON.parse((await inHost('ip', '-j', 'link', 'show', 'type', 'bridge')).stdout || '[]') as Array<{
      ifname?: string;
    }>
  )
    .flatMap(({ ifname }) => ifname ?? [])
    .filter((name) => name.startsWith('skerry-'));
const names = async (): Promise<string[]> => (await host.client.call('network.list')).map(({ name }) => name);

let before: Awaited<ReturnType<typeof state>>;
const lan = { name: 'lan', mode: 'bridged', parent: 'eno1', dhcpRange: FREE } as const;

beforeAll(async () => {
  if (!possible) return;
  for (const netns of [HOST_NS, LAN_NS]) await run(['ip', 'netns', 'add', netns]);
  await run(['ip', 'link', 'add', 'eno1', 'netns', HOST_NS, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', LAN_NS]);
  const batch = (netns: string, lines: string[]) =>
    run(['ip', '-n', netns, '-batch', '-'], { input: lines.join('\n') });
  await batch(HOST_NS, [
    'link set lo up',
    `address add ${HOST_IP}/24 brd + dev eno1`,
    'address add 198.51.100.3/24 brd + dev eno1',
    'address add fd00:51::2/64 dev eno1 nodad',
    'link set eno1 up',
    `route add default via ${LAN_IP} proto static metric 100`,
    'route add 203.0.113.0/24 via 198.51.100.9',
  ]);
  await batch(LAN_NS, ['link set lo up', `address add ${LAN_IP}/24 dev lan0`, 'link set lan0 up']);
  const ready = [program(HOST_NS, ECHO), program(LAN_NS, SERVER)].map((child) => once(child.stdout!, 'data'));
  await Promise.all(ready);
  probe = new Probe(program(LAN_NS, ASK));
  host = await startTestHost({ wrap: ['nsenter', `--net=/run/netns/${HOST_NS}`] });
  before = await state('eno1');
  expect(before.addresses).toEqual([`${HOST_IP}/24`, '198.51.100.3/24', 'fd00:51::2/64']);
  await probe.gapMs();
}, 30_000);

afterAll(async () => {
  if (!possible) return;
  await host?.[Symbol.asyncDispose]();
  for (const child of children) child.kill();
  for (const netns of [HOST_NS, LAN_NS]) await run(['ip', 'netns', 'delete', netns], { okExitCodes: 'any' });
});

test.skipIf(!possible)('what can not be bridged is refused before anything is touched', async () => {
  await inHost('ip', 'link', 'add', 'tun7', 'type', 'veth', 'peer', 'name', 'tun8');
  await inHost('ip', 'link', 'add', 'br7', 'type', 'bridge');
  await inHost('ip', 'link', 'set', 'tun7', 'master', 'br7');
  for (const [parent, code] of [
    ['lo', 'invalid'],
    ['br7', 'invalid'],
    ['tun7', 'in-use'],
    ['eno7', 'not-found'],
  ]) {
    const refused = host.client.run('network.create', { body: { ...lan, parent: parent! } });
    await expect(refused).rejects.toMatchObject({ code });
  }
  for (const name of ['br7', 'tun7']) await inHost('ip', 'link', 'delete', name);
  expect(await state('eno1')).toEqual(before);
  expect(await bridges()).toEqual([]);
});

test.skipIf(!possible)(
  'one that nobody confirms goes back by itself, though the daemon is dead',
  async () => {
    const network = await host.client.run('network.create', { body: { ...lan, confirmWithinMs: WITHIN_MS } });
    const bridge = network.status.uplink!.bridge;
    expect(await state(bridge)).toEqual(before);
    expect(await state('eno1')).toEqual({ addresses: [], routes: [], master: bridge });
    await host.kill9();
    await expect.poll(() => state('eno1'), { timeout: WITHIN_MS + 5000 }).toEqual(before);
    expect(await bridges()).toEqual([]);
    expect(await probe.gapMs()).toBeLessThan(GAP_MS);
    await host.start();
    await expect.poll(names, { timeout: 5000 }).not.toContain('lan');
    expect(await state('eno1')).toEqual(before);
  },
  30_000,
);

test.skipIf(!possible)(
  'one that is confirmed stays, is repaired, and carries VMs to the LAN',
  async () => {
    const typed = await host.cli([
      'network',
      'create-bridge',
      'lan',
      'eno1',
      '--dhcp-range',
      `${FREE.from}-${FREE.to}`,
    ]);
    expect(typed).toMatchObject({ exitCode: 0 });
    // Nobody can be put on what may go in a moment.
    const early = host.client.run('vm.create', { body: { name: 'early', memoryMib: 64, networks: ['lan'] } });
    await expect(early).rejects.toMatchObject({ code: 'conflict' });
    expect(await host.cli(['network', 'confirm', 'lan'])).toMatchObject({ exitCode: 0, stdout: 'lan: stays\n' });
    const { status } = await host.client.call('network.get', { params: { network: 'lan' } });
    expect(status).toMatchObject({ subnet: '198.51.100.0/24', gateway: LAN_IP, uplink: { confirmed: true } });
    await host.client.run('vm.create', { body: { name: 'web', memoryMib: 64, networks: ['lan'], start: true } });
    const fetched = () => host.client.exec('web', `nc -w 2 ${LAN_IP} 7000 </dev/null`).then(({ stdout }) => stdout);
    // In its own name: nobody translates.
    expect(await fetched()).toBe(`you are ${FREE.from}\n`);
    // Nobody speaks for the router of the LAN.
    const spoof = await host.client.exec(
      'web',
      `ip address add 198.51.100.77/24 dev eth0; ping -c1 -W1 -I 198.51.100.77 ${LAN_IP}`,
    );
    expect(spoof.exitCode).not.toBe(0);
    expect(await probe.gapMs()).toBeLessThan(GAP_MS);

    const bridge = status.uplink!.bridge;
    await host.kill9();
    await host.start();
    expect(await state(bridge)).toEqual(before);
    // What a DHCP client would do, and somebody who cleans up.
    await inHost('ip', 'address', 'add', '198.51.100.4/24', 'dev', 'eno1');
    await inHost('ip', 'link', 'set', 'eno1', 'nomaster');
    await expect.poll(() => state('eno1'), { timeout: 8000 }).toEqual({ addresses: [], routes: [], master: bridge });
    expect((await state(bridge)).addresses).toContain('198.51.100.4/24');
    await inHost('ip', 'address', 'delete', '198.51.100.4/24', 'dev', bridge);
    expect(await fetched()).toBe(`you are ${FREE.from}\n`);
  },
  60_000,
);

test.skipIf(!possible)(
  'deleted, everything is where it was',
  async () => {
    await expect(host.client.run('network.delete', { params: { network: 'lan' } })).rejects.toMatchObject({
      code: 'in-use',
    });
    await host.clear();
    await probe.gapMs();
    await host.client.run('network.delete', { params: { network: 'lan' } });
    expect(await state('eno1')).toEqual(before);
    expect(await bridges()).toEqual([]);
    expect(await probe.gapMs()).toBeLessThan(GAP_MS);
    await expect.poll(() => host.leftovers({ settleMs: 0 }), { timeout: 10_000 }).toEqual([]);
  },
  30_000,
);

test.skipIf(!possible)(
  'a node file names one that was made and confirmed: before, it is told what to type; it goes with the node',
  async () => {
    const file = `{apiVersion: skerry/v1, name: room, networks: {lan: {mode: bridged, parent: eno1}}, vms: {web: {networks: [lan], replicas: 0}}}`;
    const up = () => host.cli(['apply', '-f', '-'], { input: file });
    const typed = async (): Promise<string[]> => /`skerry ([^`]+)`/.exec((await up()).stderr)?.[1]?.split(' ') ?? [];
    expect(await typed()).toEqual(['network', 'create-bridge', 'room-lan', 'eno1']);
    expect(await host.cli(await typed())).toMatchObject({ exitCode: 0 });
    expect(await typed()).toEqual(['network', 'confirm', 'room-lan']);
    expect(await host.cli(await typed())).toMatchObject({ exitCode: 0 });
    expect(await up()).toMatchObject({ exitCode: 0 });
    expect((await state('eno1')).master).toMatch(/^skerry-/);
    await host.client.run('node.delete', { params: { node: 'room' } });
    expect(await state('eno1')).toEqual(before);
    expect(await bridges()).toEqual([]);
  },
  30_000,
);

import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { tagOf, tapName } from '../../../src/networks/kernel/index.ts';
import type { PlannedVm } from '../../../src/networks/index.ts';
import { FakeHosts, ip, reaches, serve, throughputMbit, type Host } from './hosts.ts';
import { arpAnswer, arpRequest, echoed, echoRequest, SocketMachine } from './socket-machine.ts';
import { networkOf, nicOf, vmOf } from './networks.ts';

/** The kernel datapath between hosts, and at its limits; VMs are in tests/system/kernel-networks.test.ts. */

const possible = process.getuid?.() === 0;
/** Each call of a guest is a process of its own, and each host some more. */
const TIMEOUT_MS = 40_000;
const WAIT = { timeout: 10_000 };

/** Datagrams that nobody there listens for. */
async function unwanted(netns: string): Promise<number> {
  const { stdout } = await run(['ip', 'netns', 'exec', netns, 'cat', '/proc/net/snmp']);
  return Number(/^Udp: \d+ (\d+)/m.exec(stdout)?.[1]);
}

test.skipIf(!possible)(
  'an overlay reaches the hosts that it is told of, and no other',
  async () => {
    await using hosts = new FakeHosts();
    const [a, b] = await Promise.all([hosts.host(), hosts.host()]);
    await hosts.join(a, b, ['198.51.100.1', '198.51.100.2'], ['2001:db8::1', '2001:db8::2']);
    const overlay = (peers: string[]) => networkOf(0, 'overlay', { vni: 77, peers });
    const [web, db] = [vmOf('web', [nicOf(0, 10)]), vmOf('db', [nicOf(0, 11)])];
    const [webGuest, dbGuest] = [await hosts.guest(a, web, 1450), await hosts.guest(b, db, 1450)];
    await using _ = await serve(dbGuest);
    await b.sync({ networks: [overlay(['198.51.100.1'])], vms: [db] });
    await a.sync({ networks: [overlay([])], vms: [web] });
    expect(await reaches(webGuest, '10.213.0.11')).toBe(false);
    await a.sync({ networks: [overlay(['198.51.100.2'])], vms: [web] });
    await expect.poll(() => reaches(webGuest, '10.213.0.11'), { timeout: 10_000 }).toBe(true);
    // A frame of full size goes through the tunnel whole.
    expect(await throughputMbit(webGuest, '10.213.0.11')).toBeGreaterThan(20);
    // The same hosts by IPv6, which is another tunnel.
    await b.sync({ networks: [overlay(['2001:db8::1'])], vms: [db] });
    expect(await reaches(webGuest, '10.213.0.11', 500)).toBe(false);
    await a.sync({ networks: [overlay(['2001:db8::2'])], vms: [web] });
    await expect.poll(() => reaches(webGuest, '10.213.0.11'), { timeout: 10_000 }).toBe(true);
    // It takes 20 bytes more of each packet (RFC 7348 section 5; 40 of IPv6 instead of 20), which guests are told.
    for (const guest of [webGuest, dbGuest]) await ip('-n', guest, 'link', 'set', 'eth0', 'mtu', '1430');
    expect(await throughputMbit(webGuest, '10.213.0.11')).toBeGreaterThan(20);
    expect(await Promise.all([a, b].map((host) => host.end()))).toEqual([[], []]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'an overlay hears its peers, and nobody else',
  async () => {
    await using hosts = new FakeHosts();
    const [a, b] = await Promise.all([hosts.host(), hosts.host()]);
    await hosts.join(a, b, ['198.51.100.1', '198.51.100.2'], ['2001:db8::1', '2001:db8::2']);
    const [web, db] = [vmOf('web', [nicOf(0, 10)]), vmOf('db', [nicOf(0, 11)])];
    const [webGuest, dbGuest] = [await hosts.guest(a, web, 1430), await hosts.guest(b, db, 1430)];
    await ip('-n', webGuest, 'neigh', 'add', '10.213.0.11', 'lladdr', db.nics[0]!.mac, 'dev', 'eth0');
    /** Datagrams of twenty that get there: nobody listens. */
    const heard = async (): Promise<number> => {
      const before = await unwanted(dbGuest);
      const send = `const s = require('node:dgram').createSocket('udp4');
        for (let i = 0; i < 20; i += 1) s.send('hi', 9, '10.213.0.11'); setTimeout(() => process.exit(), 300);`;
      await run(['ip', 'netns', 'exec', webGuest, process.execPath, '-e', send]);
      return (await unwanted(dbGuest)) - before;
    };
    for (const [own, other, stranger] of [
      ['198.51.100.1', '198.51.100.2', '198.51.100.9'],
      ['2001:db8::1', '2001:DB8:0::2', '2001:db8::9'],
    ]) {
      const sync = (host: Host, vm: PlannedVm, peer: string) =>
        host.sync({ networks: [networkOf(0, 'overlay', { vni: 77, peers: [peer] })], vms: [vm] });
      await sync(a, web, other!);
      await sync(b, db, stranger!);
      expect(await heard()).toBe(0);
      await sync(b, db, own!);
      expect(await heard()).toBe(20);
    }
    expect(await Promise.all([a, b].map((host) => host.end()))).toEqual([[], []]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'a rate holds in both directions, and ends',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const networks = [networkOf(0, 'isolated')];
    const vms = (rateKbit?: number) => [
      vmOf('web', [nicOf(0, 10, rateKbit === undefined ? {} : { rateKbit })]),
      vmOf('db', [nicOf(0, 11)]),
    ];
    const [web, db] = vms();
    const [webGuest, dbGuest] = [await hosts.guest(host, web!), await hosts.guest(host, db!)];
    await using _1 = await serve(webGuest);
    await using _2 = await serve(dbGuest);
    await host.sync({ networks, vms: vms(20_000) });
    for (const mbit of [await throughputMbit(webGuest, '10.213.0.11'), await throughputMbit(dbGuest, '10.213.0.10')]) {
      expect(mbit).toBeGreaterThan(14);
      expect(mbit).toBeLessThan(24);
    }
    await host.sync({ networks, vms: vms() });
    expect(await throughputMbit(webGuest, '10.213.0.11')).toBeGreaterThan(60);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'an impairment whose time comes while it is begun is not there afterwards',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const vm = (nic: object) => vmOf('web', [nicOf(0, 10, nic)]);
    await hosts.guest(host, vm({}));
    const sync = (nic: object) => host.sync({ networks: [networkOf(0, 'nat')], vms: [vm(nic)] });
    const queues = async () => (await run(['tc', '-n', host.netns, 'qdisc', 'show'])).stdout;
    const tookMs = await sync({});
    for (const part of [0.3, 0.6, 0.9, 1.2, 1.5]) {
      const untilMs = Date.now() + tookMs * part;
      await sync({ impairments: [{ in: { rateKbit: 1000 }, out: { rateKbit: 1000 }, untilMs }] });
      await setTimeout(untilMs + 300 - Date.now());
      expect(await queues(), `${part} of ${tookMs} ms`).not.toContain('tbf');
    }
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'NICs of different VLANs do not hear each other',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const vms = [
      vmOf('a', [nicOf(0, 10, { vlan: 10 })]),
      vmOf('b', [nicOf(0, 11, { vlan: 10 })]),
      vmOf('c', [nicOf(0, 12, { vlan: 20 })]),
      vmOf('d', [nicOf(0, 13)]),
    ];
    const guests = [];
    for (const vm of vms) guests.push(await hosts.guest(host, vm));
    const [a, b, c, d] = guests;
    await using _1 = await serve(b!);
    await host.sync({ networks: [networkOf(0, 'nat')], vms });
    expect(await Promise.all([a, c, d].map((guest) => reaches(guest!, '10.213.0.11')))).toEqual([true, false, false]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'groups that are parted do not reach each other until the end, which nobody has to be there for',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const vms = ['a', 'b', 'c'].map((name, n) => vmOf(name, [nicOf(0, 10 + n)]));
    const guests = [];
    for (const vm of vms) guests.push(await hosts.guest(host, vm));
    const [a, b, c] = guests as [string, string, string];
    await using _1 = await serve(b);
    const part = (untilMs: number) => {
      const partitions = [{ groups: [['vm-a/0'], ['vm-b/0']], untilMs }];
      return host.sync({ networks: [networkOf(0, 'isolated', { partitions })], vms });
    };
    await part(Date.now() + 60_000);
    expect(await Promise.all([a, c].map((guest) => reaches(guest, '10.213.0.11', 1000)))).toEqual([false, true]);
    const untilMs = Date.now() + 2500;
    await part(untilMs);
    await expect.poll(() => reaches(a, '10.213.0.11', 500), WAIT).toBe(true);
    expect(Date.now()).toBeGreaterThan(untilMs);
    // A cable that is out: nobody is reached by it.
    const out = vms.with(2, vmOf('c', [nicOf(0, 12, { linkUp: false })]));
    await host.sync({ networks: [networkOf(0, 'isolated')], vms: out });
    expect(await Promise.all([a, c].map((guest) => reaches(guest, '10.213.0.11', 1000)))).toEqual([true, false]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'a machine that has a socket behind its NIC is on the bridge as the others are, as long as it lives',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    await using machine = await SocketMachine.listen();
    const [nic, peer] = [nicOf(0, 10, { socketPath: machine.path }), nicOf(0, 11)];
    const vms = [vmOf('a', [nic]), vmOf('b', [peer])];
    await hosts.guest(host, vms[1]!);
    await host.sync({ networks: [networkOf(0, 'nat')], vms });
    // Both ways: the guest asks who has the address, and is answered by the other one's kernel.
    await expect
      .poll(() => {
        machine.send(arpRequest(nic, peer.address));
        return machine.frames.map(arpAnswer).find((mac) => mac !== undefined);
      }, WAIT)
      .toBe(peer.mac);
    // A burst of frames of full size, untouched and in order.
    const payloads = Array.from({ length: 150 }, (_, n) => Buffer.alloc(1472, n));
    machine.send(...payloads.map((payload, n) => echoRequest(nic, peer, n, payload)));
    const back = await machine.receives((frame) => echoed(frame) !== undefined, payloads.length, 5000);
    expect(back.map((frame) => echoed(frame)![0])).toEqual(payloads.map((payload) => payload[0]));
    expect(back.every((frame) => echoed(frame)!.equals(Buffer.alloc(1472, echoed(frame)![0])))).toBe(true);
    // It plays no other, and is gone with its machine.
    const before = machine.frames.length;
    machine.send(arpRequest({ ...nic, address: '10.213.0.99' }, peer.address));
    await machine[Symbol.asyncDispose]();
    expect(machine.frames.length).toBe(before);
    const tap = tapName(tagOf(host.instance), 'vm-a', 0);
    const links = (): Promise<string> => ip('-n', host.netns, 'link');
    await expect.poll(links, WAIT).not.toContain(tap);
    expect(await host.end()).toEqual([]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible || !existsSync('/usr/sbin/iptables'))(
  'Docker lets guests pass while they are there, and nothing of it is other than before when they are gone',
  async () => {
    await using hosts = new FakeHosts();
    const [host, world] = await Promise.all([hosts.host(), hosts.host()]);
    await hosts.join(host, world, ['198.51.100.1', '198.51.100.2']);
    await ip('-n', host.netns, 'route', 'add', 'default', 'via', '198.51.100.2');
    const inHost = async (...argv: string[]): Promise<string> =>
      (await run(['nsenter', `--net=/run/netns/${host.netns}`, ...argv])).stdout;
    // As Docker 27 makes them, with a rule that somebody has put there by hand.
    for (const rule of [
      '-P FORWARD DROP',
      '-N DOCKER-USER',
      '-A FORWARD -j DOCKER-USER',
      '-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      '-A DOCKER-USER -s 203.0.113.9/32 -j DROP',
      '-A DOCKER-USER -j RETURN',
    ])
      await inHost('iptables', ...rule.split(' '));
    const saved = async (): Promise<string> => (await inHost('iptables-save')).replaceAll(/^#.*\n|\[\d+:\d+\]/gm, '');
    const before = [await saved(), await inHost('nft', 'list', 'tables')];
    const vms = [vmOf('a', [nicOf(0, 10)])];
    const guest = await hosts.guest(host, vms[0]!);
    await using _1 = await serve(world.netns);
    await host.sync({ networks: [networkOf(0, 'nat')], vms });
    await ip('-n', guest, 'route', 'add', 'default', 'via', '10.213.0.1');
    expect(await reaches(guest, '198.51.100.2')).toBe(true);
    // The control: Docker's drop whoever is not let through there.
    await inHost('iptables', '-D', 'FORWARD', '-j', 'DOCKER-USER');
    expect(await reaches(guest, '198.51.100.2', 1000)).toBe(false);
    await inHost('iptables', '-I', 'FORWARD', '-j', 'DOCKER-USER');
    // What is taken away is back by itself.
    await inHost('iptables', '-F', 'DOCKER-USER');
    await expect.poll(saved, WAIT).toContain('skerry');
    expect(await reaches(guest, '198.51.100.2')).toBe(true);
    for (const rule of ['-s 203.0.113.9/32 -j DROP', '-j RETURN'])
      await inHost('iptables', '-A', 'DOCKER-USER', ...rule.split(' '));
    expect(await host.end()).toEqual(['table ip filter {']);
    expect([await saved(), await inHost('nft', 'list', 'tables')]).toEqual(before);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'fifty NICs are connected from nothing, and all of it goes again',
  async () => {
    await using hosts = new FakeHosts();
    const host = await hosts.host();
    const networks = Array.from({ length: 5 }, (_, n) => networkOf(n, n < 3 ? 'nat' : 'isolated'));
    const vms = Array.from({ length: 50 }, (_, n) => vmOf(`vm-${n}`, [nicOf(n % 5, 10 + n)]));
    await hosts.guests(host, vms);
    const ms = await host.sync({ networks, vms });
    console.log(`50 NICs on 5 networks from nothing: ${Math.round(ms)} ms`);
    const { length } = (await ip('-n', host.netns, '-o', 'link', 'show', 'up'))
      .split('\n')
      .filter((line) => / sk....t/.test(line));
    expect(length).toBe(30);
    expect(await host.sync({ networks, vms })).toBeLessThan(ms);
    expect(await host.end()).toEqual([]);
  },
  TIMEOUT_MS,
);

import { expect, test } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { FakeHosts, ip, reaches, serve, type Host } from './hosts.ts';
import { networkOf, nicOf, vmOf } from './networks.ts';

/** A host that was no router: what it passes on for guests, for others, and afterwards. */

const possible = process.getuid?.() === 0;
const TIMEOUT_MS = 60_000;
const WAIT = { timeout: 10_000 };
const VMS = [vmOf('a', [nicOf(0, 10, { address6: 'fd00:50::a' })])];
const NETWORKS = [networkOf(0, 'nat', { ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' } })];

/** The switches for passing on, of the host and of its interface eno1. */
const KEYS = [
  'net.ipv4.ip_forward',
  'net.ipv4.conf.eno1.forwarding',
  'net.ipv6.conf.all.forwarding',
  'net.ipv6.conf.default.forwarding',
  'net.ipv6.conf.eno1.forwarding',
  'net.ipv6.conf.eno1.accept_ra',
];

async function switches({ netns }: Host): Promise<string> {
  return (await run(['ip', 'netns', 'exec', netns, 'sysctl', '-n', ...KEYS])).stdout.trim().replaceAll('\n', ' ');
}

async function set({ netns }: Host, ...settings: string[]): Promise<void> {
  await run(['ip', 'netns', 'exec', netns, 'sysctl', '-qw', ...settings]);
}

/** Two networks of the host's own, and a guest with a way out. */
async function scene(hosts: FakeHosts) {
  const host = await hosts.host();
  await set(host, 'net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');
  const [eno1, wlan0] = [await hosts.neighbour(host, 'eno1', 2), await hosts.neighbour(host, 'wlan0', 3)];
  const guest = await hosts.guest(host, VMS[0]!);
  await ip('-n', guest, '-6', 'address', 'add', 'fd00:50::a/64', 'dev', 'eth0', 'nodad');
  for (const via of ['10.213.0.1', 'fd00:50::1']) await ip('-n', guest, 'route', 'add', 'default', 'via', via);
  return { host, eno1, wlan0, guest };
}

/** What the machine behind eno1 is reached from, by both families. */
async function ways(from: string): Promise<boolean[]> {
  return Promise.all(['192.0.2.2', 'fd09:2::2'].map((address) => reaches(from, address)));
}

test.skipIf(!possible)(
  'passes on for guests, for nobody else, and nothing afterwards',
  async () => {
    await using hosts = new FakeHosts();
    const { host, eno1, wlan0, guest } = await scene(hosts);
    await using _ = await serve(eno1);
    const before = await switches(host);
    expect(before).toBe('0 0 0 0 0 1');
    await host.sync({ networks: NETWORKS, vms: VMS });
    await expect.poll(() => ways(guest), WAIT).toEqual([true, true]);
    expect(await ways(wlan0)).toEqual([false, false]);
    // It goes on listening to the routers of its links.
    expect(await switches(host)).toBe('0 1 1 0 0 1');
    // An interface that comes later is one more that answers come in by, and no way through.
    const later = await hosts.neighbour(host, 'usb0', 4);
    await using __ = await serve(later);
    await expect.poll(() => reaches(guest, '192.0.4.2'), WAIT).toBe(true);
    expect(await ways(later)).toEqual([false, false]);
    expect(await host.end()).toEqual([]);
    expect(await switches(host)).toBe(before);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'others who make it a router meanwhile have one, then and afterwards',
  async () => {
    await using hosts = new FakeHosts();
    const { host, eno1, wlan0, guest } = await scene(hosts);
    await using _ = await serve(eno1);
    await host.sync({ networks: NETWORKS, vms: VMS });
    await expect.poll(() => ways(guest), WAIT).toEqual([true, true]);
    expect(await ways(wlan0)).toEqual([false, false]);
    // As Docker and libvirt do.
    await set(host, 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    await expect.poll(() => ways(wlan0), WAIT).toEqual([true, true]);
    expect(await ways(guest)).toEqual([true, true]);
    const asTheirs = await switches(host);
    expect(await host.end()).toEqual([]);
    expect(await switches(host)).toBe(asTheirs);
    expect(await ways(wlan0)).toEqual([true, true]);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'a host that was a router stays one throughout',
  async () => {
    await using hosts = new FakeHosts();
    const { host, eno1, wlan0, guest } = await scene(hosts);
    await using _ = await serve(eno1);
    await set(host, 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    const before = await switches(host);
    await host.sync({ networks: NETWORKS, vms: VMS });
    await expect.poll(() => ways(guest), WAIT).toEqual([true, true]);
    expect(await ways(wlan0)).toEqual([true, true]);
    expect(await host.end()).toEqual([]);
    expect(await switches(host)).toBe(before);
  },
  TIMEOUT_MS,
);

test.skipIf(!possible)(
  'two instances on one host do not keep each other from passing on',
  async () => {
    await using hosts = new FakeHosts();
    const { host, eno1, wlan0, guest } = await scene(hosts);
    await using _ = await serve(eno1);
    await host.sync({ networks: NETWORKS, vms: VMS });
    const second = await hosts.host(host.netns);
    const vms = [vmOf('b', [nicOf(1, 10)])];
    const other = await hosts.guest(second, vms[0]!);
    await ip('-n', other, 'route', 'add', 'default', 'via', '10.213.1.1');
    await second.sync({ networks: [networkOf(1, 'nat')], vms });
    await expect.poll(() => reaches(other, '192.0.2.2'), WAIT).toBe(true);
    await expect.poll(() => ways(guest), WAIT).toEqual([true, true]);
    expect(await ways(wlan0)).toEqual([false, false]);
    // The first one takes its way back, and the second makes it again.
    await host.end();
    await expect.poll(() => reaches(other, '192.0.2.2'), WAIT).toBe(true);
    expect(await ways(wlan0)).toEqual([false, false]);
    expect(await second.end()).toEqual([]);
    expect(await switches(host)).toBe('0 0 0 0 0 1');
  },
  TIMEOUT_MS,
);

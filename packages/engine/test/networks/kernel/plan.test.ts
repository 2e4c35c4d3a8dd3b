import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import type { PlannedNetwork, PlannedVm } from '../../../src/networks/index.ts';
import { withOthers } from '../../../src/networks/names-plan.ts';
import { kernelPlan } from '../../../src/networks/kernel/plan.ts';
import type { KernelHost } from '../../../src/networks/kernel/kernel-model.ts';
import { tableText } from '../../../src/networks/kernel/nft-model.ts';
import { run } from '../../../src/hosts/index.ts';
import { HOST, networkOf, nicOf, vmOf } from './networks.ts';

interface Case {
  readonly networks: readonly PlannedNetwork[];
  readonly vms: readonly PlannedVm[];
  readonly host?: Partial<KernelHost>;
}

const IPV6 = { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' };

/** web is on both; each of the others on one. @param elsewhere on the other datapath */
function ofTwo(networks: readonly PlannedNetwork[], elsewhere: readonly PlannedNetwork[] = []): Case {
  const vms = [
    vmOf('web', [nicOf(0, 10), nicOf(2, 10, { address6: 'fd00:50::a' })]),
    vmOf('db', [nicOf(2, 11, { address6: 'fd00:50::b' })]),
    vmOf('cache', [nicOf(0, 12)]),
    vmOf('tagged', [nicOf(0, 13, { vlan: 10 })]),
    vmOf('one/db', [nicOf(0, 14)]),
  ];
  return { networks, vms: withOthers(vms, [...networks, ...elsewhere]) };
}

const CASES: Readonly<Record<string, Case>> = {
  nat: {
    networks: [networkOf(0, 'nat')],
    vms: [vmOf('web', [nicOf(0, 10)]), vmOf('db', [nicOf(0, 11)])],
  },
  'nat-on-a-host-that-was-no-router': {
    networks: [networkOf(0, 'nat')],
    vms: [vmOf('web', [nicOf(0, 10)])],
    host: { passing: { interfaces: ['eth0', 'wlan0'], ipv6: false, bridges: [] }, tag: '3f0a' },
  },
  'nat-beside-networks-that-nobody-uses': {
    networks: [networkOf(0, 'nat')],
    vms: [vmOf('web', [nicOf(0, 10)])],
    host: { closed: ['10.213.0.0/16', '10.214.0.0/16', '10.213.0.0/24', '10.75.0.0/24', 'fd00:51::/64'] },
  },
  'nat-with-ipv6': {
    networks: [networkOf(0, 'nat', { ipv6: IPV6, domain: undefined })],
    vms: [vmOf('web', [nicOf(0, 10, { address6: 'fd00:50::a' })])],
  },
  'nat-with-ipv6-on-a-host-that-was-no-router': {
    networks: [networkOf(0, 'nat', { ipv6: IPV6 })],
    vms: [vmOf('web', [nicOf(0, 10, { address6: 'fd00:50::a' })])],
    host: { passing: { interfaces: [], ipv6: true, bridges: ['virbr0'] } },
  },
  'nat-with-ipv6-on-a-host-without': {
    networks: [networkOf(0, 'nat', { ipv6: IPV6 })],
    vms: [vmOf('web', [nicOf(0, 10, { address6: 'fd00:50::a' })])],
    host: { leadsOut6: false },
  },
  'nat-with-forwards': {
    networks: [
      networkOf(0, 'nat', {
        forwards: [
          { hostAddress: '127.0.0.1', hostPort: 8080, vm: 'web', guestPort: 80, protocol: 'tcp' },
          { hostAddress: '0.0.0.0', hostPort: 5353, vm: 'web', guestPort: 53, protocol: 'udp' },
          { hostAddress: '0.0.0.0', hostPort: 9999, vm: 'not-running', guestPort: 80, protocol: 'tcp' },
        ],
      }),
    ],
    vms: [vmOf('web', [nicOf(0, 10)])],
  },
  'nat-with-range-routes-and-mtu': {
    networks: [
      networkOf(0, 'nat', {
        dhcpRange: { from: '10.213.0.100', to: '10.213.0.199' },
        routes: [{ to: '10.9.0.0/16', via: '10.213.0.254' }],
        mtu: 9000,
      }),
    ],
    vms: [vmOf('web', [nicOf(0, 10)])],
  },
  'host-only': { networks: [networkOf(0, 'host-only')], vms: [vmOf('web', [nicOf(0, 10)])] },
  isolated: {
    networks: [networkOf(0, 'isolated')],
    vms: [vmOf('web', [nicOf(0, 10)]), vmOf('db', [nicOf(0, 11)])],
  },
  overlay: {
    networks: [networkOf(0, 'overlay', { vni: 100, peers: ['192.0.2.7', '192.0.2.6'] })],
    vms: [vmOf('web', [nicOf(0, 10)])],
  },
  'overlay-over-ipv6': {
    networks: [networkOf(0, 'overlay', { vni: 100, peers: ['2001:DB8:0::7', '2001:db8::6'], ipv6: IPV6 })],
    vms: [vmOf('web', [nicOf(0, 10)])],
  },
  'access-list': {
    networks: [
      networkOf(0, 'nat', {
        ipv6: IPV6,
        acl: {
          default: 'deny',
          rules: [
            { id: 1, action: 'allow', from: 'web', to: 'db', protocol: 'tcp', ports: { from: 5432, to: 5432 } },
            { id: 2, action: 'deny', from: 'any', to: '10.9.0.0/16' },
            { id: 3, action: 'allow', from: 'any', to: 'any', ports: { from: 80, to: 90 }, nic: 'web:eth0' },
            { id: 4, action: 'allow', from: 'any', to: 'any', protocol: 'icmp' },
            { id: 5, action: 'allow', from: 'fd00:50::a', to: 'any', protocol: 'udp' },
          ],
        },
      }),
    ],
    vms: [
      vmOf('web', [nicOf(0, 10, { address6: 'fd00:50::a' })]),
      vmOf('db', [nicOf(0, 11, { address6: 'fd00:50::b' })]),
    ],
  },
  'rates-and-a-router': {
    networks: [networkOf(0, 'isolated'), networkOf(1, 'isolated')],
    vms: [
      vmOf('gw', [nicOf(0, 1), nicOf(1, 1)], { role: 'router' }),
      vmOf('web', [nicOf(0, 10, { rateKbit: 20_000 })]),
    ],
  },
  'vlans-by-a-bridge-each': {
    networks: [networkOf(0, 'nat')],
    vms: [
      vmOf('web', [nicOf(0, 10, { vlan: 10 })]),
      vmOf('db', [nicOf(0, 11, { vlan: 10 })]),
      vmOf('out', [nicOf(0, 12)]),
    ],
  },
  'vlans-by-filtering': {
    networks: [networkOf(0, 'nat')],
    vms: [
      vmOf('web', [nicOf(0, 10, { vlan: 10 })]),
      vmOf('gw', [
        nicOf(0, 11, {
          trunk: [
            { from: 10, to: 10 },
            { from: 20, to: 29 },
          ],
        }),
      ]),
    ],
    host: { vlanFiltering: true },
  },
  'a-trunk-beside-an-access-list': {
    networks: [networkOf(0, 'nat', { acl: { default: 'deny', rules: [] } })],
    vms: [
      vmOf('web', [nicOf(0, 10, { vlan: 10 })]),
      vmOf('gw', [nicOf(0, 11, { trunk: [{ from: 10, to: 20 }] })], { role: 'router' }),
    ],
    host: { vlanFiltering: true },
  },
  bridged: {
    networks: [networkOf(0, 'bridged', { parent: 'eno1', subnet: '192.168.1.0/24', gateway: '192.168.1.1' })],
    vms: [vmOf('web', [nicOf(0, 10, { rateKbit: 5000 })])],
  },
  'bridged-beside-nat': {
    networks: [networkOf(0, 'bridged', { parent: 'eno1' }), networkOf(1, 'nat')],
    vms: [vmOf('web', [nicOf(0, 10), nicOf(1, 10)])],
    host: { passing: { interfaces: ['skerry-1d0b8', 'wg0'], ipv6: false, bridges: ['br0', 'skerry-1d0b8'] } },
  },
  'names-of-two-networks': ofTwo([networkOf(0, 'nat', { domain: 'shop' }), networkOf(2, 'isolated', { ipv6: IPV6 })]),
  'names-of-a-network-of-the-switch': ofTwo([networkOf(2, 'isolated')], [networkOf(0, 'nat')]),
  'cables-out-and-a-partition': {
    networks: [
      networkOf(0, 'isolated', {
        partitions: [{ groups: [['vm-web/0'], ['vm-db/0', 'vm-cache/0'], ['vm-gone/0']], untilMs: 1_800_000_000_001 }],
      }),
      networkOf(1, 'nat', { partitions: [{ groups: [['vm-web/0'], ['vm-db/0']] }] }),
    ],
    vms: [
      vmOf('web', [nicOf(0, 10), nicOf(1, 10, { linkUp: false })]),
      vmOf('db', [
        nicOf(0, 11, {
          impairments: [
            { down: true, seed: 1, untilMs: 1_800_000_000_000 },
            { down: true, seed: 2 },
          ],
        }),
      ]),
      vmOf('cache', [nicOf(0, 12)]),
    ],
  },
  mixed: {
    networks: [networkOf(2, 'isolated'), networkOf(0, 'nat'), networkOf(1, 'host-only')],
    vms: [vmOf('shop/web', [nicOf(0, 10), nicOf(2, 10)]), vmOf('shop/db', [nicOf(2, 11)]), vmOf('a', [nicOf(1, 10)])],
  },
};

const planOf = ({ networks, vms, host }: Case) => kernelPlan(networks, vms, { ...HOST, ...host });

function shown(each: Case): string {
  const { places, servers, isRouter } = planOf(each);
  return [
    ...places.flatMap(({ netns, links, tables }) => [
      `== ${netns ?? 'the host'}`,
      ...links.map((link) => JSON.stringify(link)),
      ...tables.map((table) => tableText(table)),
    ]),
    ...servers.flatMap(({ netns, args, hosts, dhcpHosts }) => [
      `== dnsmasq in ${netns ?? 'the host'}`,
      ...args,
      `-- hosts\n${hosts}-- dhcp-hosts\n${dhcpHosts}`,
    ]),
    `router: ${isRouter}`,
    '',
  ].join('\n');
}

const isRoot = process.getuid?.() === 0;

describe('kernelPlan', () => {
  it.each(Object.entries(CASES))('%s', async (name, each) => {
    await expect(shown(each)).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  it.runIf(isRoot).each(Object.entries(CASES))('%s is taken by nft', async (_, each) => {
    for (const { tables } of planOf(each).places) {
      const input = tables.map((table) => tableText(table)).join('');
      await run(['unshare', '-n', 'nft', '-c', '-f', '-'], { input });
    }
  });

  it.each(Object.entries(CASES))('%s lets no packet that br_netfilter takes pass by its chains', (_, each) => {
    const hooks = planOf(each)
      .places.flatMap(({ tables }) => tables)
      .filter(({ family }) => family === 'bridge')
      .flatMap(({ chains }) => chains.flatMap(({ hook }) => hook ?? []));
    expect(hooks.filter((hook) => /hook (prerouting|forward) priority 0;/.test(hook))).toEqual([]);
  });

  // Of names nft itself has these; for others it looks into /etc/protocols, which small hosts do not have (Debian: netbase).
  it.each(Object.keys(CASES))('%s: names no protocol that nft has to look up', (name) => {
    const { networks, vms } = CASES[name]!;
    const rules = JSON.stringify(kernelPlan(networks, vms, HOST));
    expect(rules.match(/(?:nexthdr|l4proto|protocol) (?:!= )?\{?[^{}"]*\b(?:ipv6-|gre|esp|ospf|vrrp|sctp)/)).toBeNull();
  });

  it('is the same in whatever order networks and VMs come', () => {
    const { networks, vms } = CASES['mixed']!;
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...networks], { minLength: networks.length }),
        fc.shuffledSubarray([...vms], { minLength: vms.length }),
        (otherNetworks, otherVms) => {
          expect(kernelPlan(otherNetworks, otherVms, HOST)).toEqual(kernelPlan(networks, vms, HOST));
        },
      ),
    );
  });

  it('has names that an interface can have, and no two alike', () => {
    const names = planOf(CASES['mixed']!).places.flatMap(({ links }) => links.map(({ name }) => name));
    expect(names.every((name) => /^skmain[btix][0-9a-f]{8}$/.test(name))).toBe(true);
    expect(new Set(names).size).toBe(names.length);
  });

  it('gives no two instances a name in common', () => {
    const { networks, vms } = CASES['mixed']!;
    const namesOf = (tag: string) =>
      kernelPlan(networks, vms, { ...HOST, tag }).places.flatMap(({ netns, links, tables }) => [
        ...(netns === undefined ? [] : [netns]),
        ...links.map(({ name }) => name),
        ...tables.map(({ name }) => name),
      ]);
    const others = new Set(namesOf('3f0a'));
    expect(namesOf('main').filter((name) => others.has(name))).toEqual([]);
  });
});

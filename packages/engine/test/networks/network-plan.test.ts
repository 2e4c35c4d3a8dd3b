import { NetworkSpec, type NetworkSpecInput } from '@skerry/api';
import { cidrsOverlap, parseCidr } from '@skerry/switch';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { parseDnsmasqLeases } from '../../src/networks/leases.ts';
import { allLeases, datapathFor, fixedLeases, planNetwork, type NetworkFacts } from '../../src/networks/index.ts';

const LACK = { reason: 'no root', remedy: 'Use another mode.' };
const network = (name: string, spec: NetworkSpecInput, subnet: string, ipv6?: string) => ({
  name,
  spec: NetworkSpec.parse(spec),
  status: {
    subnet,
    gateway: '',
    datapath: 'user' as const,
    ...(ipv6 === undefined ? {} : { ipv6: { subnet: ipv6, gateway: '' } }),
  },
});
const FACTS: NetworkFacts = {
  networks: [
    network('default', {}, '10.213.0.0/24'),
    network('six', { mode: 'isolated' }, '10.213.1.0/24', 'fd00:1::/64'),
    network('ovl', { mode: 'overlay', vni: 7 }, '10.213.2.0/24'),
    network('lan', { mode: 'bridged', parent: 'eth1' }, '10.213.3.0/24'),
  ],
  routes: ['0.0.0.0/0', '192.0.2.0/24', '172.17.0.0/16'],
  routes6: ['::/0', 'fd00:aa::/64'],
  interfaces: ['eth0', 'eth1', 'lo'],
  lan: {
    addresses: ['fd00:51::2/64', '198.51.100.2/24'],
    routes: ['0.0.0.0/0 via 198.51.100.1 proto dhcp', '::/0 via fe80::1'],
  },
  kernelLack: undefined,
};

/** The result, or `code: message (remedy)`. */
function outcome(spec: NetworkSpecInput, facts: Partial<NetworkFacts> = {}): unknown {
  try {
    return planNetwork(NetworkSpec.parse(spec), { ...FACTS, ...facts }).status;
  } catch (error) {
    const { code, message, remedy } = error as { code: string; message: string; remedy: string };
    expect(remedy).toMatch(/\S/);
    return `${code}: ${message}`;
  }
}

describe('what is asked for becomes', () => {
  test.each<[NetworkSpecInput, object]>([
    [{}, { subnet: '10.213.4.0/24', gateway: '10.213.4.1', datapath: 'user' }],
    [{ mode: 'isolated' }, { subnet: '10.213.4.0/24', gateway: '10.213.4.1', datapath: 'user' }],
    [{ mode: 'host-only' }, { subnet: '10.213.4.0/24', gateway: '10.213.4.1', datapath: 'user' }],
    [{ mode: 'link' }, { subnet: '10.214.0.0/30', gateway: '', datapath: 'user' }],
    [{ subnet: '192.168.50.0/24' }, { subnet: '192.168.50.0/24', gateway: '192.168.50.1', datapath: 'user' }],
    [{ subnet: '192.168.50.77/24' }, { subnet: '192.168.50.0/24', gateway: '192.168.50.1', datapath: 'user' }],
    [{ subnet: '10.0.0.16/28' }, { subnet: '10.0.0.16/28', gateway: '10.0.0.17', datapath: 'user' }],
    [{ datapath: 'kernel' }, { subnet: '10.213.4.0/24', gateway: '10.213.4.1', datapath: 'kernel' }],
    [
      { mode: 'bridged', parent: 'eth0' },
      { subnet: '198.51.100.0/24', gateway: '198.51.100.1', datapath: 'kernel' },
    ],
    [
      { mode: 'overlay', vni: 8 },
      { subnet: '10.213.4.0/24', gateway: '10.213.4.1', datapath: 'kernel' },
    ],
    [
      { ipv6: 'fd00:50::/64' },
      {
        subnet: '10.213.4.0/24',
        gateway: '10.213.4.1',
        datapath: 'user',
        ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' },
      },
    ],
  ])('%j: %j', (spec, status) => {
    expect(outcome(spec)).toEqual(status);
  });

  test('rules get numbers that none of them has', () => {
    const acl = { rules: [{ action: 'deny' }, { id: 4, action: 'allow' }, { action: 'allow' }] } as const;
    const { spec, status } = planNetwork(NetworkSpec.parse({ acl }), FACTS);
    expect(status.datapath).toBe('user');
    expect(spec.acl?.rules.map(({ id }) => id)).toEqual([5, 4, 6]);
  });
});

describe('refused before anything changes', () => {
  test.each<[string, NetworkSpecInput, string]>([
    ['a subnet of ours', { subnet: '10.213.0.0/24' }, 'in-use: 10.213.0.0/24 overlaps 10.213.0.0/24'],
    ['a part of one', { subnet: '10.213.0.128/25' }, 'in-use: 10.213.0.128/25 overlaps 10.213.0.0/24'],
    ['one around ours', { subnet: '10.213.0.0/16' }, 'in-use: 10.213.0.0/16 overlaps 10.213.0.0/24'],
    ['where the host has a route', { subnet: '172.17.3.0/24' }, 'in-use: 172.17.3.0/24 overlaps 172.17.0.0/16'],
    ['no private use', { subnet: '127.0.0.0/24' }, "invalid: 127.0.0.0/24 can not be a network's subnet"],
    ['too small', { subnet: '10.9.0.0/30' }, "invalid: 10.9.0.0/30 can not be a network's subnet"],
    ['IPv6 of ours', { ipv6: 'fd00:1::/64' }, 'in-use: fd00:1::/64 overlaps fd00:1::/64'],
    ['IPv6 of the host', { ipv6: 'fd00:aa::/64' }, 'in-use: fd00:aa::/64 overlaps fd00:aa::/64'],
    ['IPv6 that is no /64', { ipv6: 'fd00:50::/56' }, 'invalid: fd00:50::/56 can not be'],
    [
      'a range outside',
      { subnet: '10.9.0.0/24', dhcpRange: { from: '10.9.1.10', to: '10.9.1.20' } },
      'invalid: 10.9.1.10-10.9.1.20 is no range',
    ],
    [
      'a range with the gateway',
      { subnet: '10.9.0.0/24', dhcpRange: { from: '10.9.0.1', to: '10.9.0.20' } },
      'invalid: 10.9.0.1-10.9.0.20 is no range',
    ],
    [
      'a range with the broadcast address',
      { subnet: '10.9.0.0/24', dhcpRange: { from: '10.9.0.10', to: '10.9.0.255' } },
      'invalid: 10.9.0.10-10.9.0.255 is no range',
    ],
    [
      'a range backwards',
      { subnet: '10.9.0.0/24', dhcpRange: { from: '10.9.0.20', to: '10.9.0.10' } },
      'invalid: 10.9.0.20-10.9.0.10 is no range',
    ],
    ['an unknown interface', { mode: 'bridged', parent: 'eth7' }, "not-found: This host has no interface 'eth7'"],
    ['the loopback', { mode: 'bridged', parent: 'lo' }, 'invalid: Nothing can be reached through the loopback'],
    ['an interface of another', { mode: 'bridged', parent: 'eth1' }, "in-use: The network 'lan' is on eth1 already"],
    ['bridged to nothing', { mode: 'bridged' }, 'invalid: A bridged network needs an interface'],
    ['a VNI twice', { mode: 'overlay', vni: 7 }, "in-use: The network 'ovl' has the VNI 7 already"],
    ['an overlay without a number', { mode: 'overlay' }, 'invalid: An overlay network needs a number'],
    [
      'peers of both families',
      { mode: 'overlay', vni: 9, peers: ['192.0.2.7', '2001:db8::7'] },
      'invalid: The peers of an overlay',
    ],
    ['a VNI of another mode', { vni: 9 }, 'invalid: A network of mode nat has no --vni'],
    ['peers of another mode', { mode: 'isolated', peers: ['192.0.2.9'] }, 'invalid: A network of mode isolated has no'],
    ['a parent of another mode', { parent: 'eth0' }, 'invalid: A network of mode nat has no --parent'],
    ['IPv6 and a small MTU', { ipv6: 'fd00:50::/64', mtu: 1279 }, 'invalid: IPv6 needs an MTU of 1280'],
    ['an ACL of a link', { mode: 'link', acl: { rules: [] } }, 'invalid: A link is a wire'],
    ['bridged without the kernel', { mode: 'bridged', parent: 'eth0', datapath: 'user' }, 'invalid: A network of mode'],
    ['no domain', { domain: 'dev test' }, "invalid: 'dev test' is no domain"],
    [
      'a route from elsewhere',
      { routes: [{ to: '10.9.0.0/16', via: '10.8.0.1' }] },
      'invalid: 10.8.0.1 is no next hop',
    ],
    [
      'a route to itself',
      { subnet: '10.9.0.0/24', routes: [{ to: '10.9.0.128/25', via: '10.9.0.7' }] },
      'invalid: 10.9.0.128/25 is on the network itself',
    ],
    [
      'a route of two families',
      { subnet: '10.9.0.0/24', routes: [{ to: 'fd00::/64', via: '10.9.0.7' }] },
      'invalid: fd00::/64 can not be reached via 10.9.0.7',
    ],
    [
      'a route via the broadcast address',
      { subnet: '10.9.0.0/24', routes: [{ to: '10.8.0.0/24', via: '10.9.0.255' }] },
      'invalid: 10.9.0.255 is no next hop',
    ],
  ])('%s', (_, spec, message) => {
    expect(outcome(spec)).toContain(message);
  });

  test('all /24s are taken', () => {
    expect(outcome({}, { routes: ['10.0.0.0/8'] })).toContain('no-space: No /24 of 10.213.0.0/16 is free');
  });
});

describe('who carries its frames', () => {
  test.each([
    ['nat', undefined, 'user', 'user'],
    ['isolated', undefined, 'user', 'user'],
    ['host-only', undefined, 'user', 'user'],
    ['link', undefined, 'user', 'user'],
    ['bridged', undefined, 'kernel', 'unsupported'],
    ['overlay', undefined, 'kernel', 'unsupported'],
    ['nat', 'kernel', 'kernel', 'unsupported'],
    ['nat', 'user', 'user', 'user'],
    ['bridged', 'kernel', 'kernel', 'unsupported'],
    ['bridged', 'user', 'invalid', 'invalid'],
    ['overlay', 'user', 'invalid', 'invalid'],
  ] as const)('%s, wished %s: %s, and without rights %s', (mode, wish, able, unable) => {
    const chosen = (kernelLack: NetworkFacts['kernelLack']): string => {
      try {
        return datapathFor(mode, wish, { kernelLack });
      } catch (error) {
        expect((error as { remedy: string }).remedy).toMatch(/\S/);
        return (error as { code: string }).code;
      }
    };
    expect([chosen(undefined), chosen(LACK)]).toEqual([able, unable]);
  });
});

test('networks that are made one after the other never overlap', () => {
  const part = fc.nat({ max: 255 });
  const subnet = fc
    .tuple(fc.constantFrom('10.213', '192.168', '172.20'), part, part, fc.integer({ min: 16, max: 28 }))
    .map(([a, b, c, prefix]) => `${a}.${b}.${c}/${prefix}`);
  const wish = fc.record(
    { mode: fc.constantFrom('nat', 'isolated', 'host-only', 'link'), subnet },
    { requiredKeys: ['mode'] },
  );
  fc.assert(
    fc.property(fc.array(wish, { maxLength: 30 }), (wishes) => {
      const made: NetworkFacts['networks'][number][] = [];
      for (const [index, { mode, subnet: text }] of wishes.entries()) {
        const spec = NetworkSpec.parse({ mode, ...(text === undefined || mode === 'link' ? {} : { subnet: text }) });
        try {
          made.push({ name: `n${index}`, ...planNetwork(spec, { ...FACTS, networks: made }) });
        } catch (error) {
          expect(['in-use', 'no-space']).toContain((error as { code: string }).code);
        }
      }
      const all = made.map(({ status }) => parseCidr(status.subnet)!);
      for (const [index, one] of all.entries())
        expect(all.slice(index + 1).filter((other) => cidrsOverlap(one, other))).toEqual([]);
    }),
  );
});

test('leases are those of VMs, in the order of addresses', () => {
  const vm = (name: string, nics: object[]) => ({ name, status: { nics } }) as never;
  const web = vm('web', [
    { network: 'dev', mac: '02:00:00:00:00:01', address: '10.9.0.11', address6: 'fd00::1' },
    { network: 'other', mac: '02:00:00:00:00:02', address: '10.8.0.11' },
  ]);
  const db = vm('shop/db', [
    { network: 'other', mac: '02:00:00:00:00:03', address: '10.8.0.10' },
    { network: 'dev', mac: '02:00:00:00:00:04', address: '10.9.0.10' },
  ]);
  expect(fixedLeases('dev', [web, db])).toEqual([
    { address: '10.9.0.10', mac: '02:00:00:00:00:04', vm: 'shop/db', nic: 'eth1', kind: 'fixed' },
    { address: '10.9.0.11', mac: '02:00:00:00:00:01', vm: 'web', nic: 'eth0', kind: 'fixed' },
    { address: 'fd00::1', mac: '02:00:00:00:00:01', vm: 'web', nic: 'eth0', kind: 'fixed' },
  ]);
  const given = [
    { mac: '02:00:00:00:00:04', address: '10.9.0.100', expiresAtMs: 0 },
    { mac: '02:00:00:00:00:03', address: '10.9.0.5', expiresAtMs: 1000 },
  ];
  const asked = allLeases('dev', [web, db], given).filter(({ kind }) => kind === 'dhcp');
  // Of a MAC that no VM has in this network, nobody knows whose it is.
  expect(asked).toEqual([
    { address: '10.9.0.5', mac: '02:00:00:00:00:03', kind: 'dhcp', expiresAt: '1970-01-01T00:00:01.000Z' },
    {
      address: '10.9.0.100',
      mac: '02:00:00:00:00:04',
      vm: 'shop/db',
      nic: 'eth1',
      kind: 'dhcp',
      expiresAt: '1970-01-01T00:00:00.000Z',
    },
  ]);
});

test('what dnsmasq has given of a range is in its file, beside what VMs have for ever', () => {
  const file = `1795291724 02:00:00:00:00:03 10.9.0.150 laptop 01:02:00:00:00:00:03
0 02:00:00:00:00:04 10.9.0.10 db *
duid 00:01:00:01:2c:5d
1795291999 4 fd00::1234 * 00:01
`;
  expect(parseDnsmasqLeases(file)).toEqual([
    { mac: '02:00:00:00:00:03', address: '10.9.0.150', expiresAtMs: 1_795_291_724_000 },
  ]);
  expect(parseDnsmasqLeases('')).toEqual([]);
});

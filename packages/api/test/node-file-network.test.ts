import { describe, expect, test } from 'vitest';
import { checkNodeSpec, NodeFile, NodeSpec, nodeSpecOf } from '../src/index.ts';

/** Networks and NICs in a node file: what is written, and what it means. */

const noParts = { sources: new Map(), recipes: new Map() };
const file = (more: object) => ({ apiVersion: 'skerry/v1', name: 'shop', vms: { web: {} }, ...more });
const meant = (more: object) => nodeSpecOf(NodeFile.parse(file(more)), noParts);
const problems = (more: object) =>
  checkNodeSpec(NodeSpec.parse(meant(more))).map(({ path, message }) => `${path.join('.')}: ${message}`);
const issues = (more: object) => NodeFile.safeParse(file(more)).error?.issues.map(({ path }) => path.join('.'));

test('a network says all that a network can be asked', () => {
  const front = {
    mode: 'isolated',
    subnet: '10.9.0.0/24',
    ipv6: 'fd00:9::/64',
    mtu: 1400,
    domain: 'front.test',
    dhcpRange: '10.9.0.100-10.9.0.199',
    acl: {
      default: 'deny',
      rules: [
        { action: 'allow', from: 'web', to: 'db', proto: 'tcp', port: 5432 },
        { action: 'deny', proto: 'udp', port: '8000-8099', nic: 'web:eth0' },
      ],
    },
    forward: [{ host: '0.0.0.0:53', to: 'web:5353', proto: 'udp' }],
    routes: [{ to: '10.0.0.0/8', via: '10.9.0.9' }],
  };
  expect(meant({ networks: { front }, vms: { web: { networks: ['front'] } } }).networks).toEqual({
    front: {
      mode: 'isolated',
      subnet: '10.9.0.0/24',
      ipv6: 'fd00:9::/64',
      mtu: 1400,
      domain: 'front.test',
      dhcpRange: { from: '10.9.0.100', to: '10.9.0.199' },
      acl: {
        default: 'deny',
        rules: [
          { action: 'allow', from: 'web', to: 'db', protocol: 'tcp', ports: { from: 5432, to: 5432 } },
          { action: 'deny', protocol: 'udp', ports: { from: 8000, to: 8099 }, nic: 'web:eth0' },
        ],
      },
      forwards: [{ hostAddress: '0.0.0.0', hostPort: 53, vm: 'web', guestPort: 5353, protocol: 'udp' }],
      routes: [{ to: '10.0.0.0/8', via: '10.9.0.9' }],
    },
  });
  expect(meant({ networks: { front: null } }).networks).toEqual({ front: {} });
});

test('a NIC says all that a NIC can be asked', () => {
  const nics = [
    { network: 'front', mac: '52:54:00:00:00:01', address: '10.9.0.9', vlan: 10, limit: '50mbit', link: 'down' },
    { network: 'back', trunk: '10-20' },
    { network: 'back', trunk: [5, '10-20'], limit: 1 },
  ];
  expect(
    meant({ vms: { web: { nics, role: 'router', routes: [{ to: '10.0.0.0/8', via: '10.9.0.1' }] } } }).vms['web'],
  ).toMatchObject({
    role: 'router',
    routes: [{ to: '10.0.0.0/8', via: '10.9.0.1' }],
    nics: [
      { network: 'front', mac: '52:54:00:00:00:01', address: '10.9.0.9', vlan: 10, rateKbit: 50_000, link: 'down' },
      { network: 'back', trunk: [{ from: 10, to: 20 }] },
      {
        network: 'back',
        trunk: [
          { from: 5, to: 5 },
          { from: 10, to: 20 },
        ],
        rateKbit: 1000,
      },
    ],
  });
});

test('what a VM says of its NICs comes before the defaults', () => {
  const nicsOf = (defaults: object, vm: object) => meant({ defaults, vms: { web: vm } }).vms['web']?.nics;
  expect(nicsOf({ networks: ['a'] }, {})).toEqual([{ network: 'a' }]);
  expect(nicsOf({ nics: [{ network: 'a', vlan: 3 }] }, {})).toEqual([{ network: 'a', vlan: 3 }]);
  expect(nicsOf({ nics: [{ network: 'a' }] }, { networks: ['b'] })).toEqual([{ network: 'b' }]);
  expect(nicsOf({ networks: ['a'] }, { nics: [{ network: 'b' }] })).toEqual([{ network: 'b' }]);
});

test('UDP to a VM goes in through the network of its first NIC, TCP through its agent', () => {
  const { vms, networks } = meant({
    networks: { a: null, b: null },
    vms: { web: { networks: ['b', 'a'] } },
    forward: [
      { host: 80, to: 'web:80' },
      { host: 53, to: 'web:5353', proto: 'udp' },
    ],
  });
  expect(vms['web']?.forwards).toEqual([{ hostPort: 80, guestPort: 80 }]);
  expect(networks).toEqual({ a: {}, b: { forwards: [{ hostPort: 53, vm: 'web', guestPort: 5353, protocol: 'udp' }] } });
});

describe('what is wrong is told at its place', () => {
  test.each<[object, string[]]>([
    [{ vms: { web: { networks: ['a'], nics: [{ network: 'a' }] } } }, ['vms.web.nics']],
    [{ defaults: { networks: ['a'], nics: [{ network: 'a' }] } }, ['defaults.nics']],
    [{ vms: { web: { nics: [{ network: 'a', vlan: 5000 }] } } }, ['vms.web.nics.0.vlan']],
    [{ vms: { web: { nics: [{ network: 'a', limit: 'fast' }] } } }, ['vms.web.nics.0.limit']],
    [{ vms: { web: { nics: [{ network: 'a', link: 'sideways' }] } } }, ['vms.web.nics.0.link']],
    [{ vms: { web: { nics: [{ network: 'a', mac: '01:00:5e:00:00:01' }] } } }, ['vms.web.nics.0.mac']],
    [{ vms: { web: { nics: [{ network: 'a', vlan: 5, trunk: '6' }] } } }, ['vms.web.nics.0.trunk']],
    [{ vms: { web: { role: 'bridge' } } }, ['vms.web.role']],
  ])('%j: %j', (more, expected) => expect(issues(more)).toEqual(expected));

  const nics = (network: string, more: object) => ({ nics: [{ network, ...more }] });
  const subnets = { front: { subnet: '10.9.0.0/24' }, back: null };
  test.each<[object, string[]]>([
    [{ web: nics('front', { address: '10.9.0.3' }), db: nics('front', { address: '10.9.0.254' }) }, []],
    [
      { web: nics('front', { address: '10.9.0.2' }), db: nics('front', { address: '10.9.1.9' }) },
      [
        'vms.web.nics.0: 10.9.0.2 is no address for a VM in 10.9.0.0/24, the subnet of front',
        'vms.db.nics.0: 10.9.1.9 is no address for a VM in 10.9.0.0/24, the subnet of front',
      ],
    ],
    [
      { web: nics('back', { address: '10.9.0.9' }), db: nics('back', { address: '10.9.0.9' }) },
      ['vms.db.nics.0: 10.9.0.9 on back is said of both web and db'],
    ],
    [
      { web: nics('front', { mac: '02:00:00:00:00:01' }), db: nics('front', { mac: '02:00:00:00:00:01' }) },
      ['vms.db.nics.0: 02:00:00:00:00:01 on front is said of both web and db'],
    ],
    [{ web: nics('front', { mac: '02:00:00:00:00:01' }), db: nics('back', { mac: '02:00:00:00:00:01' }) }, []],
  ])('addresses %j: %j', (declared, expected) =>
    expect(problems({ networks: subnets, vms: declared })).toEqual(expected),
  );

  const nets = { front: null, back: null };
  const vms = { web: { networks: ['front'] }, db: { networks: ['back'], replicas: 2 } };
  test.each<[object, string[]]>([
    [{ networks: nets, vms }, []],
    [
      { networks: { ...nets, front: { forward: [{ host: 80, to: 'db:80' }] } }, vms },
      ["networks.front.forward.0: 'db' is no VM of this node that is on front"],
    ],
    [
      {
        networks: { ...nets, front: { forward: [{ host: 80, to: 'web:80' }] } },
        vms,
        forward: [{ host: 80, to: 'db:80' }],
      },
      ['networks.front.forward.0: port 127.0.0.1:80 is forwarded to both db and web'],
    ],
    [
      {
        networks: { ...nets, front: { forward: [{ host: 80, to: 'web:80', proto: 'udp' }] } },
        vms,
        forward: [{ host: 80, to: 'db:80' }],
      },
      [],
    ],
    [
      { networks: { ...nets, front: { acl: { rules: [{ action: 'deny', from: 'gone', to: 'db-2' }] } } }, vms },
      ["networks.front.acl.rules.0: 'gone' is no VM of this node"],
    ],
    [
      {
        networks: {
          ...nets,
          front: { acl: { rules: [{ action: 'deny', from: 'other/vm', to: 'fd00::/8', nic: 'web:eth0' }] } },
        },
        vms,
      },
      [],
    ],
    [
      { networks: { ...nets, front: { acl: { rules: [{ action: 'deny', nic: 'gone:eth0' }] } } }, vms },
      ["networks.front.acl.rules.0: 'gone' is no VM of this node"],
    ],
    [
      { networks: { ...nets, front: { mode: 'nat', egress: false } }, vms },
      ['networks.front.egress: front is of mode nat, which leads out, and has egress: false'],
    ],
  ])('%j: %j', (more, expected) => expect(problems(more)).toEqual(expected));
});

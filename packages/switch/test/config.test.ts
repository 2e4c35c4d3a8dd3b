import { expect, test } from 'vitest';
import { parseSwitchConfig, type PortImpairment } from '../src/config.ts';
import { DB, segment, segmentPort, WEB } from './support.ts';

const config = (more: Parameters<typeof segment>[0] = {}) => ({ version: 1, segments: [segment(more)] });

test('a sound configuration is taken as it is', () => {
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(config())))).toEqual(config());
  const ruled = config({
    ports: [segmentPort('web', WEB, { vlan: 10, trunk: [{ from: 20, to: 30 }], router: true })],
    ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' },
    mtu: 9000,
    acl: {
      default: 'deny',
      rules: [
        { id: 1, action: 'allow', from: ['10.213.4.0/24', 'fd00:50::/64'], ports: { from: 80, to: 90 }, portId: 'web' },
      ],
    },
    dhcpRange: { from: '10.213.4.100', to: '10.213.4.199' },
    routes: [
      { to: '10.0.0.0/8', via: '10.213.4.10' },
      { to: 'fd00:51::/64', via: 'fd00:50::a' },
    ],
    udpForwards: [{ hostAddress: '127.0.0.1', hostPort: 5353, address: '10.213.4.10', guestPort: 53 }],
  });
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(ruled)))).toEqual(ruled);
});

test('what happens to frames on their way is taken as it is', () => {
  const direction = {
    delayMs: 20.5,
    jitterMs: 2,
    loss: 0.01,
    duplicate: 1,
    reorder: 0,
    corrupt: 1e-6,
    rateKbit: 20_000,
  };
  const impairments = [
    { out: direction, in: { loss: 1 }, seed: 0xffff_ffff, untilMs: 1e12 },
    { down: true, seed: 0 },
  ];
  const ports = [segmentPort('web', WEB, { impairments, rateKbit: 8 }), segmentPort('db', DB)];
  // The two addresses of a /30 are those of its ends.
  const link = config({ kind: 'link', egress: undefined, gateway: WEB.address, ports });
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(link)))).toEqual(link);
});

const impaired = (impairment: object) =>
  config({ ports: [segmentPort('web', WEB, { impairments: [impairment as PortImpairment] })] });

test.each([
  [
    'a link with one end',
    config({ kind: 'link', egress: undefined, ports: [segmentPort('web', WEB)] }),
    /ports are not/,
  ],
  ['a link with a way out', config({ kind: 'link' }), /egress is nothing that a link has/],
  ['an unknown kind', config({ kind: 'ring' as 'link' }), /kind is not one of lan, link/],
  [
    'a rate of 7',
    config({ ports: [segmentPort('web', WEB, { rateKbit: 7 })] }),
    /rateKbit is not a whole number from 8/,
  ],
  ['no seed', impaired({ down: true }), /impairments\[0\]\.seed is not a whole number/],
  ['half a seed', impaired({ seed: 0.5 }), /seed is not a whole number/],
  ['a share over 1', impaired({ seed: 1, in: { reorder: 1.1 } }), /in\.reorder is not from 0 to 1/],
  ['a delay below 0', impaired({ seed: 1, out: { delayMs: -1 } }), /out\.delayMs is not from 0 to 60000/],
  ['no number', impaired({ seed: 1, out: { jitterMs: '5' } }), /out\.jitterMs is not from 0/],
  ['an end that is no time', impaired({ seed: 1, untilMs: 'tomorrow' }), /untilMs is not a whole number/],
  [
    'too many',
    config({ ports: [segmentPort('web', WEB, { impairments: Array(65).fill({ seed: 1 }) })] }),
    /more than 64/,
  ],
  ['another version', { ...config(), version: 2 }, /config\.version is not 1/],
  ['no list', { version: 1 }, /segments is not a list/],
  ['a subnet without a prefix', config({ subnet: '10.213.4.0' }), /segments\[0\]\.subnet is not a subnet/],
  ['a gateway elsewhere', config({ gateway: '10.214.4.1' }), /gateway is not in 10\.213\.4\.0\/24/],
  ['a group MAC', config({ ports: [segmentPort('web', { ...WEB, mac: '01:00:00:00:00:01' })] }), /mac is not a MAC/],
  [
    'a MAC twice',
    config({ ports: [segmentPort('web', WEB), segmentPort('db', { ...DB, mac: WEB.mac })] }),
    /has mac .* twice/,
  ],
  [
    'an address twice',
    config({ ports: [segmentPort('web', WEB), segmentPort('db', { ...DB, address: WEB.address })] }),
    /has address .* twice/,
  ],
  [
    'a socket twice',
    config({ ports: [segmentPort('web', WEB), segmentPort('db', DB, { socketPath: '/run/web' })] }),
    /has socketPath .* twice/,
  ],
  [
    'a relative socket',
    config({ ports: [segmentPort('web', WEB, { socketPath: 'web' })] }),
    /socketPath is not an absolute path/,
  ],
  ['a socket path of 108 bytes', config({ egress: { socketPath: `/${'x'.repeat(107)}` } }), /longer than 107 bytes/],
  [
    'a name with a dot',
    config({ ports: [segmentPort('web', WEB, { names: ['a.b'] })] }),
    /names\[0\] is not a DNS name/,
  ],
  ['a resolver by name', config({ upstreamDns: ['dns.example'] }), /upstreamDns\[0\] is not an address/],
  [
    'VLAN 4095',
    config({ ports: [segmentPort('web', WEB, { vlan: 4095 })] }),
    /vlan is not a whole number from 1 to 4094/,
  ],
  [
    'a trunk that ends before it begins',
    config({ ports: [segmentPort('web', WEB, { trunk: [{ from: 9, to: 8 }] })] }),
    /trunk\[0\] ends before it begins/,
  ],
  ['an MTU of 100', config({ mtu: 100 }), /mtu is not a whole number from 576/],
  [
    'IPv6 of less than 1280',
    config({ ipv6: { subnet: 'fd00::/64', gateway: 'fd00::1' }, mtu: 1000 }),
    /mtu is less than/,
  ],
  ['a /48', config({ ipv6: { subnet: 'fd00::/48', gateway: 'fd00::1' } }), /ipv6\.subnet is not a \/64/],
  ['link-local as subnet', config({ ipv6: { subnet: 'fe80::/64', gateway: 'fe80::1' } }), /is no range for machines/],
  [
    'a gateway elsewhere in IPv6',
    config({ ipv6: { subnet: 'fd00::/64', gateway: 'fd01::1' } }),
    /is not in fd00::\/64/,
  ],
  [
    'a rule without an action',
    config({ acl: { default: 'deny', rules: [{ id: 1 }] } as never }),
    /action is not one of/,
  ],
  [
    'a rule for a name',
    config({ acl: { default: 'deny', rules: [{ id: 1, action: 'deny', from: ['web'] }] } }),
    /rules\[0\]\.from\[0\] is neither an address nor a range/,
  ],
  [
    'ports of icmp',
    config({
      acl: { default: 'deny', rules: [{ id: 1, action: 'deny', protocol: 'icmp', ports: { from: 1, to: 2 } }] },
    }),
    /ports are nothing that icmp has/,
  ],
  [
    'a DHCP range outside',
    config({ dhcpRange: { from: '10.213.4.9', to: '10.213.5.9' } }),
    /dhcpRange has 10\.213\.5\.9/,
  ],
  ['a route of two kinds', config({ routes: [{ to: '10.0.0.0/8', via: 'fd00::1' }] }), /routes\[0\] is not a route/],
  [
    'a forward to no port',
    config({ udpForwards: [{ hostAddress: '127.0.0.1', hostPort: 1, address: '10.213.4.10', guestPort: 0 }] }),
    /guestPort is not a whole number/,
  ],
  [
    'a host address that is none',
    config({ hostAddresses: ['::1', 'here'] }),
    /hostAddresses\[1\] is not an address: here/,
  ],
  ['a way out that is maybe one', config({ egress: { socketPath: '/run/e', ipv6: 1 as never } }), /egress\.ipv6/],
])('%s is refused, by place', (_, value, message) => {
  expect(() => parseSwitchConfig(JSON.parse(JSON.stringify(value)))).toThrow(message);
});

import { expect, test } from 'vitest';
import { parseSwitchConfig } from '../src/config.ts';
import { DB, segment, segmentPort, WEB } from './support.ts';

const config = (more: Parameters<typeof segment>[0] = {}) => ({ version: 1, segments: [segment(more)] });

test('a sound configuration is taken as it is', () => {
  expect(parseSwitchConfig(JSON.parse(JSON.stringify(config())))).toEqual(config());
});

test.each([
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
  ['an IPv6 host address', config({ hostAddresses: ['::1'] }), /hostAddresses\[0\] is not IPv4/],
])('%s is refused, by place', (_, value, message) => {
  expect(() => parseSwitchConfig(JSON.parse(JSON.stringify(value)))).toThrow(message);
});

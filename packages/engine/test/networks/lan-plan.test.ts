import { NetworkSpec, type Network, type NetworkSpecInput } from '@skerry/api';
import { expect, test } from 'vitest';
import { assertLanNic, checkLanFields, checkLanRange, lanAddress, lanOf } from '../../src/networks/lan-plan.ts';

const LAN = { addresses: ['192.168.1.5/24'], routes: ['0.0.0.0/0 via 192.168.1.1 proto dhcp'] };
const spec = (fields: Partial<NetworkSpecInput> = {}) =>
  NetworkSpec.parse({ mode: 'bridged', parent: 'eno1', ...fields });
const range = { from: '192.168.1.4', to: '192.168.1.7' };

function lan(fields: Partial<NetworkSpecInput> = {}, confirmed = true): Network {
  const uplink = { bridge: 'skerry-0', mac: '', mtu: 1500, ...LAN, confirmed };
  const status = { subnet: '192.168.1.0/24', gateway: '192.168.1.1', datapath: 'kernel' as const, uplink };
  return { name: 'lan', spec: spec(fields), status } as unknown as Network;
}

function outcome(body: () => unknown): unknown {
  try {
    return body();
  } catch (error) {
    const { code, remedy } = error as { code: string; remedy: string };
    expect(remedy).toMatch(/\S/);
    return code;
  }
}

test.each<[object, object, unknown]>([
  [{}, LAN, { subnet: '192.168.1.0/24', gateway: '192.168.1.1' }],
  [{ subnet: '192.168.0.0/16' }, LAN, { subnet: '192.168.0.0/16', gateway: '192.168.1.1' }],
  [{}, { ...LAN, routes: [] }, { subnet: '192.168.1.0/24', gateway: '' }],
  [{}, { ...LAN, routes: ['0.0.0.0/0 via 192.0.2.1'] }, { subnet: '192.168.1.0/24', gateway: '' }],
  [{}, { addresses: ['fd00::1/64'], routes: [] }, 'invalid'],
  [{ subnet: '10.7.0.0/24' }, { addresses: [], routes: [] }, { subnet: '10.7.0.0/24', gateway: '' }],
  [{ subnet: '10.213.0.0/16' }, LAN, 'in-use'],
])('%j of %j is %j', (fields, facts, expected) => {
  expect(outcome(() => lanOf(spec(fields), facts as typeof LAN, ['10.213.3.0/24']))).toEqual(expected);
});

test('an address is of the range that was set aside, or one that was named; never that of the host or the router', () => {
  const given = lan({ dhcpRange: range });
  expect(lanAddress(given, new Set())).toBe('192.168.1.4');
  expect(lanAddress(given, new Set(['192.168.1.4']))).toBe('192.168.1.6');
  expect(outcome(() => lanAddress(given, new Set(['192.168.1.4', '192.168.1.6', '192.168.1.7'])))).toBe('no-space');
  expect(lanAddress(given, new Set(), '192.168.1.99')).toBe('192.168.1.99');
  for (const taken of ['192.168.1.1', '192.168.1.5', '192.168.1.9'])
    expect(outcome(() => lanAddress(given, new Set(['192.168.1.9']), taken))).toBe('in-use');
  for (const wrong of ['192.168.2.9', '192.168.1.0', '192.168.1.255'])
    expect(outcome(() => lanAddress(given, new Set(), wrong))).toBe('invalid');
  expect(outcome(() => lanAddress(lan(), new Set()))).toBe('invalid');
  expect(outcome(() => lanAddress(lan({}, false), new Set(), '192.168.1.99'))).toBe('conflict');
});

test('what is not ours to do there is refused', () => {
  expect(outcome(() => checkLanFields(spec({ acl: { default: 'deny' } })))).toBe('unsupported');
  expect(outcome(() => checkLanFields(spec({ ipv6: 'fd00::/64' })))).toBe('unsupported');
  expect(outcome(() => checkLanFields(spec({ forwards: [] })))).toBeUndefined();
  expect(outcome(() => assertLanNic({ vlan: 7 }, 'bridged'))).toBe('unsupported');
  expect(outcome(() => assertLanNic({ vlan: 7 }, 'nat'))).toBeUndefined();
  expect(outcome(() => checkLanRange('192.168.1.0/24', range))).toBeUndefined();
  expect(outcome(() => checkLanRange('192.168.1.0/24', { ...range, to: '192.168.1.255' }))).toBe('invalid');
});

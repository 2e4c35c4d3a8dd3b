import { isIPv6, SocketAddress } from 'node:net';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { address6Of, checkSubnet6, formatIpv6, gateway6Of, parseCidr6, parseIpv6 } from '../../src/networks/index.ts';

const code = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

describe('IPv6 addresses', () => {
  test('are read and written as everybody else does', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map(formatIpv6)), (text) => {
        const value = parseIpv6(text);
        expect(value).toBeDefined();
        const written = formatIpv6(value!);
        expect(isIPv6(written)).toBe(true);
        expect(parseIpv6(written)).toBe(value);
        // inet_ntop(3) writes a tail of IPv4 for some; those are the only ones that differ.
        const theirs = new SocketAddress({ address: text, family: 'ipv6' }).address;
        if (!theirs.includes('.')) expect(written).toBe(theirs);
      }),
    );
  });

  test.each([
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'g::',
    '::12345',
    '::1%eth0',
    '::1.2.3.256',
  ])('%j is none', (text) => {
    expect(isIPv6(text) && !text.includes('%')).toBe(false);
    expect(parseIpv6(text)).toBeUndefined();
  });

  test.each(['fd00::/129', 'fd00::/', 'fd00::/6 4', 'fd00::/64/1'])('%j is no range', (text) => {
    expect(parseCidr6(text)).toBeUndefined();
  });
});

describe('IPv6 subnets', () => {
  test.each([
    ['fd00:50::/64', [], 'none'],
    ['2001:db8:1:2::/64', [], 'none'],
    ['fd00:50::/48', [], 'invalid'],
    ['fd00:50::/65', [], 'invalid'],
    ['fd00:50::', [], 'invalid'],
    ['fe80::/64', [], 'invalid'],
    ['ff02::/64', [], 'invalid'],
    ['::/64', [], 'invalid'],
    ['64:ff9b::/64', [], 'invalid'],
    ['fd00:50::/64', ['fd00:50::/64'], 'in-use'],
    ['fd00:50::/64', ['fd00:50::/48'], 'in-use'],
    ['fd00:50::/64', ['fd00:50::1'], 'in-use'],
    ['fd00:50::/64', ['::/0', 'fd00:51::/64'], 'none'],
  ])('%s beside %j: %s', (text, used, expected) => {
    expect(code(() => checkSubnet6(text, used))).toBe(expected);
  });

  test('the normal form has no bits of a host', () => {
    expect(checkSubnet6('FD00:0050:0:0:1::7/64', [])).toBe('fd00:50::/64');
  });

  test('the gateway is the first; others are made of the MAC', () => {
    expect(gateway6Of('fd00:50::/64')).toBe('fd00:50::1');
    // RFC 4291 appendix A: 34-56-78-9A-BC-DE -> 3656:78ff:fe9a:bcde
    expect(address6Of('fd00:50::/64', '34:56:78:9a:bc:de')).toBe('fd00:50::3656:78ff:fe9a:bcde');
    expect(address6Of('fd00:50::/64', '02:00:00:00:00:01')).toBe('fd00:50::ff:fe00:1');
  });

  test('two MACs never have one address, and never the gateway', () => {
    const mac = fc
      .array(fc.nat({ max: 255 }), { minLength: 6, maxLength: 6 })
      .map((bytes) => bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':'));
    fc.assert(
      fc.property(mac, mac, (a, b) => {
        const [one, two] = [a, b].map((each) => address6Of('fd00:50::/64', each));
        expect(one === two).toBe(a === b);
        expect(one).not.toBe(gateway6Of('fd00:50::/64'));
      }),
    );
  });
});

import { cidrsOverlap, parseCidr, parseMac } from '@skerry/switch';
import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import {
  allocateAddress,
  allocateSubnet,
  checkSubnet,
  gatewayMacOf,
  gatewayOf,
  macFor,
} from '../../src/networks/index.ts';

const code = (call: () => unknown): string => {
  try {
    call();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

describe('subnets', () => {
  test('the first free /24 is given, around the networks there are and the routes of the host', () => {
    expect(allocateSubnet([], ['0.0.0.0/0', '192.168.1.0/24'])).toBe('10.213.0.0/24');
    expect(allocateSubnet(['10.213.0.0/24'], [])).toBe('10.213.1.0/24');
    expect(allocateSubnet(['10.213.0.0/24'], ['10.213.1.128/25', '10.213.2.0/23'])).toBe('10.213.4.0/24');
    expect(code(() => allocateSubnet([], ['10.0.0.0/8']))).toBe('no-space');
  });

  test('what is given never overlaps what is taken', () => {
    const subnet = fc
      .tuple(fc.nat({ max: 255 }), fc.integer({ min: 18, max: 30 }))
      .map(([c, n]) => `10.213.${c}.0/${n}`);
    fc.assert(
      fc.property(fc.array(subnet, { maxLength: 20 }), fc.array(subnet, { maxLength: 5 }), (used, routes) => {
        const all = [...used, ...routes].map((text) => parseCidr(text)!);
        let given: string;
        try {
          given = allocateSubnet(used, routes);
        } catch (error) {
          expect((error as { code: string }).code).toBe('no-space');
          return;
        }
        expect(all.some((one) => cidrsOverlap(one, parseCidr(given)!))).toBe(false);
      }),
    );
  });

  test.each([
    ['10.20.30.40/24', 'none'],
    ['10.20.30.0', 'invalid'],
    ['10.20.30.0/30', 'invalid'],
    ['127.0.0.0/24', 'invalid'],
    ['224.0.0.0/24', 'invalid'],
    ['192.168.0.0/16', 'in-use'],
    ['10.213.3.0/26', 'in-use'],
  ])('a person may choose %s: %s', (text, expected) => {
    expect(code(() => checkSubnet(text, ['10.213.3.0/24'], ['0.0.0.0/0', '192.168.7.0/24']))).toBe(expected);
  });

  test('its normal form has no bits of a host', () => {
    expect(checkSubnet('10.20.30.40/24', [], [])).toBe('10.20.30.0/24');
  });
});

describe('addresses', () => {
  test('guests get .10 and up; the gateway is .1', () => {
    const used = new Set(['10.213.4.10', '10.213.4.12']);
    expect(gatewayOf('10.213.4.0/24')).toBe('10.213.4.1');
    expect(allocateAddress('10.213.4.0/24', new Set())).toBe('10.213.4.10');
    expect(allocateAddress('10.213.4.0/24', used)).toBe('10.213.4.11');
    expect(allocateAddress('10.0.0.0/28', new Set())).toBe('10.0.0.3');
  });

  test('a full subnet says so, and its broadcast address is never given', () => {
    const used = new Set<string>();
    for (let i = 0; i < 245; i += 1) used.add(allocateAddress('10.213.4.0/24', used));
    expect(used.has('10.213.4.254')).toBe(true);
    expect(code(() => allocateAddress('10.213.4.0/24', used))).toBe('no-space');
  });

  test.each([
    ['10.213.4.200', 'none'],
    ['10.213.4.10', 'in-use'],
    ['10.213.5.10', 'invalid'],
    ['10.213.4.0', 'invalid'],
    ['10.213.4.1', 'invalid'],
    ['10.213.4.2', 'invalid'],
    ['10.213.4.255', 'invalid'],
  ])('a person may choose %s: %s', (wanted, expected) => {
    expect(code(() => allocateAddress('10.213.4.0/24', new Set(['10.213.4.10']), wanted))).toBe(expected);
  });
});

test('MACs are always the same, differ, are locally administered and name no group', () => {
  const seen = new Set<string>();
  for (let vm = 0; vm < 200; vm += 1) {
    for (let nic = 0; nic < 4; nic += 1) seen.add(macFor(`vm-${vm}`, nic));
  }
  expect(seen.size).toBe(800);
  expect([...seen].every((mac) => mac.startsWith('02:') && parseMac(mac) !== undefined)).toBe(true);
  expect(macFor('vm-1', 0)).toBe(macFor('vm-1', 0));
  // printf 018f0000-0000-7000-8000-000000000001/0 | sha256sum
  expect(macFor('018f0000-0000-7000-8000-000000000001', 0)).toBe('02:0d:65:11:b7:9f');
  expect(gatewayMacOf('10.213.4.1')).toBe('52:55:0a:d5:04:01');
});

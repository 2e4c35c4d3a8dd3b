import { describe, expect, test } from 'vitest';
import { answerDns, type OtherNetwork } from '../src/names.ts';
import { parseSwitchConfig } from '../src/config.ts';
import { readDnsQuery, encodeName, TYPE_A, TYPE_AAAA, TYPE_PTR } from '../src/packets/dns.ts';
import { compileSegment } from '../src/table.ts';
import { segment, segmentPort, WEB } from './support.ts';

/** web is on `shop` and on `back`; db on `shop`, store on `back`. */

const STORE = { mac: '02:00:00:00:00:1b', address: '10.213.5.11' };
const WEB_BACK = { mac: '02:00:00:00:00:1a', address: '10.213.5.10' };
const shop = compileSegment(segment());
const back = (domain: string) =>
  compileSegment(
    segment({
      id: 'back',
      subnet: '10.213.5.0/24',
      gateway: '10.213.5.1',
      gatewayMac: '52:55:0a:d5:05:01',
      domain,
      egress: undefined,
      upstreamDns: [],
      ipv6: { subnet: 'fd00:5::/64', gateway: 'fd00:5::1' },
      ports: [
        segmentPort('web', WEB_BACK),
        segmentPort('store', STORE, { addresses: [STORE.address, 'fd00:5::b'] }),
        segmentPort('hidden', { mac: '02:00:00:00:00:1c', address: '10.213.5.12' }, { vlan: 10 }),
      ],
    }),
  );

function asked(others: readonly OtherNetwork[], name: string, type = TYPE_A, table = shop): string {
  const question = Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    encodeName(name),
    Buffer.from([0, type, 0, 1]),
  ]);
  const answer = answerDns(table, readDnsQuery(question)!, question, others);
  if (answer === 'forward') return answer;
  const code = { 0: 'ok', 3: 'no such name', 5: 'refused' }[answer[3]! & 15] ?? 'other';
  const last = type === TYPE_A ? [...answer.subarray(-4)].join('.') : 'answers';
  return answer.readUInt16BE(6) === 0 ? code : `${code} ${last}`;
}

describe('names of a VM of two networks', () => {
  const both = [{ table: back('back.test'), domain: 'back.test' }];
  test.each([
    ['db', 'ok 10.213.4.11'],
    ['web', `ok ${WEB.address}`],
    ['store', 'ok 10.213.5.11'],
    ['store.back.test', 'ok 10.213.5.11'],
    ['web.back.test', 'ok 10.213.5.10'],
    ['store.shop.internal', 'no such name'],
    ['nobody.back.test', 'no such name'],
    ['nobody', 'no such name'],
    ['hidden.back.test', 'no such name'],
    ['debian.org', 'forward'],
  ])('%s: %s', (name, said) => {
    expect(asked(both, name)).toBe(said);
  });

  test('other types and the reverse', () => {
    expect(asked(both, 'store', TYPE_AAAA)).toBe('ok answers');
    expect(asked(both, 'db', TYPE_AAAA)).toBe('ok');
    expect(asked(both, '11.5.213.10.in-addr.arpa', TYPE_PTR)).toBe('ok answers');
    expect(asked(both, '99.5.213.10.in-addr.arpa', TYPE_PTR)).toBe('no such name');
  });

  test('both networks of one domain, as those of a node', () => {
    const same = [{ table: back('shop.internal'), domain: 'shop.internal' }];
    expect(asked(same, 'store.shop.internal')).toBe('ok 10.213.5.11');
    expect(asked(same, 'web.shop.internal')).toBe(`ok ${WEB.address}`);
    expect(asked(same, 'nobody.shop.internal')).toBe('no such name');
  });

  test('who is not on the other network learns nothing of it', () => {
    for (const name of ['store', 'web.back.test', 'nobody.back.test']) {
      const said = asked([], name);
      expect(said).toBe(asked([], name.replace('back', 'never').replace('store', 'nothere')));
    }
    expect(asked([], 'store')).toBe('no such name');
    expect(asked([], 'store.back.test')).toBe('forward');
    expect(asked([], '11.5.213.10.in-addr.arpa', TYPE_PTR)).toBe('forward');
  });

  test('of a network that has a server of its own names are refused, so that this one is asked next', () => {
    const elsewhere = [{ table: undefined, domain: 'back.test' }];
    expect(asked(elsewhere, 'store.back.test')).toBe('refused');
    expect(asked(elsewhere, 'store')).toBe('refused');
    expect(asked(elsewhere, 'db')).toBe('ok 10.213.4.11');
    expect(asked(elsewhere, 'nobody.shop.internal')).toBe('no such name');
    expect(asked(elsewhere, 'debian.org')).toBe('forward');
    expect(asked([{ table: undefined, domain: 'shop.internal' }], 'store.shop.internal')).toBe('refused');
  });

  test('a network without a way out refuses what is not its own, so that another is asked', () => {
    const others = [{ table: shop, domain: 'shop.internal' }];
    expect(asked(others, 'debian.org', TYPE_A, back('back.test'))).toBe('refused');
    expect(asked(others, 'db', TYPE_A, back('back.test'))).toBe('ok 10.213.4.11');
  });
});

test('what a port may ask for beside its own is checked', () => {
  const config = (others: unknown) => ({
    version: 1,
    segments: [{ ...segment(), ports: [{ ...segmentPort('web', WEB), others }] }],
  });
  const wellFormed = [{ id: 'back', domain: 'back.test' }, { id: 'other' }];
  expect(parseSwitchConfig(config(wellFormed)).segments[0]?.ports[0]?.others).toEqual([
    { id: 'back', domain: 'back.test' },
    { id: 'other', domain: undefined },
  ]);
  for (const wrong of ['back', [{}], [{ id: 'back', domain: 'no domain' }], [7]]) {
    expect(() => parseSwitchConfig(config(wrong))).toThrow(/others/);
  }
});

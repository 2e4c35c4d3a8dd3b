import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import type { SegmentAcl, SegmentAclRule } from '../src/config.ts';
import { dropIndex, DROP_REASONS } from '../src/verdict.ts';
import { Filter, PASS } from '../src/filter.ts';
import { ACK, FIN, icmp, piece, SYN, tcp } from './frames.ts';
import { DB, GATEWAY_MAC, segmentPort, udp, WEB } from './support.ts';

const CACHE = { mac: '02:00:00:00:00:0c', address: '10.213.4.12' };
const PORTS = [segmentPort('web', WEB), segmentPort('db', DB), segmentPort('cache', CACHE)];
const OUTSIDE = { mac: GATEWAY_MAC, address: '198.51.100.1' };

/** A filter between ports named by id; `beyond` is the gateway. Its clock stands still until it is moved. */
function filterOf(acl: SegmentAcl) {
  let nowMs = 0;
  const filter = new Filter(() => nowMs);
  filter.update({ acl, ports: PORTS });
  const passes = (from: string, to: string, frame: Buffer, options = {}) => {
    const verdict = filter.decide(filter.numberOf(from), filter.numberOf(to), frame, 0, frame.length, options);
    return verdict === PASS ? true : DROP_REASONS[dropIndex(verdict)];
  };
  const change = (changed: SegmentAcl | undefined, ports = PORTS) => filter.update({ acl: changed, ports });
  return { passes, change, wait: (seconds: number) => void (nowMs += seconds * 1000) };
}

const rule = (more: Partial<SegmentAclRule>, id = 1): SegmentAclRule => ({ id, action: 'allow', ...more });
const webToDb = rule({ from: [WEB.address], to: [DB.address], protocol: 'tcp', ports: { from: 5432, to: 5433 } });
const only = (...rules: SegmentAclRule[]): SegmentAcl => ({ default: 'deny', rules });

describe('rules', () => {
  const cases: Array<[string, Partial<SegmentAclRule>, boolean]> = [
    ['nothing said', {}, true],
    ['its addresses', { from: [WEB.address], to: [DB.address] }, true],
    ['ranges', { from: ['10.213.4.8/30'], to: ['192.0.2.0/24', '10.213.4.0/24'] }, true],
    ['another sender', { from: [CACHE.address] }, false],
    ['another receiver', { to: [CACHE.address] }, false],
    ['all of IPv4', { from: ['0.0.0.0/0'] }, true],
    ['all of IPv6', { from: ['::/0'] }, false],
    ['IPv6 written like this IPv4', { from: ['::10.213.4.10/128'] }, false],
    ['its port', { ports: { from: 80, to: 80 } }, true],
    ['a range of ports that ends before', { ports: { from: 1, to: 79 } }, false],
    ['a range of ports that begins behind', { ports: { from: 81, to: 65_535 } }, false],
    ['its protocol', { protocol: 'tcp' }, true],
    ['another protocol', { protocol: 'udp' }, false],
    ['the NIC it comes from', { portId: 'web' }, true],
    ['the NIC it goes to', { portId: 'db' }, true],
    ['another NIC', { portId: 'cache' }, false],
    ['a NIC that is not there', { portId: 'gone' }, false],
  ];
  test.each(cases)('%s', (_, more, passes) => {
    expect(filterOf(only(rule(more))).passes('web', 'db', tcp(WEB, DB))).toBe(passes || 'acl');
    const denied = filterOf({ default: 'allow', rules: [rule({ ...more, action: 'deny' })] });
    expect(denied.passes('web', 'db', tcp(WEB, DB))).toBe(passes ? 'acl' : true);
  });

  test('the first that fits decides', () => {
    const deny = rule({ action: 'deny' }, 2);
    expect(filterOf(only(rule({}), deny)).passes('web', 'db', tcp(WEB, DB))).toBe(true);
    expect(filterOf(only(deny, rule({}))).passes('web', 'db', tcp(WEB, DB))).toBe('acl');
  });

  test('ports without a protocol are those of TCP and UDP', () => {
    const { passes } = filterOf(only(rule({ ports: { from: 80, to: 80 } })));
    expect(passes('web', 'db', udp(WEB, DB, { port: 80 }))).toBe(true);
    expect(passes('web', 'db', icmp(WEB, DB, 8))).toBe('acl');
  });
});

describe('answers', () => {
  const request = tcp(WEB, DB, { port: 5432 });
  const answer = tcp(DB, WEB, { sourcePort: 5432, port: 40_000, flags: SYN | ACK });

  test('pass after what they answer, not before, and not to or from others', () => {
    const { passes } = filterOf(only(webToDb));
    expect(passes('db', 'web', answer)).toBe('acl');
    expect(passes('web', 'db', request)).toBe(true);
    expect(passes('db', 'web', answer)).toBe(true);
    expect(passes('cache', 'web', answer)).toBe('acl');
    expect(passes('db', 'cache', answer)).toBe('acl');
    expect(passes('db', 'web', tcp(DB, WEB, { sourcePort: 5432, port: 40_001, flags: ACK }))).toBe('acl');
    expect(passes('db', 'web', tcp(DB, WEB, { sourcePort: 5433, port: 40_000, flags: ACK }))).toBe('acl');
  });

  test('a SYN answers nothing', () => {
    const { passes } = filterOf(only(webToDb));
    passes('web', 'db', request);
    expect(passes('db', 'web', tcp(DB, WEB, { sourcePort: 5432, port: 40_000, flags: SYN }))).toBe('acl');
  });

  test('of UDP, of echo requests with the same id, and from the outside', () => {
    const { passes } = filterOf(only(rule({ from: [WEB.address] })));
    passes('web', 'beyond', udp(WEB, OUTSIDE, { port: 53 }));
    expect(passes('beyond', 'web', udp(OUTSIDE, WEB, { sourcePort: 53, port: 40_000 }))).toBe(true);
    expect(passes('beyond', 'web', udp(OUTSIDE, WEB, { sourcePort: 53, port: 40_001 }))).toBe('acl');
    passes('web', 'db', icmp(WEB, DB, 8, 0));
    expect(passes('db', 'web', icmp(DB, WEB, 0, 0))).toBe(true);
    expect(passes('db', 'web', icmp(DB, WEB, 8, 0))).toBe('acl');
    expect(passes('db', 'web', icmp(DB, WEB, 0, 9))).toBe('acl');
  });

  test('errors about what was let through, in both directions, and no others', () => {
    const { passes } = filterOf(only(webToDb));
    expect(passes('db', 'web', icmp(DB, WEB, 3, request))).toBe('acl');
    passes('web', 'db', request);
    passes('db', 'web', answer);
    expect(passes('db', 'web', icmp(DB, WEB, 3, request))).toBe(true);
    expect(passes('web', 'db', icmp(WEB, DB, 11, answer))).toBe(true);
    // About a packet that somebody else has sent.
    expect(passes('db', 'cache', icmp(DB, CACHE, 3, request))).toBe('acl');
    expect(passes('db', 'web', icmp(DB, WEB, 3, tcp(WEB, DB, { port: 22 })))).toBe('acl');
    expect(passes('db', 'web', icmp(DB, WEB, 5, request))).toBe('acl');
  });

  test('end in time, and sooner after the end of the connection', () => {
    const at = filterOf(only(webToDb));
    at.passes('web', 'db', request);
    at.wait(61);
    expect(at.passes('db', 'web', answer)).toBe('acl');
    at.passes('web', 'db', request);
    at.passes('db', 'web', answer);
    at.passes('web', 'db', tcp(WEB, DB, { port: 5432, flags: ACK }));
    at.wait(7000);
    expect(at.passes('db', 'web', tcp(DB, WEB, { sourcePort: 5432, port: 40_000, flags: FIN | ACK }))).toBe(true);
    at.wait(241);
    expect(at.passes('db', 'web', answer)).toBe('acl');
  });

  test('nothing is remembered of what goes to a group', () => {
    const { passes } = filterOf(only(webToDb));
    expect(passes('web', 'db', request, { forget: true })).toBe(true);
    expect(passes('db', 'web', answer)).toBe('acl');
  });
});

describe('pieces', () => {
  const whole = udp(WEB, DB, { port: 53, payload: Buffer.alloc(100, 1) });
  const first = piece(whole, 0, 64, { more: true });
  const later = piece(whole, 64, 44, { more: false });
  const rules = only(rule({ from: [WEB.address], protocol: 'udp', ports: { from: 53, to: 53 } }));

  test('later ones pass after their first one, to the same port', () => {
    const { passes } = filterOf(rules);
    expect(passes('web', 'db', later)).toBe('acl');
    expect(passes('web', 'db', first)).toBe(true);
    expect(passes('web', 'db', later)).toBe(true);
    expect(passes('web', 'cache', later)).toBe('acl');
    expect(passes('web', 'db', piece(whole, 64, 44, { more: false, id: 8 }))).toBe('acl');
    expect(passes('db', 'web', later)).toBe('acl');
  });

  test('a first one with other ports does not pass, whatever came before', () => {
    const { passes } = filterOf(rules);
    passes('web', 'db', first);
    const other = udp(WEB, DB, { port: 54, payload: Buffer.alloc(100, 1) });
    expect(passes('web', 'db', piece(other, 0, 64, { more: true }))).toBe('acl');
  });

  test('one that hides the ports, or begins inside the TCP header, passes by no rule', () => {
    const { passes } = filterOf({ default: 'allow', rules: [] });
    expect(passes('web', 'db', piece(tcp(WEB, DB), 0, 8, { more: true }))).toBe('acl');
    expect(passes('web', 'db', piece(tcp(WEB, DB), 0, 20, { more: true }))).toBe(true);
    expect(passes('web', 'db', piece(tcp(WEB, DB), 8, 12, { more: false }))).toBe('acl');
    expect(passes('web', 'db', tcp(WEB, DB))).toBe(true);
  });
});

describe('limits and changes', () => {
  test('a port that begins too much begins nothing more; others do not notice', () => {
    const { passes } = filterOf({ default: 'deny', rules: [rule({ protocol: 'udp', ports: { from: 9, to: 9 } })] });
    expect(passes('db', 'cache', udp(DB, CACHE))).toBe(true);
    const results = new Map<unknown, number>();
    for (let sourcePort = 1; sourcePort <= 10_000; sourcePort += 1) {
      const result = passes('web', 'db', udp(WEB, DB, { sourcePort }));
      results.set(result, (results.get(result) ?? 0) + 1);
    }
    expect(Object.fromEntries(results)).toEqual({ true: 6144, 'acl-full': 3856 });
    // What it had begun first is answered still, and so are the others.
    expect(passes('db', 'web', udp(DB, WEB, { sourcePort: 9, port: 1 }))).toBe(true);
    expect(passes('db', 'web', udp(DB, WEB, { sourcePort: 9, port: 9_999 }))).toBe('acl');
    expect(passes('cache', 'db', udp(CACHE, DB, { sourcePort: 9, port: 40_000 }))).toBe(true);
    expect(passes('cache', 'db', udp(CACHE, DB))).toBe(true);
  });

  test('other rules end what they would not let begin; the same ones end nothing', () => {
    const at = filterOf(only(webToDb));
    const answers = (port: number) =>
      at.passes('db', 'web', tcp(DB, WEB, { sourcePort: port, port: 40_000, flags: ACK }));
    for (const port of [5432, 5433]) at.passes('web', 'db', tcp(WEB, DB, { port }));
    at.change(only(webToDb), PORTS.toReversed());
    expect([answers(5432), answers(5433)]).toEqual([true, true]);
    at.change(only({ ...webToDb, ports: { from: 5433, to: 5433 } }));
    expect([answers(5432), answers(5433)]).toEqual(['acl', true]);
    expect(at.passes('web', 'db', tcp(WEB, DB, { port: 5432, flags: ACK }))).toBe('acl');
  });

  test('another VM under the same place has nothing of the one before', () => {
    const at = filterOf(only(webToDb));
    at.passes('web', 'db', tcp(WEB, DB, { port: 5432 }));
    at.change(only(webToDb), [PORTS[1]!]);
    at.change(only(webToDb), PORTS);
    expect(at.passes('db', 'web', tcp(DB, WEB, { sourcePort: 5432, port: 40_000, flags: ACK }))).toBe('acl');
  });
});

test('whatever bytes there are, it neither throws nor lets a denied one through', () => {
  const seeds = [tcp(WEB, DB), icmp(DB, WEB, 3, tcp(WEB, DB)), piece(udp(WEB, DB), 0, 8, { more: true })];
  const v6 = Buffer.concat([Buffer.alloc(12), Buffer.from('86dd60000000', 'hex'), Buffer.alloc(60)]);
  const changed = fc
    .tuple(
      fc.constantFrom(...seeds, v6),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 6 }),
      fc.nat(),
    )
    .map(([seed, changes, cut]) => {
      const frame = Buffer.from(seed);
      for (const [at, value] of changes) frame[14 + (at % (frame.length - 14))] = value;
      return frame.subarray(0, 14 + (cut % (frame.length - 13)));
    });
  const { passes } = filterOf(only(rule({ from: ['192.0.2.0/24'] })));
  fc.assert(
    fc.property(changed, (frame) => {
      if (passes('web', 'db', frame) === true) expect(frame.readUIntBE(26, 3)).toBe(0xc00002);
    }),
    { numRuns: 3000 },
  );
});

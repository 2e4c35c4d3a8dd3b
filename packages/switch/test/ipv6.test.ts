import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { readDnsFrame } from '../src/answers.ts';
import { answerDns } from '../src/names.ts';
import { advertisementFrame, answerEcho6Frame, answerNeighbourFrame } from '../src/answers6.ts';
import { parseSwitchConfig } from '../src/config.ts';
import { formatIpv6, linkLocalOf } from '../src/address6.ts';
import { decide, decideFromEgress } from '../src/decide.ts';
import { isNeighbourTraffic } from '../src/decide6.ts';
import { encodeName } from '../src/packets/dns.ts';
import { checksum6, readIpv6, readIpv6Address } from '../src/packets/ipv6.ts';
import { readUdp6 } from '../src/packets/udp.ts';
import { compileSegment } from '../src/table.ts';
import { drop, dropIndex, VERDICT } from '../src/verdict.ts';
import { attacks } from './attacks.ts';
import { CAST, castSegment } from './cast.ts';
import { announcement, icmp6, ip6, neighbour, ping6, redirect, solicitation, udp6, withHeaders } from './frames6.ts';
import { segment, segmentPort } from './support.ts';

const table = compileSegment({ ...castSegment(), egress: undefined });
const { eve, victim, friend, gateway } = CAST;
const EVERYBODY = { mac: '33:33:00:00:00:01', address6: 'ff02::1' };
const NOBODY = { ...eve, address6: '::' };
const fromEve = (frame: Buffer, of = table) => decide(of, of.ports[0]!, frame, 0, frame.length);

describe('what passes', () => {
  test.each([
    ['to a station', udp6(eve, victim), 1],
    ['to all', udp6(eve, EVERYBODY), VERDICT.flood],
    ['a question for a neighbour', neighbour(eve, EVERYBODY, 135, victim.address6), VERDICT.flood],
    ['a question whether its own address is free', neighbour(NOBODY, EVERYBODY, 135, eve.address6), VERDICT.flood],
    ['what it listens to, before it has an address', icmp6(NOBODY, EVERYBODY, 143, Buffer.alloc(4)), VERDICT.flood],
    ['a question for a router, without an address', solicitation(NOBODY, EVERYBODY), VERDICT.rs],
    ['a question for the gateway', neighbour(eve, EVERYBODY, 135, gateway.address6), VERDICT.nd],
    ['whether the gateway is there still', neighbour(eve, gateway, 135, gateway.address6), VERDICT.nd],
    ['a ping of the gateway', ping6(eve, gateway), VERDICT.icmp6],
    ['DNS', udp6(eve, gateway, { port: 53 }), VERDICT.dns],
  ])('%s', (_, frame, verdict) => {
    expect(fromEve(frame)).toBe(verdict);
  });

  test('nothing where the segment has no IPv6', () => {
    const { ipv6: _, ...without } = castSegment();
    expect(fromEve(udp6(eve, victim), compileSegment(without))).toBe(drop('other-protocol'));
  });

  test('a router passes on what others have sent, but announces nothing', () => {
    const { ports, ...rest } = castSegment();
    const routing = compileSegment({ ...rest, ports: ports.map((port, i) => ({ ...port, router: i === 0 })) });
    const from = (address6: string) => fromEve(udp6({ ...eve, address6 }, victim), routing);
    expect(['2001:db8::9', friend.address6].map(from)).toEqual([1, 1]);
    const never = [gateway.address6, '::', '::1', '::ffff:10.0.0.1', 'ff02::5', 'fe80::9'];
    expect(never.map(from)).toEqual(never.map(() => drop('foreign-address')));
    expect(fromEve(announcement(eve, EVERYBODY), routing)).toBe(drop('rogue-router'));
  });

  test('an ACL is asked about all but neighbour discovery', () => {
    const asked = (frame: Buffer) => !isNeighbourTraffic(frame, 0, frame.length);
    expect([udp6(eve, victim), ping6(eve, victim)].map(asked)).toEqual([true, true]);
    expect([neighbour(eve, victim, 136, eve.address6), solicitation(eve, EVERYBODY)].map(asked)).toEqual([
      false,
      false,
    ]);
  });
});

describe('the way out', () => {
  const config = { ...castSegment(), hostAddresses: ['192.0.2.2', 'fd00:51::/64'] };
  const leading = compileSegment(config, ['2001:db8:1::2']);
  const world = { ...gateway, address6: '2001:db8::1' };
  const slirp = { mac: '52:56:00:00:00:01', address6: '2001:db8::1' };
  const fromSlirp = (frame: Buffer, of = leading) => decideFromEgress(of, frame, 0, frame.length);

  test('is taken by packets to the world, and by none to what is near', () => {
    expect(fromEve(udp6(eve, world), leading)).toBe(VERDICT.egress);
    expect(fromEve(udp6(eve, world))).toBe(drop('isolated'));
    const near = ['fd00:50::99', '2001:db8:1::2', 'fd00:51::7', '::1', '::ffff:127.0.0.1', '64:ff9b::7f00:1'];
    const far = ['2002:7f00:1::', 'fe80::1', 'fec0::1', 'ff0e::1', 'fd00:ec2::254', '100::1'];
    for (const address6 of [...near, ...far]) {
      expect([address6, fromEve(udp6(eve, { ...gateway, address6 }), leading)]).toEqual([address6, drop('host')]);
    }
  });

  test('is for addresses that answers come back to', () => {
    const from = (address6: string, of = leading) => fromEve(udp6({ ...eve, address6 }, world), of);
    expect(from('fd00:50::ff:fe00:0')).toBe(VERDICT.egress);
    expect(from(formatIpv6(linkLocalOf(0x0200_0000_0000)))).toBe(drop('foreign-address'));
    expect(from('2001:db8::9')).toBe(drop('foreign-address'));
    const routing = compileSegment({ ...config, ports: config.ports.map((port) => ({ ...port, router: true })) });
    expect(from('2001:db8::9', routing)).toBe(drop('foreign-address'));
  });

  test('leads in to the guest that is meant, and to no other', () => {
    expect(fromSlirp(udp6(slirp, eve))).toBe(0);
    expect(fromSlirp(udp6(slirp, victim))).toBe(1);
    expect(fromSlirp(udp6(slirp, { ...victim, address6: eve.address6 }))).toBe(drop('unanswered'));
    expect(fromSlirp(udp6(slirp, CAST.walled))).toBe(drop('unanswered'));
    expect(fromSlirp(udp6({ ...slirp, address6: victim.address6 }, eve))).toBe(drop('foreign-address'));
    expect(fromSlirp(udp6({ ...slirp, address6: 'fe80::2' }, eve))).toBe(drop('foreign-address'));
    expect(fromSlirp(icmp6({ ...slirp, address6: 'fe80::2' }, eve, 1, Buffer.alloc(8)))).toBe(0);
    expect(fromSlirp(udp6(slirp, eve), table)).toBe(drop('other-protocol'));
  });

  test('is told where guests are, and not heard when it says that it is a router', () => {
    const asks = neighbour({ ...slirp, address6: 'fd00:50::2' }, EVERYBODY, 135, victim.address6);
    expect(fromSlirp(asks)).toBe(VERDICT.nd);
    const told = answerNeighbourFrame(leading, asks)!;
    expect(told.subarray(0, 12).toString('hex')).toBe('525600000001' + '020000000001');
    expect([told[54], told[58], told.subarray(78).toString('hex')]).toEqual([136, 0x60, '0201020000000001']);
    expectSummed(told);
    for (const who of [CAST.walled.address6, 'fd00:50::99', gateway.address6]) {
      expect(fromSlirp(neighbour(slirp, EVERYBODY, 135, who))).toBe(drop('unanswered'));
    }
    expect(fromSlirp(announcement(slirp, EVERYBODY))).toBe(drop('unanswered'));
    expect(advertisementFrame(leading)!.readUInt16BE(60)).toBe(300);
  });

  test('damaged packets lead nowhere', () => {
    fc.assert(
      fc.property(fc.constantFrom(udp6(slirp, eve), ping6(slirp, eve)), fc.nat(), fc.nat(255), (frame, at, value) => {
        const damaged = Buffer.from(frame);
        damaged[14 + (at % (frame.length - 14))] = value;
        const verdict = fromSlirp(damaged);
        if (verdict >= 0) expect(readIpv6Address(damaged, 38)).toEqual(ip6(eve.address6));
      }),
    );
  });
});

describe('the gateway', () => {
  test('says where it is', () => {
    for (const target of [gateway.address6, 'fe80::5055:aff:fed5:401']) {
      const frame = answerNeighbourFrame(table, neighbour(eve, EVERYBODY, 135, target))!;
      expect(frame.subarray(0, 12).toString('hex')).toBe('020000000000' + '52550ad50401');
      expect([frame[21], frame[54], frame[58]]).toEqual([255, 136, 0xe0]);
      expect(readIpv6Address(frame, 62)).toEqual(ip6(target));
      expect(frame.subarray(78).toString('hex')).toBe('020152550ad50401');
      expectSummed(frame);
    }
  });

  test('announces the prefix, the MTU and DNS, and that it leads nowhere', () => {
    const frame = advertisementFrame(table)!;
    expectSummed(frame);
    expect(frame.subarray(0, 12).toString('hex')).toBe('333300000001' + '52550ad50401');
    expect(readIpv6(frame)!.source).toEqual(ip6('fe80::5055:aff:fed5:401'));
    expect(frame[21]).toBe(255);
    expect(readIpv6(frame)!.payload.subarray(4).toString('hex')).toBe(
      [
        '4000' + '0000' + '00000000' + '00000000',
        '0101' + '52550ad50401',
        '0501' + '0000' + '000005dc',
        '0304' + '40c0' + '00278d00' + '00093a80' + '00000000' + 'fd000050000000000000000000000000',
        '1903' + '0000' + '0000012c' + 'fd000050000000000000000000000001',
      ].join(''),
    );
  });

  test('answers pings that are sound', () => {
    const ping = ping6(eve, gateway);
    const reply = answerEcho6Frame(ping)!;
    expect(readIpv6(reply)).toMatchObject({ source: ip6(gateway.address6), destination: ip6(eve.address6) });
    expect([reply[54], reply.subarray(58).toString('hex')]).toEqual([129, '12340001']);
    expectSummed(reply);
    ping[60]! ^= 1;
    expect(answerEcho6Frame(ping)).toBeUndefined();
  });

  test('knows names and addresses', () => {
    const ask = (name: string, type: number) => {
      const question = Buffer.concat([
        Buffer.from('123401000001000000000000', 'hex'),
        encodeName(name),
        Buffer.from([0, type, 0, 1]),
      ]);
      const request = readDnsFrame(udp6(eve, gateway, { port: 53, payload: question }))!;
      const answer = answerDns(table, request.query, request.message);
      if (answer === 'forward') return answer;
      const packet = readIpv6(request.reply(answer))!;
      expect(packet).toMatchObject({ source: ip6(gateway.address6), destination: ip6(eve.address6) });
      const { payload, sourcePort, destinationPort } = readUdp6(packet)!;
      expect([sourcePort, destinationPort]).toEqual([53, 40_000]);
      return `${payload[3]! & 15} ${payload.readUInt16BE(6)} ${payload.subarray(question.length + 12).toString('hex')}`;
    };
    const made = 'fd00005000000000000000fffe000001';
    // Its own, then the one that it makes of its MAC.
    expect(ask('victim', 28)).toMatch(/^0 2 fd000050000000000000000000000011.{24}fd000050000000000000.*$/);
    expect(ask('victim.shop.internal', 28).endsWith(made)).toBe(true);
    expect(ask('victim', 1)).toBe('0 1 0ad5040b');
    const reverse = (address: string) => address.split('').reverse().join('.') + '.ip6.arpa';
    expect(ask(reverse('fd000050000000000000000000000011'), 12)).toContain(
      encodeName('victim.shop.internal').toString('hex'),
    );
    expect(ask(reverse('fd000050000000000000000000000099'), 12)).toBe('3 0 ');
    expect(ask(reverse('20010db8000000000000000000000001'), 12)).toBe('forward');
    // In another VLAN.
    expect(ask('walled', 28)).toBe('3 0 ');
  });
});

test.each([
  ['its own', [eve.address6, 'fd00:50::ff:fe00:0'], undefined],
  ['that of another', [victim.address6], /has address fd00:50::11 twice/],
  ['that of another in other words', ['FD00:50:0::0011'], /has address fd00:50::11 twice/],
  ['what another makes of its MAC', ['fd00:50::ff:fe00:1'], /has address fd00:50::ff:fe00:1 twice/],
  ["the gateway's", [gateway.address6], /has address fd00:50::1 twice/],
  ['none', ['fd00:50::x'], /is not an address/],
])('a port whose address is %s', (_, addresses, message) => {
  const ports = [
    segmentPort('eve', eve, { addresses }),
    segmentPort('victim', victim, { addresses: [victim.address6] }),
  ];
  const parse = () => parseSwitchConfig({ version: 1, segments: [segment({ ports, ipv6: castSegment().ipv6 })] });
  if (message === undefined) expect(parse().segments[0]!.ports[0]!.addresses).toEqual(addresses);
  else expect(parse).toThrow(message);
});

describe('hostile frames', () => {
  const seeds = [
    ...attacks(CAST).flatMap(({ frames, control }) => [...frames, ...control]),
    neighbour(eve, EVERYBODY, 135, gateway.address6, { kind: 1, mac: eve.mac }),
    redirect(eve, victim, eve.address6, friend.address6),
    withHeaders(udp6(eve, gateway, { port: 53, payload: Buffer.alloc(40, 1) }), { kind: 0 }, { kind: 60 }),
  ];
  const mutated = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.nat({ max: 60 }),
    )
    .map(([seed, changes, cut]) => {
      const frame = Buffer.from(seed);
      for (const [at, value] of changes) frame[12 + (at % (frame.length - 12))] = value;
      return frame.subarray(0, Math.max(0, frame.length - (cut > 30 ? 0 : cut)));
    });
  const own = table.ports[0]!.addresses6.map((address) => address.join());

  test('each gets a verdict, nothing throws, and what passes is unspoofed', () => {
    fc.assert(
      fc.property(mutated, (frame) => {
        const verdict = fromEve(frame);
        isNeighbourTraffic(frame, 0, frame.length);
        answerNeighbourFrame(table, frame);
        answerEcho6Frame(frame);
        if (frame.length >= 14) readDnsFrame(frame);
        if (dropIndex(verdict) >= 0 || frame.readUInt16BE(12) !== 0x86dd) return;
        const source = readIpv6Address(frame, 22).join();
        if (source !== '0,0,0,0') expect(own).toContain(source);
        const packet = readIpv6(frame);
        if (packet?.protocol !== 58) return;
        expect([134, 137]).not.toContain(packet.payload[0]);
        if (packet.payload[0] === 136) expect(own).toContain(readIpv6Address(packet.payload, 8).join());
      }),
      { numRuns: 6000 },
    );
  });
});

function expectSummed(frame: Buffer): void {
  const packet = readIpv6(frame)!;
  expect(checksum6(packet, 58, packet.payload)).toBe(0);
}

import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { answerArpFrame, answerDhcpFrame, answerIcmpFrame, readDnsFrame } from '../src/answers.ts';
import { decide, decideFromEgress } from '../src/decide.ts';
import { drop, dropIndex, VERDICT, type DropReason } from '../src/verdict.ts';
import { ethernetFrame } from '../src/packets/ethernet.ts';
import { compileSegment } from '../src/table.ts';
import { withIpOptions } from './frames.ts';
import { arp, DB, dhcp, ends, GATEWAY_MAC, ip, mac, segment, segmentPort, udp, WEB } from './support.ts';
import { ipv4Frame } from '../src/packets/ipv4.ts';

const table = compileSegment(segment());
const web = table.ports[0]!;
const fromWeb = (frame: Buffer, of = table) => decide(of, of.ports[0]!, frame, 0, frame.length);
const outside = (address: string) => ({ mac: GATEWAY_MAC, address });
const everyone = { mac: 'ff:ff:ff:ff:ff:ff', address: '255.255.255.255' };

describe('within the segment', () => {
  test('a frame goes to the port of its station, and a broadcast to all', () => {
    expect(fromWeb(udp(WEB, DB))).toBe(1);
    expect(fromWeb(udp(WEB, everyone))).toBe(VERDICT.flood);
    expect(fromWeb(udp(WEB, { mac: '02:00:00:00:00:77', address: '10.213.4.77' }))).toBe(VERDICT.flood);
    expect(fromWeb(arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: DB.address }))).toBe(
      VERDICT.flood,
    );
  });

  test('a station without a link neither sends nor receives', () => {
    const down = compileSegment(
      segment({ ports: [segmentPort('web', WEB), segmentPort('db', DB, { linkUp: false })] }),
    );
    expect(fromWeb(udp(WEB, DB), down)).toBe(drop('link-down'));
    const frame = udp(DB, WEB);
    expect(decide(down, down.ports[1]!, frame, 0, frame.length)).toBe(drop('link-down'));
  });

  test('the frame is read where it lies in a chunk', () => {
    const frame = udp(WEB, DB);
    const chunk = Buffer.concat([Buffer.alloc(100, 7), frame, Buffer.alloc(50, 9)]);
    expect(decide(table, web, chunk, 100, 100 + frame.length)).toBe(1);
  });
});

describe('spoofing', () => {
  const cases: Array<[string, DropReason, Buffer]> = [
    ['a foreign source MAC', 'foreign-mac', udp({ ...WEB, mac: DB.mac }, DB)],
    ["another guest's address", 'foreign-address', udp({ ...WEB, address: DB.address }, DB)],
    ["the gateway's address", 'foreign-address', udp({ ...WEB, address: '10.213.4.1' }, DB)],
    ['an address of the outside', 'foreign-address', udp({ ...WEB, address: '192.0.2.9' }, outside('198.51.100.1'))],
    ['no address, to a guest', 'foreign-address', udp({ ...WEB, address: '0.0.0.0' }, DB)],
    [
      'ARP that claims a foreign address',
      'foreign-arp',
      arp({ operation: 2, senderMac: WEB.mac, sender: '10.213.4.1', target: DB.address }),
    ],
    [
      'ARP that claims a foreign MAC',
      'foreign-arp',
      arp({ operation: 2, senderMac: DB.mac, sender: WEB.address, target: DB.address, from: WEB.mac }),
    ],
    [
      'an ARP reply for 0.0.0.0',
      'foreign-arp',
      arp({ operation: 2, senderMac: WEB.mac, sender: '0.0.0.0', target: DB.address }),
    ],
    ['a DHCP server', 'rogue-dhcp', udp(WEB, DB, { sourcePort: 67, port: 68 })],
    ['IPv6', 'other-protocol', ethernetFrame(mac('33:33:00:00:00:01'), mac(WEB.mac), 0x86dd, Buffer.alloc(60))],
    ['a VLAN tag', 'vlan', ethernetFrame(mac(DB.mac), mac(WEB.mac), 0x8100, Buffer.alloc(60))],
  ];
  test.each(cases)('%s is dropped', (_, reason, frame) => {
    expect(fromWeb(frame)).toBe(drop(reason));
  });

  test('the question whether an address is free, and DHCP without one, pass', () => {
    expect(fromWeb(arp({ operation: 1, senderMac: WEB.mac, sender: '0.0.0.0', target: WEB.address }))).toBe(
      VERDICT.flood,
    );
    const ask = (payload: Buffer) =>
      fromWeb(udp({ ...WEB, address: '0.0.0.0' }, everyone, { sourcePort: 68, port: 67, payload }));
    expect(ask(dhcp(WEB, 1))).toBe(VERDICT.dhcp);
    expect([ask(dhcp(DB, 1)), ask(Buffer.alloc(0)), ask(dhcp(WEB, 1).subarray(0, 33))]).toEqual(
      Array(3).fill(drop('rogue-dhcp')),
    );
    expect(ask(dhcp(WEB, 1).subarray(0, 34))).toBe(VERDICT.dhcp);
  });
});

describe('a router', () => {
  const routing = (router: boolean) =>
    compileSegment(segment({ ports: [segmentPort('web', WEB, { router }), segmentPort('db', DB)] }));
  const passedOn = udp({ ...WEB, address: '172.16.0.9' }, DB);

  test('passes on what others have sent, and others do not', () => {
    expect(fromWeb(passedOn, routing(true))).toBe(1);
    expect(fromWeb(passedOn, routing(false))).toBe(drop('foreign-address'));
  });

  test('gets what goes to its MAC, whatever the address', () => {
    const table = routing(true);
    const frame = udp(DB, { ...WEB, address: '172.16.0.9' });
    expect(decide(table, table.ports[1]!, frame, 0, frame.length)).toBe(0);
  });

  test.each([
    ['another MAC', 'foreign-mac', udp({ mac: DB.mac, address: '172.16.0.9' }, DB)],
    ["the gateway's address", 'foreign-address', udp({ ...WEB, address: '10.213.4.1' }, DB)],
    ['a group as sender', 'foreign-address', udp({ ...WEB, address: '224.0.0.1' }, DB)],
    ['loopback as sender', 'foreign-address', udp({ ...WEB, address: '127.0.0.1' }, DB)],
    [
      'what is not its own, to the outside',
      'foreign-address',
      udp({ ...WEB, address: DB.address }, outside('8.8.8.8')),
    ],
    ['a DHCP server', 'rogue-dhcp', udp(WEB, DB, { sourcePort: 67, port: 68 })],
    [
      'ARP for what is not its own',
      'foreign-arp',
      arp({ operation: 2, senderMac: WEB.mac, sender: '172.16.0.9', target: DB.address }),
    ],
  ] as Array<[string, DropReason, Buffer]>)('has no right to %s', (_, reason, frame) => {
    expect(fromWeb(frame, routing(true))).toBe(drop(reason));
  });
});

describe('the packet itself', () => {
  const optioned = (...bytes: number[]) => withIpOptions(udp(WEB, DB), Buffer.from(bytes));
  test.each([
    ['no operation', [1, 1, 1, 0], 1],
    ['a router alert', [148, 4, 0, 0], 1],
    ['a loose source route', [131, 7, 4, 10, 213, 4, 11, 0], drop('source-route')],
    ['a strict one behind another option', [1, 137, 7, 4, 10, 213, 4, 11], drop('source-route')],
    ['an option without an end', [148, 0, 0, 0], drop('source-route')],
  ])('with %s', (_, bytes, verdict) => {
    expect(fromWeb(optioned(...bytes))).toBe(verdict);
  });

  test('is no larger than the MTU', () => {
    const sized = (bytes: number) => udp(WEB, DB, { payload: Buffer.alloc(bytes - 28) });
    expect([fromWeb(sized(1500)), fromWeb(sized(1501))]).toEqual([1, drop('too-big')]);
    const jumbo = compileSegment(segment({ mtu: 9000 }));
    expect([fromWeb(sized(9000), jumbo), fromWeb(sized(9001), jumbo)]).toEqual([1, drop('too-big')]);
  });
});

describe('the gateway', () => {
  test('answers ARP, ping, DNS and DHCP', () => {
    expect(fromWeb(arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: '10.213.4.1' }))).toBe(
      VERDICT.arp,
    );
    expect(fromWeb(ipv4Frame(ends(WEB, outside('10.213.4.1')), 1, Buffer.alloc(8)))).toBe(VERDICT.icmp);
    expect(fromWeb(udp(WEB, outside('10.213.4.1'), { port: 53 }))).toBe(VERDICT.dns);
    expect(fromWeb(udp(WEB, outside('10.213.4.1'), { sourcePort: 68, port: 67, payload: dhcp(WEB, 1) }))).toBe(
      VERDICT.dhcp,
    );
  });

  test.each([
    ['the gateway, which slirp would take for 127.0.0.1', '10.213.4.1'],
    ["slirp's other aliases", '10.213.4.3'],
    ['an address of the host', '192.0.2.2'],
    ["another network's subnet", '10.213.9.10'],
    ['loopback', '127.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['link-local, where clouds keep credentials', '169.254.169.254'],
    ['multicast', '224.0.0.251'],
    ['broadcast', '255.255.255.255'],
  ])('lets nothing through to %s', (_, address) => {
    expect(fromWeb(udp(WEB, outside(address)))).toBe(drop('host'));
    expect(fromWeb(ipv4Frame(ends(WEB, outside(address)), 6, Buffer.alloc(20)))).toBe(drop('host'));
  });

  test("blocks the host's own addresses beyond the configured ones", () => {
    const own = compileSegment(segment(), ['203.0.113.7']);
    expect(fromWeb(udp(WEB, outside('203.0.113.7')), own)).toBe(drop('host'));
    expect(fromWeb(udp(WEB, outside('203.0.113.8')), own)).toBe(VERDICT.egress);
  });

  test('passes the rest on, and nothing from an isolated segment', () => {
    expect(fromWeb(udp(WEB, outside('198.51.100.1')))).toBe(VERDICT.egress);
    const isolated = compileSegment(segment({ egress: undefined }));
    expect(fromWeb(udp(WEB, outside('198.51.100.1')), isolated)).toBe(drop('isolated'));
  });
});

describe('from the way out', () => {
  const inwards = (frame: Buffer) => decideFromEgress(table, frame, 0, frame.length);

  test('a packet of the outside goes to its guest, and to no other', () => {
    expect(inwards(udp(outside('198.51.100.1'), WEB))).toBe(0);
    expect(inwards(udp(outside('198.51.100.1'), { ...WEB, address: DB.address }))).toBe(drop('unanswered'));
    expect(inwards(udp(outside('198.51.100.1'), everyone))).toBe(drop('unanswered'));
  });

  test('nothing seems to come from the segment itself', () => {
    expect(inwards(udp({ mac: GATEWAY_MAC, address: DB.address }, WEB))).toBe(drop('foreign-address'));
  });

  test('ARP for a guest is answered, for others not', () => {
    const ask = (target: string) => arp({ operation: 1, senderMac: GATEWAY_MAC, sender: '10.213.4.1', target });
    expect(inwards(ask(DB.address))).toBe(VERDICT.arp);
    expect(inwards(ask('10.213.4.99'))).toBe(drop('unanswered'));
    expect(answerArpFrame(table, ask(DB.address))!.readUIntBE(6, 6)).toBe(mac(DB.mac));
  });
});

describe('hostile frames', () => {
  const random = fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes));
  /** Sound frames with a few bytes changed and an end cut off: these reach the code behind the first checks. */
  const seeds = [
    udp(WEB, DB),
    udp(WEB, outside('198.51.100.1')),
    udp(WEB, outside('10.213.4.1'), {
      port: 53,
      payload: Buffer.from('123401000001000000000000037765620000010001', 'hex'),
    }),
    udp({ ...WEB, address: '0.0.0.0' }, everyone, { sourcePort: 68, port: 67, payload: dhcp(WEB, 1) }),
    ipv4Frame(ends(WEB, outside('10.213.4.1')), 1, Buffer.from([8, 0, 0xf7, 0xff, 0, 0, 0, 0])),
    arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: '10.213.4.1' }),
  ];
  const mutated = fc
    .tuple(
      fc.constantFrom(...seeds),
      fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 }),
      fc.nat({ max: 40 }),
    )
    .map(([seed, changes, cut]) => {
      const frame = Buffer.from(seed);
      for (const [at, value] of changes) frame[12 + (at % (frame.length - 12))] = value;
      return frame.subarray(0, Math.max(0, frame.length - (cut > 20 ? 0 : cut)));
    });

  test('each gets a verdict, nothing throws, and what passes is unspoofed', () => {
    fc.assert(
      fc.property(fc.oneof(random, mutated), (frame) => {
        const verdict = fromWeb(frame);
        expect(decideFromEgress(table, frame, 0, frame.length)).toBeTypeOf('number');
        answerArpFrame(table, frame);
        answerIcmpFrame(frame);
        answerDhcpFrame(table, web, frame);
        readDnsFrame(frame);
        if (dropIndex(verdict) >= 0) return;
        expect(frame.readUIntBE(6, 6)).toBe(mac(WEB.mac));
        if (frame.readUInt16BE(12) === 0x0806) expect(frame.readUIntBE(22, 6)).toBe(mac(WEB.mac));
        else if (verdict !== VERDICT.dhcp) expect(frame.readUInt32BE(26)).toBe(ip(WEB.address));
        if (verdict === VERDICT.egress) expect(frame[30]).not.toBe(127);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['nothing', Buffer.alloc(0)],
    ['13 bytes', udp(WEB, DB).subarray(0, 13)],
    ['half an IPv4 header', udp(WEB, DB).subarray(0, 30)],
    ['a length past the end', udp(WEB, DB).subarray(0, 40)],
    [
      'a header of 4 bytes',
      Buffer.concat([udp(WEB, DB).subarray(0, 14), Buffer.from([0x41]), udp(WEB, DB).subarray(15)]),
    ],
    ['half an ARP', arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: DB.address }).subarray(0, 41)],
    ['a UDP header cut short', ipv4Frame(ends(WEB, DB), 17, Buffer.alloc(7))],
  ])('%s is malformed', (_, frame) => {
    expect(fromWeb(frame)).toBe(drop('malformed'));
  });
});

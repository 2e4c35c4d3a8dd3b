import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import type { SegmentPort } from '../src/config.ts';
import { decide } from '../src/decide.ts';
import { drop, VERDICT } from '../src/verdict.ts';
import { withLength } from '../src/framing.ts';
import { compileSegment } from '../src/table.ts';
import { compileTrunk, hears, isTaggedAt, NONE, tag, untag, UNTAGGED, vlanOnTrunk } from '../src/vlan.ts';
import { tagged } from './frames.ts';
import { neighbour } from './frames6.ts';
import { arp, DB, dhcp, GATEWAY_MAC, segment, segmentPort, udp, WEB } from './support.ts';

const ranges = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 4094 }), fc.nat({ max: 2000 })), { maxLength: 5 })
  .map((list) => list.map(([from, more]) => ({ from, to: Math.min(4094, from + more) })));
const ownVlan = fc.option(fc.integer({ min: 1, max: 4094 }), { nil: NONE });

describe('trunks', () => {
  test('carry the tags of their ranges, and their own VLAN without one', () => {
    fc.assert(
      fc.property(ranges, ownVlan, fc.nat({ max: 4095 }), (trunk, own, asked) => {
        // Often enough it is asked about a port's own VLAN.
        const vlan = asked % 3 === 1 ? asked : own;
        const port = { vlan, trunk: compileTrunk(trunk) };
        const named = trunk.some(({ from, to }) => from <= asked && asked <= to);
        expect(isTaggedAt(port, asked)).toBe(named && asked !== vlan);
        expect(hears(port, asked)).toBe(named || asked === vlan);
        const frame = udp(WEB, DB);
        expect(vlanOnTrunk(port, frame, 0, frame.length)).toBe(vlan);
        const withTag = tagged(frame, asked | 0xe000);
        expect(vlanOnTrunk(port, withTag, 0, withTag.length)).toBe(named && asked !== vlan ? asked : NONE);
      }),
    );
  });

  test('a tag goes on and off and leaves the frame as it was', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 14, maxLength: 200 }),
        fc.integer({ min: 1, max: 4094 }),
        (bytes, vlan) => {
          const frame = Buffer.from(bytes);
          const chunk = Buffer.concat([Buffer.alloc(9), withLength(frame), Buffer.alloc(5)]);
          const out = tag(chunk, 9, 9 + 4 + frame.length, vlan);
          expect(out).toEqual(withLength(tagged(frame, vlan)));
          expect(untag(out, 0, out.length)).toEqual(withLength(frame));
        },
      ),
    );
  });
});

describe('ports', () => {
  const ports = (web: Partial<SegmentPort>, db: Partial<SegmentPort>) =>
    compileSegment(segment({ ports: [segmentPort('web', WEB, web), segmentPort('db', DB, db)] }));
  const trunk = [{ from: 10, to: 20 }];

  test('of one VLAN hear each other, of two do not', () => {
    const frame = udp(WEB, DB);
    const decideIn = (table: ReturnType<typeof ports>, vlan: number) =>
      decide(table, table.ports[0]!, frame, 0, frame.length, vlan);
    expect(decideIn(ports({ vlan: 10 }, { vlan: 10 }), 10)).toBe(1);
    expect(decideIn(ports({ vlan: 10 }, { vlan: 11 }), 10)).toBe(drop('vlan'));
    expect(decideIn(ports({ vlan: 10 }, {}), 10)).toBe(drop('vlan'));
    expect(decideIn(ports({}, { vlan: 10 }), UNTAGGED)).toBe(drop('vlan'));
    expect(decideIn(ports({ vlan: 10 }, { trunk }), 10)).toBe(1);
    expect(decideIn(ports({}, { trunk }), UNTAGGED)).toBe(drop('vlan'));
    expect(decideIn(ports({ vlan: 21 }, { trunk }), 21)).toBe(drop('vlan'));
  });

  test('of routers speak for further addresses in the VLANs of their trunk, with their own MAC, and nowhere else', () => {
    const tableOf = (web: Partial<SegmentPort>) => ports(web, { vlan: 10 });
    const says = (web: Partial<SegmentPort>, vlan: number, senderMac = WEB.mac) => {
      const frame = arp({
        operation: 2,
        senderMac,
        sender: '192.168.10.1',
        target: DB.address,
        from: WEB.mac,
        to: DB.mac,
      });
      const table = tableOf(web);
      return decide(table, table.ports[0]!, frame, 0, frame.length, vlan);
    };
    const subnet = { ipv6: { subnet: 'fd00:50::/64', gateway: 'fd00:50::1' } };
    const of6 = compileSegment(
      segment({
        ...subnet,
        ports: [segmentPort('web', WEB, { trunk, router: true }), segmentPort('db', DB, { vlan: 10 })],
      }),
    );
    const claim = neighbour(
      { mac: WEB.mac, address6: 'fd00:10::1' },
      { mac: DB.mac, address6: 'fd00:10::2' },
      136,
      'fd00:10::1',
      { kind: 2, mac: WEB.mac },
    );
    const claims = (vlan: number) => decide(of6, of6.ports[0]!, claim, 0, claim.length, vlan);
    expect([says({ trunk, router: true }, 10), claims(10)]).toEqual([1, 1]);
    expect(says({ trunk }, 10)).toBe(drop('foreign-arp'));
    expect([says({ trunk, router: true }, UNTAGGED), claims(UNTAGGED)]).toEqual([
      drop('foreign-arp'),
      drop('foreign-nd'),
    ]);
    expect(says({ trunk, router: true, vlan: 10 }, 10)).toBe(drop('foreign-arp'));
    expect(says({ vlan: 10, router: true }, 10)).toBe(drop('foreign-arp'));
    expect(says({ trunk, router: true }, 10, DB.mac)).toBe(drop('foreign-arp'));
  });

  test('of a VLAN have no gateway: neither ARP, nor ping, DNS, DHCP or a way out', () => {
    const table = ports({ vlan: 10 }, { vlan: 10 });
    const inVlan = (frame: Buffer) => decide(table, table.ports[0]!, frame, 0, frame.length, 10);
    const gateway = { mac: GATEWAY_MAC, address: '10.213.4.1' };
    const nobody = { mac: 'ff:ff:ff:ff:ff:ff', address: '255.255.255.255' };
    expect(inVlan(arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: '10.213.4.1' }))).toBe(
      VERDICT.flood,
    );
    expect(inVlan(udp(WEB, gateway, { port: 53 }))).toBe(drop('unanswered'));
    expect(inVlan(udp(WEB, { ...gateway, address: '198.51.100.1' }))).toBe(drop('unanswered'));
    expect(
      inVlan(udp({ ...WEB, address: '0.0.0.0' }, nobody, { sourcePort: 68, port: 67, payload: dhcp(WEB, 1) })),
    ).toBe(VERDICT.flood);
    expect(table.ports[0]!.lease).toBeUndefined();
    expect(table.names.size).toBe(0);
  });

  test('that trunk have no untagged VLAN unless they name one', () => {
    expect(ports({ trunk }, { trunk, vlan: 5 }).ports.map((port) => port.vlan)).toEqual([NONE, 5]);
  });
});

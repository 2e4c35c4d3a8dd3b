import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { formatIpv4, formatMac, parseCidr, parseIpv4, parseMac } from '../../src/address.ts';
import { readDhcpRequest } from '../../src/packets/dhcp.ts';
import { dnsReply, encodeName, isResponseTo, RCODE, readDnsQuery } from '../../src/packets/dns.ts';
import { checksum, readIpv4 } from '../../src/packets/ipv4.ts';
import { readUdp, udpFrame } from '../../src/packets/udp.ts';

const address = fc.nat({ max: 0xffff_ffff });
const macAddress = fc.nat({ max: 0xffff_ffff_ffff });
const port = fc.nat({ max: 65_535 });
const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map((data) => Buffer.from(data));

test('addresses survive their text', () => {
  fc.assert(fc.property(address, (value) => parseIpv4(formatIpv4(value)) === value));
  fc.assert(fc.property(macAddress, (value) => parseMac(formatMac(value)) === value));
  for (const bad of ['', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4.5', '1.2.3.-4', '1e1.2.3.4', ' 1.2.3.4']) {
    expect(parseIpv4(bad), bad).toBeUndefined();
  }
  for (const bad of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '10.0.0/8']) {
    expect(parseCidr(bad), bad).toBeUndefined();
  }
});

test('a UDP frame is read as it was made, and no longer once a byte of it changed', () => {
  const station = fc.tuple(
    macAddress,
    macAddress,
    address,
    address,
    port,
    port,
    bytes(300),
    fc.nat(),
    fc.integer({ min: 1, max: 255 }),
  );
  fc.assert(
    fc.property(station, ([sourceMac, destinationMac, source, destination, from, to, payload, at, flip]) => {
      const frame = udpFrame({ sourceMac, destinationMac, source, destination }, from, to, payload);
      const packet = readIpv4(frame)!;
      expect(packet).toMatchObject({ source, destination, protocol: 17, fragment: false });
      expect(readUdp(packet)).toEqual({ sourcePort: from, destinationPort: to, payload });
      const place = 14 + (at % (frame.length - 14));
      frame[place]! ^= flip;
      const changed = readIpv4(frame);
      const read = changed === undefined ? undefined : readUdp(changed);
      // Only a checksum that has become 0, "none", hides a change (RFC 768): one byte can not do that to two.
      const noChecksum = frame.readUInt16BE(40) === 0;
      expect(read === undefined || noChecksum).toBe(true);
    }),
  );
});

test('data with its checksum sums up to 0', () => {
  fc.assert(
    fc.property(bytes(100), (data) => {
      const even = Buffer.concat([data, Buffer.alloc(data.length % 2)]);
      const sum = Buffer.alloc(2);
      sum.writeUInt16BE(checksum(even));
      expect(checksum(Buffer.concat([even, sum]))).toBe(0);
    }),
  );
});

const name = fc.array(fc.stringMatching(/^[a-z0-9]{1,20}$/), { maxLength: 5 }).map((labels) => labels.join('.'));

test('a DNS question is read as it was made, and its reply is one to it and no other', () => {
  fc.assert(
    fc.property(name, port, port, port, (asked, id, type, otherId) => {
      const tail = Buffer.alloc(4);
      tail.writeUInt16BE(type, 0);
      tail.writeUInt16BE(1, 2);
      const head = Buffer.alloc(12);
      head.writeUInt16BE(id, 0);
      head.writeUInt16BE(1, 4);
      const message = Buffer.concat([head, encodeName(asked), tail]);
      const query = readDnsQuery(message)!;
      expect(query).toMatchObject({ id, name: asked, type, class: 1, questionEnd: message.length });
      const reply = dnsReply(query, message, { rcode: RCODE.ok });
      expect(isResponseTo(reply, query, id)).toBe(true);
      expect(isResponseTo(reply, query, otherId)).toBe(otherId === id);
      expect(isResponseTo(reply, { ...query, name: `${query.name}x` }, id)).toBe(false);
      expect(isResponseTo(message, query, id)).toBe(false);
    }),
  );
});

test('nothing that is read runs past its end or throws', () => {
  fc.assert(
    fc.property(bytes(400), (data) => {
      const query = readDnsQuery(data);
      if (query !== undefined) expect(query.questionEnd).toBeLessThanOrEqual(data.length);
      readDhcpRequest(data);
      const dhcp = Buffer.concat([Buffer.from([1, 1, 6, 0]), Buffer.alloc(232), Buffer.from('63825363', 'hex'), data]);
      readDhcpRequest(dhcp);
    }),
    { numRuns: 500 },
  );
});

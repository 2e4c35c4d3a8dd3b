import { describe, expect, test } from 'vitest';
import { answerArpFrame, answerDhcpFrame, answerIcmpFrame, readDnsFrame } from '../../src/answers.ts';
import { answerDns } from '../../src/names.ts';
import { readArp } from '../../src/packets/arp.ts';
import { readDhcpRequest } from '../../src/packets/dhcp.ts';
import { readDnsQuery } from '../../src/packets/dns.ts';
import { checksum, readIpv4 } from '../../src/packets/ipv4.ts';
import { readUdp } from '../../src/packets/udp.ts';
import { compileSegment } from '../../src/table.ts';
import { hex, mac, segment } from '../support.ts';

/** Packets written by hand from the RFCs: none of them is made by the code under test. */

const table = compileSegment(segment());

describe('ARP (RFC 826)', () => {
  const request = hex(`
    ffffffffffff 02000000000a 0806   # broadcast, from web
    0001 0800 06 04 0001             # Ethernet, IPv4, lengths 6 and 4, request
    02000000000a 0ad5040a            # web has 10.213.4.10
    000000000000 0ad50401            # who has 10.213.4.1
    000000000000000000000000000000000000 # padding to 60 bytes`);

  test('a request for the gateway is answered with its MAC', () => {
    expect(answerArpFrame(table, request)).toEqual(
      hex(`
        02000000000a 52550ad50401 0806
        0001 0800 06 04 0002
        52550ad50401 0ad50401
        02000000000a 0ad5040a`),
    );
  });

  test.each([
    ['hardware type', 14, 0x0f],
    ['protocol type', 16, 0x86],
    ['hardware length', 18, 8],
    ['protocol length', 19, 16],
    ['operation', 21, 3],
  ])('another %s is not ours', (_, at, value) => {
    const other = Buffer.from(request);
    other[at] = value;
    expect(readArp(other)).toBeUndefined();
  });

  test('a cut one is malformed', () => {
    expect(readArp(request.subarray(0, 41))).toBeUndefined();
  });
});

test('the checksum of RFC 1071, section 3', () => {
  expect(checksum(hex('0001 f203 f4f5 f6f7'))).toBe(~0xddf2 & 0xffff);
});

describe('ICMP echo (RFC 792)', () => {
  const echo = hex(`
    52550ad50401 02000000000a 0800
    45 00 0022 1c46 4000 40 01 00e1 0ad5040a 0ad50401   # 34 bytes, don't fragment, ttl 64, ICMP
    08 00 08ef 1234 0001 6869 0a68 6a0a                 # echo, id 0x1234, sequence 1, "hi\\nhj\\n"`);
  test('the reply has type 0, the ends swapped, and the same data', () => {
    const reply = answerIcmpFrame(echo)!;
    expect(reply.subarray(0, 14)).toEqual(hex('02000000000a 52550ad50401 0800'));
    expect(reply.subarray(26, 34)).toEqual(hex('0ad50401 0ad5040a'));
    expect(reply.subarray(34, 36)).toEqual(hex('0000'));
    expect(reply.subarray(38)).toEqual(hex('1234 0001 6869 0a68 6a0a'));
    expect(addUp(reply.subarray(14, 34))).toBe(0);
    expect(addUp(reply.subarray(34))).toBe(0);
  });

  test.each([
    ['a wrong checksum of ICMP', 45],
    ['a wrong checksum of IP', 22],
    ['an echo reply', 34],
  ])('%s gets no answer', (_, at) => {
    const bad = Buffer.from(echo);
    bad[at]! ^= 8;
    expect(answerIcmpFrame(bad)).toBeUndefined();
  });
});

/** The Internet checksum again, in another way than the code's. */
function addUp(data: Buffer): number {
  let sum = 0n;
  const padded = Buffer.concat([data, Buffer.alloc(data.length % 2)]);
  for (let i = 0; i < padded.length; i += 2) sum += BigInt(padded.readUInt16BE(i));
  return Number(0xffffn - (sum % 0xffffn === 0n && sum > 0n ? 0xffffn : sum % 0xffffn));
}

describe('DNS (RFC 1035)', () => {
  const question = (name: string, type: string) => hex(`1234 0100 0001 0000 0000 0000 ${name} ${type} 0001`);
  const ask = (message: Buffer) => answerDns(table, readDnsQuery(message)!, message);

  test('A of a short name', () => {
    expect(ask(question('03 776562 00', '0001'))).toEqual(
      hex(`
        1234 8580 0001 0001 0000 0000    # response, authoritative, recursion desired and available
        03 776562 00 0001 0001           # web A IN
        c00c 0001 0001 00000005 0004 0ad5040a`),
    );
  });

  test('A of the full name, in capitals, which come back as they were', () => {
    const name = '03 574542 04 73686f70 08 494e5445524e414c 00';
    expect(ask(question(name, '0001'))).toEqual(
      hex(`1234 8580 0001 0001 0000 0000 ${name} 0001 0001 c00c 0001 0001 00000005 0004 0ad5040a`),
    );
  });

  test('AAAA of a known name is no error and no record', () => {
    const expected = hex('1234 8580 0001 0000 0000 0000 03 776562 00 001c 0001');
    expect(ask(question('03 776562 00', '001c'))).toEqual(expected);
  });

  test('PTR of 10.213.4.10', () => {
    const name = '02 3130 01 34 03 323133 02 3130 07 696e2d61646472 04 61727061 00';
    expect(ask(question(name, '000c'))).toEqual(
      hex(`
        1234 8580 0001 0001 0000 0000 ${name} 000c 0001
        c00c 000c 0001 00000005 0013 03 776562 04 73686f70 08 696e7465726e616c 00`),
    );
  });

  test.each([
    ['a short name nobody has', '03 666f6f 00'],
    ['a name of the domain nobody has', '03 666f6f 04 73686f70 08 696e7465726e616c 00'],
    ['the reverse of an address nobody has', '02 3939 01 34 03 323133 02 3130 07 696e2d61646472 04 61727061 00'],
  ])('%s does not exist', (_, name) => {
    expect(ask(question(name, '0001'))).toEqual(hex(`1234 8583 0001 0000 0000 0000 ${name} 0001 0001`));
  });

  test('a name of the outside is passed on, and refused where there is no one to ask', () => {
    const message = question('06 64656269616e 03 6f7267 00', '0001');
    expect(ask(message)).toBe('forward');
    const isolated = compileSegment(segment({ upstreamDns: [] }));
    expect(answerDns(isolated, readDnsQuery(message)!, message)).toEqual(
      hex('1234 8185 0001 0000 0000 0000 06 64656269616e 03 6f7267 00 0001 0001'),
    );
  });

  test.each([
    ['a response', '1234 8100 0001 0000 0000 0000 00 0001 0001'],
    ['no question', '1234 0100 0000 0000 0000 0000 00 0001 0001'],
    ['two questions', '1234 0100 0002 0000 0000 0000 00 0001 0001 00 0001 0001'],
    ['a compression loop', '1234 0100 0001 0000 0000 0000 c00c 0001 0001'],
    ['a label past the end', '1234 0100 0001 0000 0000 0000 3f 61 00 0001 0001'],
    ['no type', '1234 0100 0001 0000 0000 0000 01 61 00 0001'],
    ['a name of 256 bytes', `1234 0100 0001 0000 0000 0000 ${'3f'.concat('61'.repeat(63)).repeat(4)} 00 0001 0001`],
  ])('%s is no query', (_, text) => {
    expect(readDnsQuery(hex(text))).toBeUndefined();
  });

  test('a whole frame, without a UDP checksum, is read and answered to who asked', () => {
    const frame = hex(`
      52550ad50401 02000000000a 0800
      45 00 0031 0000 0000 40 11 0000 0ad5040a 0ad50401
      9c40 0035 001d 0000
      1234 0100 0001 0000 0000 0000 03 776562 00 0001 0001`);
    frame.writeUInt16BE(addUp(frame.subarray(14, 34)), 24);
    const request = readDnsFrame(frame)!;
    const reply = request.reply(Buffer.from('x'));
    expect(reply.subarray(26, 34)).toEqual(hex('0ad50401 0ad5040a'));
    expect(reply.subarray(34, 40)).toEqual(hex('0035 9c40 0009'));
    expect(readUdp(readIpv4(reply)!)!.payload.toString()).toBe('x');
  });
});

describe('DHCP (RFC 2131)', () => {
  const message = (options: string) =>
    hex(`
    01 01 06 00 deadbeef 0003 0000                       # request, Ethernet; transaction; 3 s; no flags
    00000000 00000000 00000000 00000000                  # no addresses
    02000000000a 00000000000000000000                    # chaddr
    ${'00'.repeat(192)} 63825363 ${options}`);
  const discover = message('35 01 01  37 03 01 03 06  ff');

  const ask = (dhcp: Buffer, entry = table.ports[0]!) => {
    const frame = hex(`
      ffffffffffff 02000000000a 0800
      45 00 0000 0000 0000 40 11 0000 00000000 ffffffff
      0044 0043 0000 0000`);
    const whole = Buffer.concat([frame, dhcp]);
    whole.writeUInt16BE(whole.length - 14, 16);
    whole.writeUInt16BE(whole.length - 34, 38);
    whole.writeUInt16BE(addUp(whole.subarray(14, 34)), 24);
    return answerDhcpFrame(table, entry, whole);
  };

  test('a discover gets the one offer, with gateway, DNS, domain, name and a day of lease', () => {
    const frame = ask(discover)!;
    expect(frame.subarray(0, 14)).toEqual(hex('02000000000a 52550ad50401 0800'));
    expect(frame.subarray(26, 38)).toEqual(hex('0ad50401 ffffffff 0043 0044'));
    expect(frame.subarray(42, 42 + 44)).toEqual(
      hex(`
        02 01 06 00 deadbeef 0000 0000
        00000000 0ad5040a 00000000 00000000
        02000000000a 00000000000000000000`),
    );
    expect(frame.subarray(42 + 236, 42 + 236 + 4 + 65)).toEqual(
      hex(`
        63825363 350102                # offer
        36040ad50401 330400015180      # server, 86,400 s
        0104ffffff00 1c040ad504ff      # mask, broadcast
        06040ad50401 1a0205dc          # DNS, MTU 1500
        03040ad50401                   # router
        0c03776562                     # web
        0f0d 73686f702e696e7465726e616c ff`),
    );
    expect(readUdp(readIpv4(frame)!)!.payload.length).toBeGreaterThanOrEqual(300);
  });

  test('a request for its address is acknowledged, for another refused', () => {
    const ack = ask(message('350103 36040ad50401 32040ad5040a ff'))!;
    const nak = ask(message('350103 36040ad50401 32040ad5040b ff'))!;
    expect([ack[42 + 242], nak[42 + 242]]).toEqual([5, 6]);
    expect(nak.subarray(42 + 16, 42 + 20)).toEqual(hex('00000000'));
  });

  test('no answer: to another server, a release, a foreign chaddr', () => {
    expect(ask(message('350103 36040ad50402 32040ad5040a ff'))).toBeUndefined();
    expect(ask(message('350107 ff'))).toBeUndefined();
    const foreign = Buffer.from(discover);
    foreign[33] = 0x0b;
    expect(ask(foreign)).toBeUndefined();
  });

  test('routes are told with the one to the router, as they stand in RFC 3442 section 2', () => {
    const routes = [
      { to: '10.0.0.0/8', via: '10.213.4.11' },
      { to: '192.168.5.128/25', via: '10.213.4.11' },
      { to: 'fd00:9::/64', via: 'fd00::1' }, // not for DHCP
      { to: '172.16.0.0/12', via: '10.213.4.10' }, // the client itself is the router
    ];
    const entry = compileSegment(segment({ routes })).ports[0]!;
    const frame = ask(message('350101 370279f9 ff'), entry)!;
    const data = '08 0a 0ad5040b  19 c0a80580 0ad5040b  00 0ad50401';
    expect(frame.indexOf(hex(`7914 ${data} f914 ${data} ff`))).toBeGreaterThan(0);
    expect(ask(message('350101 370179 ff'), entry)!.indexOf(hex('f914'))).toBe(-1);
  });

  test('what is longer than an option goes on in another', () => {
    const routes = Array.from({ length: 64 }, (_, i) => ({ to: `10.${i}.1.0/24`, via: '10.213.4.11' }));
    const frame = ask(discover, compileSegment(segment({ routes })).ports[0]!)!;
    const [first, second] = [frame.indexOf(hex('79ff 18 0a0001')), frame.length];
    expect(first).toBeGreaterThan(0);
    expect(frame.subarray(first + 257, first + 259)).toEqual(hex('79ff'));
    expect(frame.subarray(first + 2 * 257, first + 2 * 257 + 2)).toEqual(hex('7907'));
    expect(second).toBe(first + 2 * 257 + 9 + 1);
  });

  test('an isolated segment has no router to offer', () => {
    const isolated = compileSegment(segment({ egress: undefined }));
    expect(isolated.ports[0]!.lease!.router).toBe(false);
  });

  test('an option that runs over the end is malformed', () => {
    expect(readDhcpRequest(message('350101 0c20 61'))).toBeUndefined();
    expect(readDhcpRequest(message('350101 0c'))).toBeUndefined();
    expect(readDhcpRequest(discover)).toMatchObject({ messageType: 1, clientMac: mac('02:00:00:00:00:0a') });
  });
});

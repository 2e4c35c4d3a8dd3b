import { autoconfiguredOf, linkLocalOf, parseCidr6, parseIpv6, type Ipv6 } from '../src/address6.ts';
import { icmp6Frame } from '../src/packets/icmp6.ts';
import { ipv6Frame, type Ends6 } from '../src/packets/ipv6.ts';
import { udpFrame6 } from '../src/packets/udp.ts';
import { mac } from './support.ts';

/** IPv6 frames by hand. Addresses are text. */

export interface Station6 {
  readonly mac: string;
  readonly address6: string;
}

export const DESTINATION_OPTIONS = 60;
export const ROUTING = 43;
export const FRAGMENT = 44;

export function ip6(text: string): Ipv6 {
  return parseIpv6(text)!;
}

/** What a guest makes of its MAC. */
export function autoconfigured(subnet: string, of: string): Ipv6 {
  return autoconfiguredOf(parseCidr6(subnet)!, mac(of));
}

export function linkLocal(of: string): Ipv6 {
  return linkLocalOf(mac(of));
}

export function ends6(from: Station6, to: Station6): Ends6 {
  return {
    sourceMac: mac(from.mac),
    destinationMac: mac(to.mac),
    source: ip6(from.address6),
    destination: ip6(to.address6),
  };
}

export function udp6(
  from: Station6,
  to: Station6,
  options: { sourcePort?: number; port?: number; payload?: Buffer } = {},
): Buffer {
  const { sourcePort = 40_000, port = 9, payload = Buffer.from('hi') } = options;
  return udpFrame6(ends6(from, to), sourcePort, port, payload);
}

/** @param body from the fifth byte on */
export function icmp6(from: Station6, to: Station6, type: number, body: Buffer): Buffer {
  return icmp6Frame(ends6(from, to), Buffer.concat([Buffer.from([type, 0, 0, 0]), body]));
}

export function ping6(from: Station6, to: Station6): Buffer {
  return icmp6(from, to, 128, Buffer.from([0x12, 0x34, 0, 1]));
}

/** Solicitation (135) or advertisement (136) of `target`, with the option that names a MAC: 1 the sender's, 2 the target's. */
export function neighbour(
  from: Station6,
  to: Station6,
  type: 135 | 136,
  target: string,
  claimed?: { kind: 1 | 2; mac: string },
): Buffer {
  const flags = type === 136 ? 0x6000_0000 : 0;
  return icmp6(from, to, type, Buffer.concat([words([flags, ...ip6(target)]), macOption(claimed)]));
}

export function solicitation(from: Station6, to: Station6, claimed?: { kind: 1 | 2; mac: string }): Buffer {
  return icmp6(from, to, 133, Buffer.concat([Buffer.alloc(4), macOption(claimed)]));
}

/** A router announcement, with a lifetime. */
export function announcement(from: Station6, to: Station6): Buffer {
  return icmp6(from, to, 134, Buffer.from([64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]));
}

export function redirect(from: Station6, to: Station6, target: string, destination: string): Buffer {
  return icmp6(from, to, 137, words([0, ...ip6(target), ...ip6(destination)]));
}

/** The frame with headers between IPv6 and what it carries; each is of eight bytes, the first one is its own number's. */
export function withHeaders(frame: Buffer, ...headers: { kind: number; data?: Buffer }[]): Buffer {
  const inner = frame.subarray(54);
  const kinds = [...headers.map(({ kind }) => kind), frame[20]!];
  const bytes = headers.map(({ data = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]) }, i) => {
    const header = Buffer.from(data);
    header[0] = kinds[i + 1]!;
    return header;
  });
  const whole = Buffer.concat([frame.subarray(0, 54), ...bytes, inner]);
  whole[20] = kinds[0]!;
  whole.writeUInt16BE(whole.length - 54, 18);
  return whole;
}

/** The header that marks a piece. */
export function fragment(offset: number, more: boolean, id = 7): { kind: number; data: Buffer } {
  const data = Buffer.alloc(8);
  data.writeUInt16BE(offset | (more ? 1 : 0), 2);
  data.writeUInt32BE(id, 4);
  return { kind: FRAGMENT, data };
}

/** The packet cut off after so many bytes behind its IPv6 header. */
export function cutTo(frame: Buffer, bytes: number): Buffer {
  const cut = Buffer.from(frame.subarray(0, 54 + bytes));
  cut.writeUInt16BE(bytes, 18);
  return cut;
}

/** The packet in two pieces, the first one of so many bytes, which eight divides. */
export function pieces6(frame: Buffer, bytes: number, id: number): Buffer[] {
  const head = frame.subarray(0, 54);
  const [first, last] = [frame.subarray(54, 54 + bytes), frame.subarray(54 + bytes)];
  return [
    withHeaders(Buffer.concat([head, first]), fragment(0, true, id)),
    withHeaders(Buffer.concat([head, last]), fragment(bytes, false, id)),
  ];
}

/** Of an upper layer that nobody reads. */
export function raw6(from: Station6, to: Station6, protocol: number, payload: Buffer = Buffer.alloc(8)): Buffer {
  return ipv6Frame(ends6(from, to), protocol, payload);
}

function macOption(claimed: { kind: number; mac: string } | undefined): Buffer {
  if (claimed === undefined) return Buffer.alloc(0);
  const option = Buffer.from([claimed.kind, 1, 0, 0, 0, 0, 0, 0]);
  option.writeUIntBE(mac(claimed.mac), 2, 6);
  return option;
}

function words(values: readonly number[]): Buffer {
  const data = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) data.writeUInt32BE(value, 4 * i);
  return data;
}

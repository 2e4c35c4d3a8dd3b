import { checksum } from './ipv4.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV6, ethernetFrame, readUint16, readUint32 } from './ethernet.ts';
import type { Ipv6 } from '../address6.ts';

/** IPv6 (RFC 8200) inside an Ethernet frame. */

export const IPV6_HEADER_BYTES = 40;
export const PROTOCOL_ICMPV6 = 58;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const AUTHENTICATION = 51;
/** More than any sound packet has; what has more is not followed. */
const MAX_EXTENSIONS = 6;

/** What lies behind the header and its extensions. One object is reused for frame after frame. */
export interface UpperLayer {
  /** The upper layer's protocol; -1: the packet is malformed. */
  protocol: number;
  /** Where it begins in the buffer. */
  at: number;
  /** Where the packet ends: what follows is padding of Ethernet. */
  end: number;
  /** Of a piece of a packet: offset in bytes, and whether more follow. */
  fragmentOffset: number;
  moreFragments: boolean;
  fragmentId: number;
  /** It is a piece, or says so of itself although it is whole (RFC 6946). */
  fragment: boolean;
  /** It names stations on its way (type 0 is forbidden by RFC 5095). */
  routed: boolean;
}

export function noUpperLayer(): UpperLayer {
  return {
    protocol: -1,
    at: 0,
    end: 0,
    fragmentOffset: 0,
    moreFragments: false,
    fragmentId: 0,
    fragment: false,
    routed: false,
  };
}

/**
 * Follows the headers of the packet in the frame at `start`, without allocating. In a later fragment they end at the
 * fragment header.
 */
export function readUpperLayer(frame: Buffer, start: number, end: number, into: UpperLayer): void {
  const at = start + ETHERNET_HEADER_BYTES;
  into.protocol = -1;
  into.fragmentOffset = 0;
  into.moreFragments = false;
  into.fragmentId = 0;
  into.fragment = false;
  into.routed = false;
  if (end - at < IPV6_HEADER_BYTES || frame[at]! >>> 4 !== 6) return;
  const packetEnd = at + IPV6_HEADER_BYTES + readUint16(frame, at + 4);
  if (packetEnd > end) return;
  into.end = packetEnd;
  let next = frame[at + 6]!;
  let here = at + IPV6_HEADER_BYTES;
  for (let count = 0; count <= MAX_EXTENSIONS; count += 1) {
    const known = next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS;
    if (!known && next !== FRAGMENT && next !== AUTHENTICATION) {
      into.protocol = next;
      into.at = here;
      return;
    }
    if (here + 8 > packetEnd) return;
    if (next === ROUTING) into.routed = true;
    if (next === FRAGMENT) {
      // Pieces of pieces are nobody's need.
      if (into.fragment) return;
      into.fragment = true;
      into.fragmentOffset = readUint16(frame, here + 2) & 0xfff8;
      into.moreFragments = (frame[here + 3]! & 1) !== 0;
      into.fragmentId = readUint32(frame, here + 4);
    }
    const bytes =
      next === FRAGMENT ? 8 : next === AUTHENTICATION ? (frame[here + 1]! + 2) * 4 : (frame[here + 1]! + 1) * 8;
    next = frame[here]!;
    here += bytes;
    if (here > packetEnd) return;
    if (into.fragmentOffset > 0) {
      into.protocol = next;
      into.at = here;
      return;
    }
  }
}

export interface Ipv6Packet {
  readonly source: Ipv6;
  readonly destination: Ipv6;
  /** Of the upper layer; the payload is its data. */
  readonly protocol: number;
  readonly payload: Buffer;
}

/** @returns undefined when it is malformed, or a piece of a packet */
export function readIpv6(frame: Buffer): Ipv6Packet | undefined {
  const upper = noUpperLayer();
  readUpperLayer(frame, 0, frame.length, upper);
  if (upper.protocol < 0 || upper.fragment) return undefined;
  return {
    source: readIpv6Address(frame, ETHERNET_HEADER_BYTES + 8),
    destination: readIpv6Address(frame, ETHERNET_HEADER_BYTES + 24),
    protocol: upper.protocol,
    payload: frame.subarray(upper.at, upper.end),
  };
}

export function readIpv6Address(frame: Buffer, at: number): Ipv6 {
  return [readUint32(frame, at), readUint32(frame, at + 4), readUint32(frame, at + 8), readUint32(frame, at + 12)];
}

export interface Ends6 {
  readonly sourceMac: number;
  readonly destinationMac: number;
  readonly source: Ipv6;
  readonly destination: Ipv6;
}

/** @param hopLimit 255 where the receiver shall know that it came from its own link (RFC 4861 section 3.1) */
export function ipv6Frame(ends: Ends6, protocol: number, payload: Buffer, hopLimit = 64): Buffer {
  const packet = Buffer.alloc(IPV6_HEADER_BYTES + payload.length);
  packet[0] = 0x60;
  packet.writeUInt16BE(payload.length, 4);
  packet[6] = protocol;
  packet[7] = hopLimit;
  ends.source.forEach((word, i) => packet.writeUInt32BE(word, 8 + 4 * i));
  ends.destination.forEach((word, i) => packet.writeUInt32BE(word, 24 + 4 * i));
  payload.copy(packet, IPV6_HEADER_BYTES);
  return ethernetFrame(ends.destinationMac, ends.sourceMac, ETHERTYPE_IPV6, packet);
}

/** The checksum of `payload` with the pseudo header (RFC 8200 section 8.1); over what includes a right one it is 0. */
export function checksum6(ends: Pick<Ends6, 'source' | 'destination'>, protocol: number, payload: Buffer): number {
  const words = [...ends.source, ...ends.destination, payload.length, protocol];
  return checksum(
    payload,
    words.reduce((sum, word) => sum + (word >>> 16) + (word & 0xffff), 0),
  );
}

import { ETHERNET_HEADER_BYTES, ETHERTYPE_IPV4, ethernetFrame, readUint16, readUint32 } from './ethernet.ts';

/** IPv4 (RFC 791) inside an Ethernet frame. */

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const MIN_IPV4_HEADER_BYTES = 20;

/**
 * Checks version and all lengths of the packet in the frame at `start`, without allocating.
 * @returns the header's length in bytes, 0 when the packet is malformed
 */
export function ipv4HeaderBytes(frame: Buffer, start: number, end: number): number {
  const at = start + ETHERNET_HEADER_BYTES;
  if (end - at < MIN_IPV4_HEADER_BYTES || frame[at]! >>> 4 !== 4) return 0;
  const headerBytes = (frame[at]! & 15) * 4;
  const totalBytes = readUint16(frame, at + 2);
  return headerBytes < MIN_IPV4_HEADER_BYTES || totalBytes < headerBytes || totalBytes > end - at ? 0 : headerBytes;
}

export interface Ipv4 {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  /** A piece of a larger packet: its ports can not be trusted, nor its checksum checked. */
  readonly fragment: boolean;
  readonly payload: Buffer;
}

/** @returns undefined when a length, the version or the header's checksum is wrong */
export function readIpv4(frame: Buffer, start = 0, end = frame.length): Ipv4 | undefined {
  const headerBytes = ipv4HeaderBytes(frame, start, end);
  if (headerBytes === 0) return undefined;
  const at = start + ETHERNET_HEADER_BYTES;
  if (checksum(frame.subarray(at, at + headerBytes)) !== 0) return undefined;
  return {
    source: readUint32(frame, at + 12),
    destination: readUint32(frame, at + 16),
    protocol: frame[at + 9]!,
    fragment: (readUint16(frame, at + 6) & 0x3fff) !== 0, // more-fragments bit and offset
    payload: frame.subarray(at + headerBytes, at + readUint16(frame, at + 2)),
  };
}

/** The Internet checksum (RFC 1071); over data that includes a right checksum it is 0. */
export function checksum(data: Buffer, initial = 0): number {
  let sum = initial;
  const even = data.length & ~1;
  for (let i = 0; i < even; i += 2) sum += (data[i]! << 8) | data[i + 1]!;
  if (even !== data.length) sum += data[even]! << 8;
  while (sum > 0xffff) sum = (sum % 0x1_0000) + Math.floor(sum / 0x1_0000);
  return ~sum & 0xffff;
}

/** The start of a sum over the pseudo header of UDP (RFC 768), to be passed to `checksum`. */
export function pseudoHeaderSum(source: number, destination: number, protocol: number, bytes: number): number {
  return (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff) + protocol + bytes;
}

export interface Ends {
  readonly sourceMac: number;
  readonly destinationMac: number;
  readonly source: number;
  readonly destination: number;
}

export function ipv4Frame(ends: Ends, protocol: number, payload: Buffer): Buffer {
  const packet = Buffer.alloc(MIN_IPV4_HEADER_BYTES + payload.length);
  packet[0] = 0x45;
  packet.writeUInt16BE(packet.length, 2);
  packet.writeUInt16BE(0x4000, 6); // don't fragment: an answer is never larger than a frame
  packet[8] = 64;
  packet[9] = protocol;
  packet.writeUInt32BE(ends.source, 12);
  packet.writeUInt32BE(ends.destination, 16);
  packet.writeUInt16BE(checksum(packet.subarray(0, MIN_IPV4_HEADER_BYTES)), 10);
  payload.copy(packet, MIN_IPV4_HEADER_BYTES);
  return ethernetFrame(ends.destinationMac, ends.sourceMac, ETHERTYPE_IPV4, packet);
}

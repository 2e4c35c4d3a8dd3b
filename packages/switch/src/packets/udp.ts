import { readUint16 } from './ethernet.ts';
import { checksum6, ipv6Frame, type Ends6, type Ipv6Packet } from './ipv6.ts';
import { checksum, ipv4Frame, PROTOCOL_UDP, pseudoHeaderSum, type Ends, type Ipv4 } from './ipv4.ts';

/** UDP (RFC 768). */

export const UDP_HEADER_BYTES = 8;
/** What fits a frame of the usual MTU of 1,500 without fragments. */
export const MAX_UDP_PAYLOAD_BYTES = 1500 - 20 - UDP_HEADER_BYTES;
export const MAX_UDP6_PAYLOAD_BYTES = 1500 - 40 - UDP_HEADER_BYTES;

export interface Udp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** @returns undefined for fragments, wrong lengths and wrong checksums (0 says that there is none) */
export function readUdp(packet: Ipv4): Udp | undefined {
  if (packet.protocol !== PROTOCOL_UDP || packet.fragment) return undefined;
  const datagram = cut(packet.payload);
  if (datagram === undefined) return undefined;
  if (readUint16(datagram, 6) !== 0) {
    const pseudo = pseudoHeaderSum(packet.source, packet.destination, PROTOCOL_UDP, datagram.length);
    if (checksum(datagram, pseudo) !== 0) return undefined;
  }
  return fieldsOf(datagram);
}

/** @returns undefined for wrong lengths and checksums; in IPv6 there has to be one (RFC 8200 section 8.1) */
export function readUdp6(packet: Ipv6Packet): Udp | undefined {
  const datagram = packet.protocol === PROTOCOL_UDP ? cut(packet.payload) : undefined;
  if (datagram === undefined || readUint16(datagram, 6) === 0) return undefined;
  return checksum6(packet, PROTOCOL_UDP, datagram) === 0 ? fieldsOf(datagram) : undefined;
}

/** To the length that it says of itself. */
function cut(datagram: Buffer): Buffer | undefined {
  if (datagram.length < UDP_HEADER_BYTES) return undefined;
  const bytes = readUint16(datagram, 4);
  return bytes < UDP_HEADER_BYTES || bytes > datagram.length ? undefined : datagram.subarray(0, bytes);
}

function fieldsOf(datagram: Buffer): Udp {
  return {
    sourcePort: readUint16(datagram, 0),
    destinationPort: readUint16(datagram, 2),
    payload: datagram.subarray(UDP_HEADER_BYTES),
  };
}

export function udpFrame(ends: Ends, sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  const datagram = unsummed(sourcePort, destinationPort, payload);
  sum(datagram, checksum(datagram, pseudoHeaderSum(ends.source, ends.destination, PROTOCOL_UDP, datagram.length)));
  return ipv4Frame(ends, PROTOCOL_UDP, datagram);
}

export function udpFrame6(ends: Ends6, sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  const datagram = unsummed(sourcePort, destinationPort, payload);
  sum(datagram, checksum6(ends, PROTOCOL_UDP, datagram));
  return ipv6Frame(ends, PROTOCOL_UDP, datagram);
}

function unsummed(sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  const datagram = Buffer.alloc(UDP_HEADER_BYTES + payload.length);
  datagram.writeUInt16BE(sourcePort, 0);
  datagram.writeUInt16BE(destinationPort, 2);
  datagram.writeUInt16BE(datagram.length, 4);
  payload.copy(datagram, UDP_HEADER_BYTES);
  return datagram;
}

/** A sum of 0 is sent as all ones, for 0 means "not computed". */
function sum(datagram: Buffer, value: number): void {
  datagram.writeUInt16BE(value === 0 ? 0xffff : value, 6);
}

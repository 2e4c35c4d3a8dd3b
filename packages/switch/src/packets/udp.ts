import { readUint16 } from './ethernet.ts';
import { checksum, ipv4Frame, PROTOCOL_UDP, pseudoHeaderSum, type Ends, type Ipv4 } from './ipv4.ts';

/** UDP (RFC 768). */

export const UDP_HEADER_BYTES = 8;
/** What fits a frame of the usual MTU of 1,500 without fragments. */
export const MAX_UDP_PAYLOAD_BYTES = 1500 - 20 - UDP_HEADER_BYTES;

export interface Udp {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Buffer;
}

/** @returns undefined for fragments, wrong lengths and wrong checksums (0 says that there is none) */
export function readUdp(packet: Ipv4): Udp | undefined {
  const { payload: datagram } = packet;
  if (packet.protocol !== PROTOCOL_UDP || packet.fragment || datagram.length < UDP_HEADER_BYTES) return undefined;
  const bytes = readUint16(datagram, 4);
  if (bytes < UDP_HEADER_BYTES || bytes > datagram.length) return undefined;
  if (readUint16(datagram, 6) !== 0) {
    const pseudo = pseudoHeaderSum(packet.source, packet.destination, PROTOCOL_UDP, bytes);
    if (checksum(datagram.subarray(0, bytes), pseudo) !== 0) return undefined;
  }
  return {
    sourcePort: readUint16(datagram, 0),
    destinationPort: readUint16(datagram, 2),
    payload: datagram.subarray(UDP_HEADER_BYTES, bytes),
  };
}

export function udpFrame(ends: Ends, sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  const datagram = Buffer.alloc(UDP_HEADER_BYTES + payload.length);
  datagram.writeUInt16BE(sourcePort, 0);
  datagram.writeUInt16BE(destinationPort, 2);
  datagram.writeUInt16BE(datagram.length, 4);
  payload.copy(datagram, UDP_HEADER_BYTES);
  const sum = checksum(datagram, pseudoHeaderSum(ends.source, ends.destination, PROTOCOL_UDP, datagram.length));
  // A sum of 0 is sent as all ones, for 0 means "not computed".
  datagram.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return ipv4Frame(ends, PROTOCOL_UDP, datagram);
}

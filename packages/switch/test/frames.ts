import { checksum, ipv4Frame, PROTOCOL_ICMP, PROTOCOL_TCP, pseudoHeaderSum } from '../src/packets/ipv4.ts';
import { ends } from './support.ts';

/** Frames by hand, for what the switch itself never makes. */

export interface Station {
  readonly mac: string;
  readonly address: string;
}

export const SYN = 2;
export const ACK = 16;
export const FIN = 1;

export function tcp(
  from: Station,
  to: Station,
  options: { sourcePort?: number; port?: number; flags?: number } = {},
): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(options.sourcePort ?? 40_000, 0);
  segment.writeUInt16BE(options.port ?? 80, 2);
  segment[12] = 0x50;
  segment[13] = options.flags ?? SYN;
  segment.writeUInt16BE(64_000, 14);
  const between = ends(from, to);
  // Real machines drop what has none.
  const pseudo = pseudoHeaderSum(between.source, between.destination, PROTOCOL_TCP, segment.length);
  segment.writeUInt16BE(checksum(segment, pseudo), 16);
  return ipv4Frame(between, PROTOCOL_TCP, segment);
}

/** An echo request (8) or reply (0), or an error of type 3, 11 or 12 about a frame of ours. */
export function icmp(from: Station, to: Station, type: number, about: Buffer | number = 0x1234): Buffer {
  const head = Buffer.alloc(8);
  head[0] = type;
  if (typeof about === 'number') head.writeUInt16BE(about, 4);
  const message = typeof about === 'number' ? head : Buffer.concat([head, about.subarray(14, 14 + 28)]);
  message.writeUInt16BE(checksum(message), 2);
  return ipv4Frame(ends(from, to), PROTOCOL_ICMP, message);
}

/** A piece of the packet in `frame`: `bytes` from `offset` on, as a router cuts them. */
export function piece(frame: Buffer, offset: number, bytes: number, options: { more: boolean; id?: number }): Buffer {
  const head = Buffer.from(frame.subarray(0, 34));
  const data = frame.subarray(34 + offset, 34 + offset + bytes);
  head.writeUInt16BE(20 + data.length, 16);
  head.writeUInt16BE(options.id ?? 7, 18);
  head.writeUInt16BE((offset / 8) | (options.more ? 0x2000 : 0), 20);
  return withHeaderChecksum(Buffer.concat([head, data]));
}

/** The frame with options in its IPv4 header; their length is a multiple of four. */
export function withIpOptions(frame: Buffer, options: Buffer): Buffer {
  const whole = Buffer.concat([frame.subarray(0, 34), options, frame.subarray(34)]);
  whole[14] = 0x40 | (5 + options.length / 4);
  whole.writeUInt16BE(whole.length - 14, 16);
  return withHeaderChecksum(whole);
}

export function withHeaderChecksum(frame: Buffer): Buffer {
  const headerBytes = (frame[14]! & 15) * 4;
  frame.writeUInt16BE(0, 24);
  let sum = 0;
  for (let at = 14; at < 14 + headerBytes; at += 2) sum += frame.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  frame.writeUInt16BE(~sum & 0xffff, 24);
  return frame;
}

/** The frame with a tag; `vlan` may have priority bits above the lowest twelve. */
export function tagged(frame: Buffer, vlan: number, type = 0x8100): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(vlan, 2);
  return Buffer.concat([frame.subarray(0, 12), head, frame.subarray(12)]);
}

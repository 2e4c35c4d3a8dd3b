import { parseIpv4, parseMac } from '../src/address.ts';
import type { Segment, SegmentPort } from '../src/config.ts';
import { ethernetFrame, ETHERTYPE_ARP } from '../src/packets/ethernet.ts';
import type { Ends } from '../src/packets/ipv4.ts';
import { udpFrame } from '../src/packets/udp.ts';

/** Bytes from hexadecimal text; what follows a # on a line is a comment. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/#.*$/gm, '').replace(/\s+/g, ''), 'hex');
}

/** @returns how many bits of them differ; Infinity: they are not of one length */
export function damagedBits(a: Buffer, b: Buffer): number {
  if (a.length !== b.length) return Infinity;
  let bits = 0;
  for (let i = 0; i < a.length; i += 1) for (let rest = a[i]! ^ b[i]!; rest !== 0; rest &= rest - 1) bits += 1;
  return bits;
}

export const GATEWAY_MAC = '52:55:0a:d5:04:01';
export const WEB = { mac: '02:00:00:00:00:0a', address: '10.213.4.10' };
export const DB = { mac: '02:00:00:00:00:0b', address: '10.213.4.11' };

export function segmentPort(
  id: string,
  station: { mac: string; address: string },
  more: Partial<SegmentPort> = {},
): SegmentPort {
  return {
    id,
    socketPath: `/run/${id}`,
    mac: station.mac,
    addresses: [station.address],
    names: [id],
    linkUp: true,
    ...more,
  };
}

/** web and db, with a way out; `more` replaces what it names. */
export function segment(more: Partial<Segment> = {}): Segment {
  return {
    id: 'shop',
    subnet: '10.213.4.0/24',
    gateway: '10.213.4.1',
    gatewayMac: GATEWAY_MAC,
    domain: 'shop.internal',
    egress: { socketPath: '/run/egress' },
    hostAddresses: ['192.0.2.2', '10.213.0.0/16'],
    upstreamDns: ['192.0.2.53'],
    ports: [segmentPort('web', WEB), segmentPort('db', DB)],
    ...more,
  };
}

export function mac(text: string): number {
  return parseMac(text)!;
}

export function ip(text: string): number {
  return parseIpv4(text)!;
}

export function ends(source: { mac: string; address: string }, destination: { mac: string; address: string }): Ends {
  return {
    sourceMac: mac(source.mac),
    destinationMac: mac(destination.mac),
    source: ip(source.address),
    destination: ip(destination.address),
  };
}

/** A UDP frame from one of the stations to another or, by the gateway's MAC, to anywhere. */
export function udp(
  source: { mac: string; address: string },
  destination: { mac: string; address: string },
  options: { sourcePort?: number; port?: number; payload?: Buffer } = {},
): Buffer {
  return udpFrame(
    ends(source, destination),
    options.sourcePort ?? 40_000,
    options.port ?? 9,
    options.payload ?? Buffer.from('hi'),
  );
}

export function arp(options: {
  operation: number;
  senderMac: string;
  sender: string;
  target: string;
  from?: string;
  to?: string;
}): Buffer {
  const payload = Buffer.alloc(28);
  payload.writeUInt32BE(0x0001_0800, 0);
  payload.writeUInt16BE(0x0604, 4);
  payload.writeUInt16BE(options.operation, 6);
  payload.writeUIntBE(mac(options.senderMac), 8, 6);
  payload.writeUInt32BE(ip(options.sender), 14);
  payload.writeUInt32BE(ip(options.target), 24);
  return ethernetFrame(
    mac(options.to ?? 'ff:ff:ff:ff:ff:ff'),
    mac(options.from ?? options.senderMac),
    ETHERTYPE_ARP,
    payload,
  );
}

/** A discover (1), whose answer everybody is to hear, or an offer (2). */
export function dhcp({ mac: client }: { readonly mac: string }, type: 1 | 2): Buffer {
  const message = Buffer.alloc(300);
  message.set([type, 1, 6]);
  message.writeUInt16BE(0x8000, 10);
  message.writeUIntBE(mac(client), 28, 6);
  message.writeUInt32BE(0x6382_5363, 236);
  message.set([53, 1, type, 255], 240);
  return message;
}

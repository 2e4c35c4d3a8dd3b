import type { Cidr6, Ipv6 } from '../address6.ts';
import { writeMac } from './ethernet.ts';
import { checksum6, ipv6Frame, PROTOCOL_ICMPV6, type Ends6, type Ipv6Packet } from './ipv6.ts';

/** ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861). */

export const DHCP6_CLIENT_PORT = 546; // RFC 8415 section 7.2
export const DHCP6_SERVER_PORT = 547;

const ECHO = 128;
const ECHO_REPLY = 129;
const HEADER_BYTES = 8;

export const ND = {
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighbourSolicitation: 135,
  neighbourAdvertisement: 136,
  redirect: 137,
  /** Of groups that it listens to: MLDv2 (RFC 3810). */
  listener: 143,
} as const;

export const ALL_NODES: Ipv6 = [0xff02_0000, 0, 0, 1];
export const ALL_NODES_MAC = 0x3333_0000_0001;

const OWN_LINK = 255;
const OPTION_SOURCE = 1;
const OPTION_TARGET = 2;
const OPTION_PREFIX = 3;
const OPTION_MTU = 5;
const OPTION_DNS = 25; // RFC 8106

const ROUTER = 0x80;
const SOLICITED_OVERRIDE = 0x60;
const ON_LINK_AND_AUTONOMOUS = 0xc0;
/** RFC 4861 section 6.2.1: thirty days, seven of which new connections use it. */
const VALID_SECONDS = 30 * 24 * 3600;
const PREFERRED_SECONDS = 7 * 24 * 3600;

export function isNeighbourDiscovery(type: number): boolean {
  return type >= ND.routerSolicitation && type <= ND.redirect;
}

/** @returns the message that answers an echo request; undefined when the packet is no sound one */
export function echoReply6(packet: Ipv6Packet): Buffer | undefined {
  const { payload: message } = packet;
  if (packet.protocol !== PROTOCOL_ICMPV6 || message.length < HEADER_BYTES) return undefined;
  if (message[0] !== ECHO || message[1] !== 0 || checksum6(packet, PROTOCOL_ICMPV6, message) !== 0) return undefined;
  const reply = Buffer.from(message);
  reply[0] = ECHO_REPLY;
  return reply;
}

/** Says that `target` is at the sender's MAC. */
export function neighbourAdvertisement(target: Ipv6, mac: number, isRouter: boolean): Buffer {
  const message = Buffer.alloc(24);
  message[0] = ND.neighbourAdvertisement;
  message[4] = SOLICITED_OVERRIDE | (isRouter ? ROUTER : 0);
  writeAddress(message, 8, target);
  return Buffer.concat([message, linkLayerOption(OPTION_TARGET, mac)]);
}

export interface Advertised {
  readonly mac: number;
  readonly mtu: number;
  readonly prefix: Cidr6;
  readonly dns: Ipv6;
  readonly dnsSeconds: number;
  /** How long it is a way out; 0: it leads nowhere. */
  readonly routerSeconds: number;
}

/** On a link where addresses are made from the prefix and MACs. */
export function routerAdvertisement(advertised: Advertised): Buffer {
  const message = Buffer.alloc(16);
  message[0] = ND.routerAdvertisement;
  message[4] = 64; // hop limit
  message.writeUInt16BE(advertised.routerSeconds, 6);
  const mtu = Buffer.from([OPTION_MTU, 1, 0, 0, 0, 0, 0, 0]);
  mtu.writeUInt32BE(advertised.mtu, 4);
  const prefix = Buffer.alloc(32);
  prefix.set([OPTION_PREFIX, 4, advertised.prefix.prefix, ON_LINK_AND_AUTONOMOUS]);
  prefix.writeUInt32BE(VALID_SECONDS, 4);
  prefix.writeUInt32BE(PREFERRED_SECONDS, 8);
  writeAddress(prefix, 16, advertised.prefix.base);
  const dns = Buffer.alloc(24);
  dns.set([OPTION_DNS, 3]);
  dns.writeUInt32BE(advertised.dnsSeconds, 4);
  writeAddress(dns, 8, advertised.dns);
  return Buffer.concat([message, linkLayerOption(OPTION_SOURCE, advertised.mac), mtu, prefix, dns]);
}

/** @param message its checksum is written here. The hop limit shows that it comes from this link. */
export function icmp6Frame(ends: Ends6, message: Buffer): Buffer {
  message.writeUInt16BE(0, 2);
  message.writeUInt16BE(checksum6(ends, PROTOCOL_ICMPV6, message), 2);
  return ipv6Frame(ends, PROTOCOL_ICMPV6, message, OWN_LINK);
}

function linkLayerOption(kind: number, mac: number): Buffer {
  const option = Buffer.alloc(8);
  option.set([kind, 1]);
  writeMac(option, 2, mac);
  return option;
}

function writeAddress(buffer: Buffer, at: number, address: Ipv6): void {
  for (const [i, word] of address.entries()) buffer.writeUInt32BE(word, at + 4 * i);
}

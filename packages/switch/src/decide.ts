import { inCidr, type Cidr } from './address.ts';
import { ARP_REQUEST, isArp } from './packets/arp.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from './packets/dhcp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  readMac,
  readUint16,
  readUint32,
} from './packets/ethernet.ts';
import { ipv4HeaderBytes, PROTOCOL_ICMP, PROTOCOL_UDP } from './packets/ipv4.ts';
import type { PortEntry, SegmentTable } from './table.ts';

/**
 * What happens to a frame, decided without allocating and without I/O. A verdict is a number: the index of the one
 * port that gets the frame (>= 0), one of VERDICT, or a DROP with its reason.
 */
export type Verdict = number;

export const VERDICT = { flood: -1, egress: -2, arp: -3, icmp: -4, dns: -5, dhcp: -6 } as const;

export const DROP_REASONS = [
  'malformed',
  'link-down',
  'foreign-mac',
  'foreign-arp',
  'foreign-address',
  'rogue-dhcp',
  /** Neither IPv4 nor ARP. IPv6 is not carried: its announcements could not be checked against the table. */
  'other-protocol',
  /** To the host, or to addresses that are never routed. */
  'host',
  /** Outside, from a segment without a way out. */
  'isolated',
  /** To the gateway, which has nothing to say to it. */
  'unanswered',
  'dns-limit',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const FIRST_DROP = -16;

export function drop(reason: DropReason): Verdict {
  return FIRST_DROP - DROP_REASONS.indexOf(reason);
}

/** @returns the index into DROP_REASONS, or -1 when the verdict is no drop */
export function dropIndex(verdict: Verdict): number {
  return verdict <= FIRST_DROP ? FIRST_DROP - verdict : -1;
}

const MALFORMED = drop('malformed');
const LINK_DOWN = drop('link-down');
const FOREIGN_MAC = drop('foreign-mac');
const FOREIGN_ARP = drop('foreign-arp');
const FOREIGN_ADDRESS = drop('foreign-address');
const ROGUE_DHCP = drop('rogue-dhcp');
const OTHER_PROTOCOL = drop('other-protocol');
const HOST = drop('host');
const ISOLATED = drop('isolated');
const UNANSWERED = drop('unanswered');

/** A frame from a guest: `buffer[start..end)`, without its length prefix. The guest is hostile. */
export function decide(table: SegmentTable, port: PortEntry, buffer: Buffer, start: number, end: number): Verdict {
  if (end - start < ETHERNET_HEADER_BYTES) return MALFORMED;
  if (!port.linkUp) return LINK_DOWN;
  if (readMac(buffer, start + 6) !== port.mac) return FOREIGN_MAC;
  switch (readUint16(buffer, start + 12)) {
    case ETHERTYPE_IPV4:
      return decideIpv4(table, port, buffer, start, end);
    case ETHERTYPE_ARP:
      return decideArp(table, port, buffer, start, end);
    default:
      return OTHER_PROTOCOL;
  }
}

function decideArp(table: SegmentTable, port: PortEntry, buffer: Buffer, start: number, end: number): Verdict {
  if (!isArp(buffer, start, end)) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  const request = readUint16(buffer, at + 6) === ARP_REQUEST;
  const sender = readUint32(buffer, at + 14);
  if (readMac(buffer, at + 8) !== port.mac) return FOREIGN_ARP;
  // A request from 0.0.0.0 asks whether an address is taken (RFC 5227 section 2.1.1), and claims nothing.
  if (!port.addresses.includes(sender) && !(sender === 0 && request)) return FOREIGN_ARP;
  if (request && readUint32(buffer, at + 24) === table.gateway) return VERDICT.arp;
  return toStation(table, port, readMac(buffer, start));
}

function decideIpv4(table: SegmentTable, port: PortEntry, buffer: Buffer, start: number, end: number): Verdict {
  const headerBytes = ipv4HeaderBytes(buffer, start, end);
  if (headerBytes === 0) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  const protocol = buffer[at + 9]!;
  const destination = readUint32(buffer, at + 16);
  let destinationPort = -1;
  // The first fragment has the ports; the others are nothing without it.
  if (protocol === PROTOCOL_UDP && (readUint16(buffer, at + 6) & 0x1fff) === 0) {
    if (readUint16(buffer, at + 2) < headerBytes + 8) return MALFORMED;
    if (readUint16(buffer, at + headerBytes) === DHCP_SERVER_PORT) return ROGUE_DHCP;
    destinationPort = readUint16(buffer, at + headerBytes + 2);
  }
  const source = readUint32(buffer, at + 12);
  if (!port.addresses.includes(source)) {
    const dhcp = source === 0 && destinationPort === DHCP_SERVER_PORT;
    if (!dhcp || readUint16(buffer, at + headerBytes) !== DHCP_CLIENT_PORT) return FOREIGN_ADDRESS;
  }
  // DHCP is answered here and nowhere else, whatever address it goes to.
  if (destinationPort === DHCP_SERVER_PORT) return VERDICT.dhcp;
  const station = readMac(buffer, start);
  if (station !== table.gatewayMac) return toStation(table, port, station);
  if (destination === table.gateway) {
    if (protocol === PROTOCOL_ICMP) return VERDICT.icmp;
    return destinationPort === 53 ? VERDICT.dns : HOST;
  }
  if (isBlocked(table.blocked, destination)) return HOST;
  return table.egress ? VERDICT.egress : ISOLATED;
}

/**
 * A frame from the way out: `buffer[start..end)`. slirp asks by ARP for guests, and sends them packets of the outside;
 * anything that seems to come from the segment itself is dropped.
 */
export function decideFromEgress(table: SegmentTable, buffer: Buffer, start: number, end: number): Verdict {
  if (end - start < ETHERNET_HEADER_BYTES) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  switch (readUint16(buffer, start + 12)) {
    case ETHERTYPE_IPV4: {
      if (ipv4HeaderBytes(buffer, start, end) === 0) return MALFORMED;
      if (inCidr(table.subnet, readUint32(buffer, at + 12))) return FOREIGN_ADDRESS;
      const to = table.byMac.get(readMac(buffer, start));
      if (to === undefined || !to.addresses.includes(readUint32(buffer, at + 16))) return UNANSWERED;
      return to.linkUp ? to.index : LINK_DOWN;
    }
    case ETHERTYPE_ARP: {
      if (!isArp(buffer, start, end)) return MALFORMED;
      const request = readUint16(buffer, at + 6) === ARP_REQUEST;
      return request && table.byAddress.has(readUint32(buffer, at + 24)) ? VERDICT.arp : UNANSWERED;
    }
    default:
      return OTHER_PROTOCOL;
  }
}

function toStation(table: SegmentTable, port: PortEntry, station: number): Verdict {
  if (station === table.gatewayMac) return UNANSWERED;
  const to = table.byMac.get(station);
  if (to === undefined) return VERDICT.flood; // a group, or nobody that we know
  if (to === port) return UNANSWERED;
  return to.linkUp ? to.index : LINK_DOWN;
}

function isBlocked(ranges: readonly Cidr[], address: number): boolean {
  for (const range of ranges) if (inCidr(range, address)) return true;
  return false;
}

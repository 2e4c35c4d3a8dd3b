import { inCidr, type Cidr } from './address.ts';
import { ARP_REQUEST, isArp } from './packets/arp.ts';
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from './packets/dhcp.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  ETHERTYPE_VLAN,
  readMac,
  readUint16,
  readUint32,
} from './packets/ethernet.ts';
import { ipv4HeaderBytes, MIN_IPV4_HEADER_BYTES, PROTOCOL_ICMP, PROTOCOL_UDP } from './packets/ipv4.ts';
import { decideIpv6, decideIpv6FromEgress } from './decide6.ts';
import { isTrunkRouter, toStation } from './station.ts';
import type { PortEntry, SegmentTable } from './table.ts';
import { FIRST_CLIENT_PORT } from './udp-clients.ts';
import { UNTAGGED } from './vlan.ts';
import {
  FOREIGN_ADDRESS,
  FOREIGN_ARP,
  FOREIGN_MAC,
  HOST,
  ISOLATED,
  LINK_DOWN,
  MALFORMED,
  OTHER_PROTOCOL,
  ROGUE_DHCP,
  ROGUE_ROUTER,
  SOURCE_ROUTE,
  TOO_BIG,
  UNANSWERED,
  VLAN,
  VERDICT,
  type Verdict,
} from './verdict.ts';

/** What happens to a frame from a guest, and to one from the way out. */

/**
 * A frame from a guest: `buffer[start..end)`, without its length prefix and without a tag. The guest is hostile.
 * @param vlan that it came in; the gateway and all beyond it are in the untagged one, 0
 */
export function decide(
  table: SegmentTable,
  port: PortEntry,
  buffer: Buffer,
  start: number,
  end: number,
  vlan = UNTAGGED,
): Verdict {
  if (end - start < ETHERNET_HEADER_BYTES) return MALFORMED;
  if (end - start > table.maxFrameBytes) return TOO_BIG;
  if (!port.linkUp) return LINK_DOWN;
  if (readMac(buffer, start + 6) !== port.mac) return FOREIGN_MAC;
  switch (readUint16(buffer, start + 12)) {
    case ETHERTYPE_IPV4:
      return decideIpv4(table, port, buffer, start, end, vlan);
    case ETHERTYPE_IPV6:
      return decideIpv6(table, port, buffer, start, end, vlan);
    case ETHERTYPE_ARP:
      return decideArp(table, port, buffer, start, end, vlan);
    case ETHERTYPE_VLAN:
      return VLAN;
    default:
      return OTHER_PROTOCOL;
  }
}

function decideArp(
  table: SegmentTable,
  port: PortEntry,
  buffer: Buffer,
  start: number,
  end: number,
  vlan: number,
): Verdict {
  if (!isArp(buffer, start, end)) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  const request = readUint16(buffer, at + 6) === ARP_REQUEST;
  const sender = readUint32(buffer, at + 14);
  if (readMac(buffer, at + 8) !== port.mac) return FOREIGN_ARP;
  // A request from 0.0.0.0 asks whether an address is taken (RFC 5227 section 2.1.1), and claims nothing.
  if (!port.addresses.includes(sender) && !(sender === 0 && request) && !isTrunkRouter(port, vlan)) return FOREIGN_ARP;
  if (vlan === UNTAGGED && request && readUint32(buffer, at + 24) === table.gateway) return VERDICT.arp;
  return toStation(table, port, readMac(buffer, start), vlan);
}

function decideIpv4(
  table: SegmentTable,
  port: PortEntry,
  buffer: Buffer,
  start: number,
  end: number,
  vlan: number,
): Verdict {
  const headerBytes = ipv4HeaderBytes(buffer, start, end);
  if (headerBytes === 0) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  if (headerBytes > MIN_IPV4_HEADER_BYTES && isSourceRouted(buffer, at, headerBytes)) return SOURCE_ROUTE;
  const protocol = buffer[at + 9]!;
  const destination = readUint32(buffer, at + 16);
  let destinationPort = -1;
  // The first fragment has the ports; the others are nothing without it.
  if (protocol === PROTOCOL_UDP && (readUint16(buffer, at + 6) & 0x1fff) === 0) {
    if (readUint16(buffer, at + 2) < headerBytes + 8) return MALFORMED;
    if (readUint16(buffer, at + headerBytes) === DHCP_SERVER_PORT) return ROGUE_DHCP;
    destinationPort = readUint16(buffer, at + headerBytes + 2);
    // Clients look at the port that it goes to only.
    if (destinationPort === DHCP_CLIENT_PORT) return ROGUE_DHCP;
    if (destinationPort === DHCP_SERVER_PORT && !port.router && !isOwnRequest(port, buffer, at, headerBytes, end))
      return ROGUE_DHCP;
  }
  if (protocol === PROTOCOL_ICMP && !port.router && isRouting(buffer, at, headerBytes)) return ROGUE_ROUTER;
  const source = readUint32(buffer, at + 12);
  const own = port.addresses.includes(source);
  if (!own && !(port.router && mayBeRouted(table, source))) {
    const dhcp = source === 0 && destinationPort === DHCP_SERVER_PORT;
    if (!dhcp || readUint16(buffer, at + headerBytes) !== DHCP_CLIENT_PORT) return FOREIGN_ADDRESS;
  }
  const station = readMac(buffer, start);
  if (vlan !== UNTAGGED) return toStation(table, port, station, vlan);
  // DHCP is answered here and nowhere else, whatever address it goes to.
  if (destinationPort === DHCP_SERVER_PORT) return VERDICT.dhcp;
  if (station !== table.gatewayMac) return toStation(table, port, station, vlan);
  if (destination === table.gateway) {
    if (protocol === PROTOCOL_ICMP) return VERDICT.icmp;
    if (destinationPort === 53) return VERDICT.dns;
    return table.forwards && destinationPort >= FIRST_CLIENT_PORT ? VERDICT.forward : HOST;
  }
  if (isBlocked(table.blocked, destination)) return HOST;
  // Answers would not find the way: slirp asks for the address, and a router has one (it can masquerade).
  if (!own) return FOREIGN_ADDRESS;
  return table.egress ? VERDICT.egress : ISOLATED;
}

/** Of DHCP, whole: a server knows a client by the MAC inside (RFC 2131 section 2, `chaddr`), and would take another's address back. */
function isOwnRequest(port: PortEntry, buffer: Buffer, at: number, headerBytes: number, end: number): boolean {
  const client = at + headerBytes + 8 + 28;
  const isPiece = (readUint16(buffer, at + 6) & 0x3fff) !== 0;
  return !isPiece && client + 6 <= end && readMac(buffer, client) === port.mac;
}

/** Redirects (RFC 792) and announcements of routers (RFC 1256): they change where others send. */
function isRouting(buffer: Buffer, at: number, headerBytes: number): boolean {
  if ((readUint16(buffer, at + 6) & 0x1fff) !== 0 || readUint16(buffer, at + 2) <= headerBytes) return false;
  const type = buffer[at + headerBytes]!;
  return type === 5 || type === 9;
}

/** What a router may pass on: anything that can be a station's, but never as if it came from the gateway. */
function mayBeRouted(table: SegmentTable, source: number): boolean {
  const first = source >>> 24;
  return source !== table.gateway && first !== 0 && first !== 127 && first < 224;
}

/** Loose and strict source routes: options 131 and 137 (RFC 791 section 3.1). */
function isSourceRouted(buffer: Buffer, at: number, headerBytes: number): boolean {
  for (let option = at + MIN_IPV4_HEADER_BYTES; option < at + headerBytes;) {
    const kind = buffer[option]!;
    if (kind === 0) return false;
    if (kind === 131 || kind === 137) return true;
    const bytes = kind === 1 ? 1 : (buffer[option + 1] ?? 0);
    // Options that can't be followed are not trusted to be harmless.
    if (bytes < 1 || (kind !== 1 && bytes < 2)) return true;
    option += bytes;
  }
  return false;
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
      if (to?.vlan !== UNTAGGED || !to.addresses.includes(readUint32(buffer, at + 16))) return UNANSWERED;
      return to.linkUp ? to.index : LINK_DOWN;
    }
    case ETHERTYPE_ARP: {
      if (!isArp(buffer, start, end)) return MALFORMED;
      const request = readUint16(buffer, at + 6) === ARP_REQUEST;
      const of = table.byAddress.get(readUint32(buffer, at + 24));
      return request && of?.vlan === UNTAGGED ? VERDICT.arp : UNANSWERED;
    }
    case ETHERTYPE_IPV6:
      return decideIpv6FromEgress(table, buffer, start, end);
    default:
      return OTHER_PROTOCOL;
  }
}

function isBlocked(ranges: readonly Cidr[], address: number): boolean {
  for (const range of ranges) if (inCidr(range, address)) return true;
  return false;
}

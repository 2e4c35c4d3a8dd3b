import { formatIpv6, inCidr6, parseCidr6, type Cidr6, type Ipv6 } from './address6.ts';
import { ETHERNET_HEADER_BYTES, readMac, readUint16, readUint32 } from './packets/ethernet.ts';
import { DHCP6_CLIENT_PORT, DHCP6_SERVER_PORT, ND, isNeighbourDiscovery } from './packets/icmp6.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './packets/ipv4.ts';
import { noUpperLayer, PROTOCOL_ICMPV6, readIpv6Address, readUpperLayer, type UpperLayer } from './packets/ipv6.ts';
import { isTrunkRouter, toStation } from './station.ts';
import type { PortEntry, SegmentTable } from './table.ts';
import {
  FOREIGN_ADDRESS,
  FOREIGN_ND,
  HOST,
  ISOLATED,
  LINK_DOWN,
  MALFORMED,
  OTHER_PROTOCOL,
  ROGUE_DHCP,
  ROGUE_ROUTER,
  SOURCE_ROUTE,
  UNANSWERED,
  VERDICT,
  type Verdict,
} from './verdict.ts';
import { UNTAGGED } from './vlan.ts';

/** What happens to IPv6 of a guest. */

/** Nothing to object to. */
const SOUND: Verdict = 0;

/**
 * What may lie behind the headers: TCP, UDP, GRE, ESP, ICMPv6, OSPF, PIM, VRRP, SCTP, UDP-Lite. Anything else could be one
 * more header, with something forbidden behind it (RFC 7045 section 2.1).
 */
const UPPER_LAYERS = new Set([PROTOCOL_TCP, PROTOCOL_UDP, 47, 50, PROTOCOL_ICMPV6, 89, 103, 112, 132, 136]);

const MIN_TCP_BYTES = 20;
const MIN_OTHER_BYTES = 8;

/** Neighbour discovery counts only if no router has passed it on (RFC 4861 section 6.1). */
const OWN_LINK = 255;

/** Of ICMPv6; those below tell of errors (RFC 4443 section 2.1). */
const FIRST_INFORMATIONAL = 128;

/** One packet is looked at at a time. */
const upper = noUpperLayer();

export function decideIpv6(
  table: SegmentTable,
  port: PortEntry,
  buffer: Buffer,
  start: number,
  end: number,
  vlan: number,
): Verdict {
  const { ipv6 } = table;
  if (ipv6 === undefined) return OTHER_PROTOCOL;
  readUpperLayer(buffer, start, end, upper);
  if (upper.protocol < 0) return MALFORMED;
  if (upper.routed) return SOURCE_ROUTE;
  if (!UPPER_LAYERS.has(upper.protocol)) return OTHER_PROTOCOL;
  const at = start + ETHERNET_HEADER_BYTES;
  // Later pieces are nothing without the first one, which has all headers (RFC 7112).
  const whole = upper.fragmentOffset === 0;
  if (whole && upper.end - upper.at < (upper.protocol === PROTOCOL_TCP ? MIN_TCP_BYTES : MIN_OTHER_BYTES)) {
    return MALFORMED;
  }
  const isUdp = whole && upper.protocol === PROTOCOL_UDP;
  const type = whole && upper.protocol === PROTOCOL_ICMPV6 ? buffer[upper.at]! : -1;
  const toPort = isUdp ? readUint16(buffer, upper.at + 2) : -1;
  if (toPort === DHCP6_CLIENT_PORT || (isUdp && readUint16(buffer, upper.at) === DHCP6_SERVER_PORT)) return ROGUE_DHCP;
  const unsourced = isUnspecified(buffer, at + 8);
  if (isNeighbourDiscovery(type)) {
    const sound = checkNeighbour(port, buffer, at, type, { unsourced, vlan }, upper);
    if (sound !== SOUND) return sound;
  }
  if (!isOneOf(port.addresses6, buffer, at + 8)) {
    // Who has no address yet asks for one, and says what it listens to (RFC 3810 section 5.2.13).
    const mayBeUnsourced = type === ND.neighbourSolicitation || type === ND.routerSolicitation || type === ND.listener;
    const allowed = unsourced ? mayBeUnsourced : port.router && mayBeRouted(ipv6.own, buffer, at + 8);
    if (!allowed) return FOREIGN_ADDRESS;
  }
  const station = readMac(buffer, start);
  if (vlan !== UNTAGGED) return toStation(table, port, station, vlan);
  if (type === ND.routerSolicitation) return VERDICT.rs;
  if (type === ND.neighbourSolicitation && isOneOf(ipv6.own, buffer, upper.at + 8)) return VERDICT.nd;
  // There is no such server here.
  if (toPort === DHCP6_SERVER_PORT) return UNANSWERED;
  if (station !== table.gatewayMac) return toStation(table, port, station, vlan);
  if (!isOneOf(ipv6.own, buffer, at + 24)) {
    if (!ipv6.egress) return ISOLATED;
    if (isBlocked(ipv6.blocked, readIpv6Address(buffer, at + 24))) return HOST;
    // Answers would not find the way: slirp asks for the address. Link-local ones are nothing beyond the link.
    return isOneOf(port.addresses6, buffer, at + 8) && !isLinkLocal(buffer, at + 8) ? VERDICT.egress : FOREIGN_ADDRESS;
  }
  if (upper.protocol === PROTOCOL_ICMPV6) return type === ND.neighbourAdvertisement ? UNANSWERED : VERDICT.icmp6;
  return toPort === 53 ? VERDICT.dns : HOST;
}

/**
 * An IPv6 frame from the way out. slirp looks for guests by neighbour discovery, announces itself as a router (which
 * nobody here is to hear: the gateway does that), and complains by ICMPv6 from a link-local address.
 */
export function decideIpv6FromEgress(table: SegmentTable, buffer: Buffer, start: number, end: number): Verdict {
  const { ipv6 } = table;
  if (ipv6?.egress !== true) return OTHER_PROTOCOL;
  readUpperLayer(buffer, start, end, upper);
  if (upper.protocol < 0) return MALFORMED;
  const at = start + ETHERNET_HEADER_BYTES;
  const type = upper.protocol === PROTOCOL_ICMPV6 && upper.fragmentOffset === 0 ? buffer[upper.at]! : -1;
  if (isNeighbourDiscovery(type)) {
    if (type !== ND.neighbourSolicitation || upper.end - upper.at < 24) return UNANSWERED;
    const of = ipv6.byAddress.get(formatIpv6(readIpv6Address(buffer, upper.at + 8)));
    return of?.vlan === UNTAGGED ? VERDICT.nd : UNANSWERED;
  }
  const isError = type >= 0 && type < FIRST_INFORMATIONAL;
  if (!isError && isBlocked(ipv6.blocked, readIpv6Address(buffer, at + 8))) return FOREIGN_ADDRESS;
  const to = table.byMac.get(readMac(buffer, start));
  if (to?.vlan !== UNTAGGED || !isOneOf(to.addresses6, buffer, at + 24)) return UNANSWERED;
  return to.linkUp ? to.index : LINK_DOWN;
}

function isBlocked(ranges: readonly Cidr6[], address: Ipv6): boolean {
  return ranges.some((range) => inCidr6(range, address));
}

function isLinkLocal(buffer: Buffer, at: number): boolean {
  return (readUint16(buffer, at) & 0xffc0) === 0xfe80;
}

/** Whether an ACL is not asked: without ARP and its like nothing could be said at all. The frame has been let through. */
export function isNeighbourTraffic(buffer: Buffer, start: number, end: number): boolean {
  readUpperLayer(buffer, start, end, upper);
  if (upper.protocol !== PROTOCOL_ICMPV6 || upper.fragment) return false;
  const type = buffer[upper.at]!;
  return isNeighbourDiscovery(type) || type === ND.listener;
}

/** Whether what it says of neighbours is about itself. */
function checkNeighbour(
  port: PortEntry,
  buffer: Buffer,
  at: number,
  type: number,
  { unsourced, vlan }: { readonly unsourced: boolean; readonly vlan: number },
  message: UpperLayer,
): Verdict {
  // Pieces could hide what it says (RFC 6980).
  if (message.fragment || buffer[at + 7] !== OWN_LINK || buffer[message.at + 1] !== 0) return MALFORMED;
  if (type === ND.routerAdvertisement || type === ND.redirect) return ROGUE_ROUTER;
  const optionsAt = message.at + (type === ND.routerSolicitation ? 8 : 24);
  if (optionsAt > message.end) return MALFORMED;
  // Who asks without an address asks whether one is free: of others' it would say that they are not.
  const claims = type === ND.neighbourAdvertisement || (type === ND.neighbourSolicitation && unsourced);
  if (claims && !isTrunkRouter(port, vlan) && !isOneOf(port.addresses6, buffer, message.at + 8)) return FOREIGN_ND;
  for (let option = optionsAt; option < message.end;) {
    const bytes = option + 8 <= message.end ? buffer[option + 1]! * 8 : 0;
    if (bytes === 0 || option + bytes > message.end) return MALFORMED;
    // The sender's or the target's link-layer address: both are its own.
    const kind = buffer[option]!;
    if ((kind === 1 || kind === 2) && (bytes !== 8 || readMac(buffer, option + 2) !== port.mac)) return FOREIGN_ND;
    option += bytes;
  }
  return SOUND;
}

function isUnspecified(buffer: Buffer, at: number): boolean {
  for (let word = 0; word < 16; word += 4) if (readUint32(buffer, at + word) !== 0) return false;
  return true;
}

function isOneOf(addresses: readonly Ipv6[], buffer: Buffer, at: number): boolean {
  const last = readUint32(buffer, at + 12);
  for (const address of addresses) {
    if (address[3] !== last || address[2] !== readUint32(buffer, at + 8)) continue;
    if (address[1] === readUint32(buffer, at + 4) && address[0] === readUint32(buffer, at)) return true;
  }
  return false;
}

/** Own to one link or machine, or an IPv4 address in disguise (RFC 4291 section 2.5, RFC 6890). */
const NEVER_ROUTED = ['::/8', 'fe80::/10', 'ff00::/8'].map((text) => parseCidr6(text)!);

/** What a router may pass on: anything that can be a station's elsewhere, but never as if it came from the gateway. */
function mayBeRouted(gateway: readonly Ipv6[], buffer: Buffer, at: number): boolean {
  const source = readIpv6Address(buffer, at);
  return !NEVER_ROUTED.some((range) => inCidr6(range, source)) && !isOneOf(gateway, buffer, at);
}

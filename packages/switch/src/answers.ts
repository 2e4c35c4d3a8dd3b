import { BROADCAST_IPV4, BROADCAST_MAC, formatIpv4, inCidr, parseIpv4 } from './address.ts';
import { arpReply, readArp } from './packets/arp.ts';
import { answerDhcp, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, readDhcpRequest } from './packets/dhcp.ts';
import {
  addressOfReverseName,
  dnsReply,
  RCODE,
  readDnsQuery,
  TYPE_A,
  TYPE_ANY,
  TYPE_PTR,
  type DnsQuery,
} from './packets/dns.ts';
import { readMac } from './packets/ethernet.ts';
import { echoReply } from './packets/icmp.ts';
import { ipv4Frame, PROTOCOL_ICMP, readIpv4, type Ends } from './packets/ipv4.ts';
import { readUdp, udpFrame } from './packets/udp.ts';
import type { PortEntry, SegmentTable } from './table.ts';

/** What the gateway itself says to guests. Pure: a frame in, a frame out; undefined: nothing to say. */

/** For guests: the gateway's MAC; for the way out: a guest's. */
export function answerArpFrame(table: SegmentTable, frame: Buffer): Buffer | undefined {
  const request = readArp(frame);
  if (request === undefined) return undefined;
  const mac =
    request.targetAddress === table.gateway ? table.gatewayMac : table.byAddress.get(request.targetAddress)?.mac;
  return mac === undefined ? undefined : arpReply(request, mac);
}

export function answerIcmpFrame(frame: Buffer): Buffer | undefined {
  const packet = readIpv4(frame);
  const reply = packet === undefined ? undefined : echoReply(packet);
  if (packet === undefined || reply === undefined) return undefined;
  return ipv4Frame(backwards(frame, packet.source, packet.destination), PROTOCOL_ICMP, reply);
}

export function answerDhcpFrame(table: SegmentTable, port: PortEntry, frame: Buffer): Buffer | undefined {
  const packet = readIpv4(frame);
  const datagram = packet === undefined ? undefined : readUdp(packet);
  const request = datagram === undefined ? undefined : readDhcpRequest(datagram.payload);
  if (request === undefined || request.clientMac !== port.mac || port.lease === undefined) return undefined;
  const reply = answerDhcp(request, port.lease);
  if (reply === undefined) return undefined;
  // A client without an address takes what is sent to its MAC; the flag says that it can't (RFC 2131 section 4.1).
  const broadcast = (request.flags & 0x8000) !== 0;
  const known = !broadcast && port.addresses.includes(request.clientAddress);
  const ends: Ends = {
    sourceMac: table.gatewayMac,
    destinationMac: broadcast ? BROADCAST_MAC : port.mac,
    source: table.gateway,
    destination: known ? request.clientAddress : BROADCAST_IPV4,
  };
  return udpFrame(ends, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply);
}

export interface DnsRequest {
  readonly query: DnsQuery;
  readonly message: Buffer;
  /** The frame that carries a DNS message back to who asked. */
  readonly reply: (message: Buffer) => Buffer;
}

export function readDnsFrame(frame: Buffer): DnsRequest | undefined {
  const packet = readIpv4(frame);
  const datagram = packet === undefined ? undefined : readUdp(packet);
  const query = datagram === undefined ? undefined : readDnsQuery(datagram.payload);
  if (packet === undefined || datagram === undefined || query === undefined) return undefined;
  const ends = backwards(frame, packet.source, packet.destination);
  return {
    query,
    message: datagram.payload,
    reply: (message) => udpFrame(ends, datagram.destinationPort, datagram.sourcePort, message),
  };
}

/** @returns our answer, or `forward` when the name is for others to know */
export function answerDns(table: SegmentTable, query: DnsQuery, message: Buffer): Buffer | 'forward' {
  const addresses = table.names.get(query.name);
  if (addresses !== undefined) {
    const wanted = query.type === TYPE_A || query.type === TYPE_ANY;
    // Any other type of a name that exists: no error and no record (RFC 2308 section 2.2), so that no one waits for AAAA.
    const records = wanted ? addresses.map((address) => ({ type: TYPE_A, address }) as const) : [];
    return dnsReply(query, message, { rcode: RCODE.ok, records, authoritative: true });
  }
  const reverse = addressOfReverseName(query.name);
  const address = reverse === undefined ? undefined : parseIpv4(reverse);
  if (reverse !== undefined && address !== undefined && inCidr(table.subnet, address)) {
    const name = table.reverse.get(formatIpv4(address));
    if (name === undefined) return noSuchName(query, message);
    const records = query.type === TYPE_PTR || query.type === TYPE_ANY ? [{ type: TYPE_PTR, name } as const] : [];
    return dnsReply(query, message, { rcode: RCODE.ok, records, authoritative: true });
  }
  if (table.domain !== undefined && (query.name === table.domain || query.name.endsWith(`.${table.domain}`))) {
    return noSuchName(query, message);
  }
  // A name without a dot is a machine of the segment or nothing: it is not told to the outside.
  if (query.name !== '' && !query.name.includes('.')) return noSuchName(query, message);
  return table.upstreamDns.length > 0 ? 'forward' : dnsReply(query, message, { rcode: RCODE.refused });
}

function noSuchName(query: DnsQuery, message: Buffer): Buffer {
  return dnsReply(query, message, { rcode: RCODE.noSuchName, authoritative: true });
}

function backwards(frame: Buffer, source: number, destination: number): Ends {
  return {
    sourceMac: readMac(frame, 0),
    destinationMac: readMac(frame, 6),
    source: destination,
    destination: source,
  };
}

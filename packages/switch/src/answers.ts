import { BROADCAST_IPV4, BROADCAST_MAC } from './address.ts';
import { backwards6 } from './answers6.ts';
import { arpReply, readArp } from './packets/arp.ts';
import type { DhcpLeases } from './dhcp-leases.ts';
import { answerDhcp, DHCP_CLIENT_PORT, DHCP_SERVER_PORT, readDhcpRequest } from './packets/dhcp.ts';
import { dnsReply, RCODE, readDnsQuery, type DnsQuery } from './packets/dns.ts';
import { ETHERTYPE_IPV6, readMac, readUint16 } from './packets/ethernet.ts';
import { readIpv6 } from './packets/ipv6.ts';
import { echoReply } from './packets/icmp.ts';
import { ipv4Frame, PROTOCOL_ICMP, readIpv4, type Ends } from './packets/ipv4.ts';
import { MAX_UDP6_PAYLOAD_BYTES, readUdp, readUdp6, udpFrame, udpFrame6 } from './packets/udp.ts';
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

/** @param leases of the segment's range, for ports that have no address of their own */
export function answerDhcpFrame(
  table: SegmentTable,
  port: PortEntry,
  frame: Buffer,
  leases?: DhcpLeases,
): Buffer | undefined {
  const packet = readIpv4(frame);
  const datagram = packet === undefined ? undefined : readUdp(packet);
  const request = datagram === undefined ? undefined : readDhcpRequest(datagram.payload);
  if (request === undefined || request.clientMac !== port.mac) return undefined;
  const fromRange = port.rangeLease === undefined ? undefined : leases?.answer(request, table.gateway);
  const lease = fromRange === undefined ? port.lease : { ...port.rangeLease!, address: fromRange };
  const reply = lease === undefined ? undefined : answerDhcp(request, lease);
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
  if (readUint16(frame, 12) === ETHERTYPE_IPV6) return readDnsFrame6(frame);
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

function readDnsFrame6(frame: Buffer): DnsRequest | undefined {
  const packet = readIpv6(frame);
  const datagram = packet === undefined ? undefined : readUdp6(packet);
  const query = datagram === undefined ? undefined : readDnsQuery(datagram.payload);
  if (packet === undefined || datagram === undefined || query === undefined) return undefined;
  const { payload: message, sourcePort, destinationPort } = datagram;
  return {
    query,
    message,
    reply: (answer) => {
      const fits = answer.length <= MAX_UDP6_PAYLOAD_BYTES;
      const fitting = fits ? answer : dnsReply(query, message, { rcode: RCODE.ok, truncated: true });
      return udpFrame6(backwards6(frame, packet), destinationPort, sourcePort, fitting);
    },
  };
}

function backwards(frame: Buffer, source: number, destination: number): Ends {
  return {
    sourceMac: readMac(frame, 0),
    destinationMac: readMac(frame, 6),
    source: destination,
    destination: source,
  };
}

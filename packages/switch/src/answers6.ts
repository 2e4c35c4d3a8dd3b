import {
  isNeighbourDiscovery,
  ALL_NODES,
  ALL_NODES_MAC,
  echoReply6,
  icmp6Frame,
  neighbourAdvertisement,
  routerAdvertisement,
} from './packets/icmp6.ts';
import { formatIpv6 } from './address6.ts';
import { readMac } from './packets/ethernet.ts';
import { PROTOCOL_ICMPV6, readIpv6, readIpv6Address, type Ends6, type Ipv6Packet } from './packets/ipv6.ts';
import type { SegmentTable } from './table.ts';

/** What the gateway says to guests in IPv6. Pure: a frame in, a frame out; undefined: nothing to say. */

export const ADVERTISE_INTERVAL_MS = 100_000;
/** RFC 8106 section 5.1: three times as long. */
const DNS_SECONDS = 300;
/** RFC 4861 section 6.2.1: three times the interval, too. */
const ROUTER_SECONDS = 300;

/** @param frame a solicitation for one of the gateway's addresses, or from the way out for one of a guest's */
export function answerNeighbourFrame(table: SegmentTable, frame: Buffer): Buffer | undefined {
  const packet = readIpv6(frame);
  if (packet?.protocol !== PROTOCOL_ICMPV6 || !isNeighbourDiscovery(packet.payload[0]!)) return undefined;
  if (packet.payload.length < 24) return undefined;
  const target = readIpv6Address(packet.payload, 8);
  const guest = table.ipv6?.byAddress.get(formatIpv6(target));
  const mac = guest?.mac ?? table.gatewayMac;
  const ends: Ends6 = {
    sourceMac: mac,
    destinationMac: readMac(frame, 6),
    source: target,
    destination: packet.source,
  };
  return icmp6Frame(ends, neighbourAdvertisement(target, mac, guest === undefined));
}

/** To all; solicited ones go to who has asked alone. */
export function advertisementFrame(table: SegmentTable): Buffer | undefined {
  const { ipv6, gatewayMac, mtu } = table;
  if (ipv6 === undefined) return undefined;
  const ends = {
    sourceMac: gatewayMac,
    destinationMac: ALL_NODES_MAC,
    source: ipv6.linkLocal,
    destination: ALL_NODES,
  };
  const { prefix, gateway: dns, egress } = ipv6;
  const routerSeconds = egress ? ROUTER_SECONDS : 0;
  const told = { mac: gatewayMac, mtu, prefix, dns, dnsSeconds: DNS_SECONDS, routerSeconds };
  return icmp6Frame(ends, routerAdvertisement(told));
}

export function answerEcho6Frame(frame: Buffer): Buffer | undefined {
  const packet = readIpv6(frame);
  const reply = packet === undefined ? undefined : echoReply6(packet);
  return packet === undefined || reply === undefined ? undefined : icmp6Frame(backwards6(frame, packet), reply);
}

export function backwards6(frame: Buffer, packet: Ipv6Packet): Ends6 {
  return {
    sourceMac: readMac(frame, 0),
    destinationMac: readMac(frame, 6),
    source: packet.destination,
    destination: packet.source,
  };
}

import { formatIpv4, inCidr, lastAddress, parseCidr, parseIpv4, parseMac, type Cidr } from './address.ts';
import type { Segment, SegmentPort } from './config.ts';
import type { Lease } from './packets/dhcp.ts';

/** A segment's configuration turned into what the hot path looks things up in. Immutable: a sync makes a new one. */

export interface PortEntry {
  /** Its place in `SegmentTable.ports`. */
  readonly index: number;
  readonly id: string;
  readonly mac: number;
  readonly addresses: readonly number[];
  readonly linkUp: boolean;
  /** What DHCP gives it; undefined when none of its addresses is in the subnet. */
  readonly lease: Lease | undefined;
}

export interface SegmentTable {
  readonly id: string;
  readonly gateway: number;
  readonly gatewayMac: number;
  readonly egress: boolean;
  readonly subnet: Cidr;
  /** Never reached through the way out. */
  readonly blocked: readonly Cidr[];
  readonly ports: readonly PortEntry[];
  readonly byMac: ReadonlyMap<number, PortEntry>;
  readonly byAddress: ReadonlyMap<number, PortEntry>;
  readonly domain: string | undefined;
  /** Names with and without the domain -> addresses. */
  readonly names: ReadonlyMap<string, readonly number[]>;
  /** Dotted address -> full name. */
  readonly reverse: ReadonlyMap<string, string>;
  readonly upstreamDns: readonly string[];
}

/**
 * What slirp would turn into a connection to the host itself or into something no NAT may carry: "this network" (Linux
 * takes 0.0.0.0 for loopback), loopback, link-local (cloud metadata), multicast and everything above it (RFC 6890).
 */
const NEVER_ROUTED = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'];

/**
 * @param segment a checked one
 * @param ownAddresses the host's own addresses, blocked as well as the configured ones
 */
export function compileSegment(segment: Segment, ownAddresses: readonly string[] = []): SegmentTable {
  const subnet = parseCidr(segment.subnet)!;
  const gateway = parseIpv4(segment.gateway)!;
  const ports = segment.ports.map((port, index) => compilePort(segment, port, index, subnet, gateway));
  const names = new Map<string, number[]>();
  const reverse = new Map<string, string>();
  for (const [index, port] of segment.ports.entries()) {
    // A name leads to addresses of the segment only: others are not reached here.
    const addresses = ports[index]!.addresses.filter((address) => inCidr(subnet, address));
    for (const name of port.names) {
      const full = segment.domain === undefined ? name : `${name}.${segment.domain}`;
      for (const key of new Set([name, full])) names.set(key, [...(names.get(key) ?? []), ...addresses]);
      for (const address of addresses) {
        if (!reverse.has(formatIpv4(address))) reverse.set(formatIpv4(address), full);
      }
    }
  }
  return {
    id: segment.id,
    gateway,
    gatewayMac: parseMac(segment.gatewayMac)!,
    egress: segment.egress !== undefined,
    subnet,
    // slirp takes its whole subnet for aliases of the host's loopback (libslirp, sotranslate_out).
    blocked: [...NEVER_ROUTED, segment.subnet, ...segment.hostAddresses, ...ownAddresses].map((t) => parseCidr(t)!),
    ports,
    byMac: new Map(ports.map((port) => [port.mac, port])),
    byAddress: new Map(ports.flatMap((port) => port.addresses.map((address) => [address, port] as const))),
    domain: segment.domain,
    names,
    reverse,
    upstreamDns: segment.upstreamDns,
  };
}

function compilePort(segment: Segment, port: SegmentPort, index: number, subnet: Cidr, gateway: number): PortEntry {
  const addresses = port.addresses.map((address) => parseIpv4(address)!);
  const address = addresses.find((candidate) => inCidr(subnet, candidate));
  return {
    index,
    id: port.id,
    mac: parseMac(port.mac)!,
    addresses,
    linkUp: port.linkUp,
    lease:
      address === undefined
        ? undefined
        : {
            address,
            mask: subnet.mask,
            broadcast: lastAddress(subnet),
            server: gateway,
            router: segment.egress !== undefined,
            domain: segment.domain,
            hostname: port.names[0],
          },
  };
}

import { formatIpv4, inCidr, lastAddress, parseCidr, parseIpv4, parseMac, type Cidr } from './address.ts';
import {
  autoconfiguredOf,
  formatIpv6,
  inCidr6,
  linkLocalOf,
  parseCidr6,
  parseIpv6,
  type Cidr6,
  type Ipv6,
} from './address6.ts';
import type { OtherSegment, Segment, SegmentPort } from './config.ts';
import { RANGE_LEASE_SECONDS, type RangeLease } from './dhcp-leases.ts';
import { FIXED_LEASE_SECONDS, type ClasslessRoute, type Lease } from './packets/dhcp.ts';
import { ETHERNET_HEADER_BYTES } from './packets/ethernet.ts';
import { compileTrunk, NONE, UNTAGGED, type Trunk } from './vlan.ts';

/** A segment's configuration turned into what the hot path looks things up in. Immutable: a sync makes a new one. */

export interface PortEntry {
  /** Its place in `SegmentTable.ports`. */
  readonly index: number;
  readonly id: string;
  readonly mac: number;
  readonly addresses: readonly number[];
  /** With those that it makes of its MAC, link-local among them; none without IPv6 in the segment. */
  readonly addresses6: readonly Ipv6[];
  readonly linkUp: boolean;
  /** Of its untagged frames: UNTAGGED is the one that has the gateway, NONE none at all. */
  readonly vlan: number;
  /** VLANs that it sends and gets with their tags. */
  readonly trunk: Trunk | undefined;
  /** It passes on what others have sent. */
  readonly router: boolean;
  /** What DHCP gives it; undefined when the gateway is not in its VLAN, or none of its addresses in the subnet. */
  readonly lease: Lease | undefined;
  /** Further networks of its VM, whose names it may ask for. */
  readonly others: readonly OtherSegment[];
  /** It has no address of its own: one of the range is to be put into this. */
  readonly rangeLease: Omit<Lease, 'address'> | undefined;
}

export interface SegmentTable {
  readonly id: string;
  /** Two ports, and nothing between them. */
  readonly isWire: boolean;
  readonly gateway: number;
  readonly gatewayMac: number;
  readonly mtu: number;
  /** Without a tag. */
  readonly maxFrameBytes: number;
  readonly egress: boolean;
  /** Ports of the host lead here, so ports of the gateway stand for who uses them. */
  readonly forwards: boolean;
  readonly subnet: Cidr;
  readonly ipv6: SegmentIpv6 | undefined;
  /** Never reached through the way out. */
  readonly blocked: readonly Cidr[];
  readonly ports: readonly PortEntry[];
  readonly byMac: ReadonlyMap<number, PortEntry>;
  readonly byAddress: ReadonlyMap<number, PortEntry>;
  readonly domain: string | undefined;
  /** Names with and without the domain -> addresses. */
  readonly names: ReadonlyMap<string, readonly number[]>;
  readonly names6: ReadonlyMap<string, readonly Ipv6[]>;
  /** Address as text -> full name. */
  readonly reverse: ReadonlyMap<string, string>;
  readonly upstreamDns: readonly string[];
}

export interface SegmentIpv6 {
  readonly prefix: Cidr6;
  readonly gateway: Ipv6;
  /** The gateway's: announcements come from there (RFC 4861 section 4.2). */
  readonly linkLocal: Ipv6;
  /** Both. */
  readonly own: readonly Ipv6[];
  /** It is a way out, too. */
  readonly egress: boolean;
  /** Never reached through the way out. */
  readonly blocked: readonly Cidr6[];
  /** By text. */
  readonly byAddress: ReadonlyMap<string, PortEntry>;
}

const DEFAULT_MTU = 1500;

/**
 * What slirp would turn into a connection to the host itself or into something no NAT may carry: "this network" (Linux
 * takes 0.0.0.0 for loopback), loopback, link-local (cloud metadata), multicast and everything above it (RFC 6890).
 */
const NEVER_ROUTED = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'];

/**
 * The same in IPv6: loopback and IPv4 in disguise, by NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056), too; what is thrown away
 * (RFC 6666); link-local, site-local, multicast; and where a cloud keeps its hosts' secrets.
 */
const NEVER_ROUTED6 = [
  ...['::/8', '64:ff9b::/96', '64:ff9b:1::/48', '2002::/16', '100::/64', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
  'fd00:ec2::254',
];

/**
 * @param segment a checked one
 * @param ownAddresses the host's own addresses, blocked as well as the configured ones
 * @param given addresses of the DHCP range that ports have got, by MAC
 */
export function compileSegment(
  segment: Segment,
  ownAddresses: readonly string[] = [],
  given: ReadonlyMap<number, RangeLease> = new Map(),
): SegmentTable {
  const subnet = parseCidr(segment.subnet)!;
  const gateway = parseIpv4(segment.gateway)!;
  const gatewayMac = parseMac(segment.gatewayMac)!;
  const place6 = segment.ipv6 === undefined ? undefined : compileIpv6(segment.ipv6, gatewayMac);
  const surroundings = { subnet, gateway, ipv6: place6, given };
  const ports = segment.ports.map((port, index) => compilePort(segment, port, index, surroundings));
  const closed = [segment.subnet, ...segment.hostAddresses, ...ownAddresses];
  const ipv6 = place6 === undefined ? undefined : { ...place6, ...wayOut6(segment, place6, ports, closed) };
  const names = new Map<string, number[]>();
  const names6 = new Map<string, Ipv6[]>();
  const reverse = new Map<string, string>();
  for (const [index, port] of segment.ports.entries()) {
    // Only those who reach the gateway ask here, and they reach no other VLAN.
    if (ports[index]!.vlan !== UNTAGGED) continue;
    // A name leads to addresses of the segment only: others are not reached here.
    const addresses = ports[index]!.addresses.filter((address) => inCidr(subnet, address));
    const addresses6 = ports[index]!.addresses6.filter(
      (address) => ipv6 !== undefined && inCidr6(ipv6.prefix, address),
    );
    const texts = [...addresses.map(formatIpv4), ...addresses6.map(formatIpv6)];
    for (const name of port.names) {
      const full = segment.domain === undefined ? name : `${name}.${segment.domain}`;
      for (const key of new Set([name, full])) {
        names.set(key, [...(names.get(key) ?? []), ...addresses]);
        names6.set(key, [...(names6.get(key) ?? []), ...addresses6]);
      }
      for (const address of texts) if (!reverse.has(address)) reverse.set(address, full);
    }
  }
  return {
    id: segment.id,
    isWire: segment.kind === 'link',
    gateway,
    gatewayMac,
    mtu: segment.mtu ?? DEFAULT_MTU,
    maxFrameBytes: ETHERNET_HEADER_BYTES + (segment.mtu ?? DEFAULT_MTU),
    egress: segment.egress !== undefined,
    forwards: (segment.udpForwards ?? []).length > 0,
    subnet,
    ipv6,
    // slirp takes its whole subnet for aliases of the host's loopback (libslirp, sotranslate_out).
    blocked: [...NEVER_ROUTED, ...closed].flatMap((text) => parseCidr(text) ?? []),
    ports,
    byMac: new Map(ports.map((port) => [port.mac, port])),
    byAddress: new Map(ports.flatMap((port) => port.addresses.map((address) => [address, port] as const))),
    domain: segment.domain,
    names,
    names6,
    reverse,
    upstreamDns: segment.upstreamDns,
  };
}

type Place6 = Omit<SegmentIpv6, 'egress' | 'blocked' | 'byAddress'>;

/** slirp takes its whole prefix for aliases of the host's loopback here as well. */
function wayOut6(
  { egress }: Segment,
  { prefix }: Place6,
  ports: readonly PortEntry[],
  closed: readonly string[],
): Pick<SegmentIpv6, 'egress' | 'blocked' | 'byAddress'> {
  return {
    egress: egress?.ipv6 === true,
    blocked: [prefix, ...[...NEVER_ROUTED6, ...closed].flatMap((text) => parseCidr6(text) ?? [])],
    byAddress: new Map(ports.flatMap((port) => port.addresses6.map((address) => [formatIpv6(address), port] as const))),
  };
}

function compileIpv6(configured: NonNullable<Segment['ipv6']>, gatewayMac: number): Place6 {
  const [gateway, linkLocal] = [parseIpv6(configured.gateway)!, linkLocalOf(gatewayMac)];
  return { prefix: parseCidr6(configured.subnet)!, gateway, linkLocal, own: [gateway, linkLocal] };
}

function addresses6Of(port: SegmentPort, ipv6: Place6): Ipv6[] {
  const mac = parseMac(port.mac)!;
  const given = port.addresses.map(parseIpv6).filter((address) => address !== undefined);
  const all = [...given, autoconfiguredOf(ipv6.prefix, mac), linkLocalOf(mac)];
  return [...new Map(all.map((address) => [formatIpv6(address), address])).values()];
}

interface Surroundings {
  readonly subnet: Cidr;
  readonly gateway: number;
  readonly ipv6: Place6 | undefined;
  readonly given: ReadonlyMap<number, RangeLease>;
}

function compilePort(
  segment: Segment,
  port: SegmentPort,
  index: number,
  { subnet, gateway, ipv6, given }: Surroundings,
): PortEntry {
  const mac = parseMac(port.mac)!;
  const own = port.addresses.flatMap((address) => parseIpv4(address) ?? []);
  const fromRange = own.length === 0 && segment.dhcpRange !== undefined;
  const addresses = fromRange ? [given.get(mac)?.address ?? []].flat() : own;
  const address = addresses.find((candidate) => inCidr(subnet, candidate));
  const vlan = port.vlan ?? (port.trunk === undefined ? UNTAGGED : NONE);
  const terms = {
    mask: subnet.mask,
    broadcast: lastAddress(subnet),
    server: gateway,
    router: segment.egress !== undefined,
    domain: segment.domain,
    hostname: port.names[0],
    mtu: segment.mtu ?? DEFAULT_MTU,
    routes: routesFor(segment, addresses),
  };
  return {
    index,
    id: port.id,
    mac,
    addresses,
    addresses6: ipv6 === undefined ? [] : addresses6Of(port, ipv6),
    linkUp: port.linkUp,
    vlan,
    trunk: port.trunk === undefined ? undefined : compileTrunk(port.trunk),
    router: port.router ?? false,
    others: port.others ?? [],
    lease:
      address === undefined || fromRange || vlan !== UNTAGGED
        ? undefined
        : { ...terms, address, seconds: FIXED_LEASE_SECONDS },
    rangeLease: fromRange && vlan === UNTAGGED ? { ...terms, seconds: RANGE_LEASE_SECONDS } : undefined,
  };
}

/** Those of IPv4, without those that lead to the port itself: it is the router. */
function routesFor(segment: Segment, addresses: readonly number[]): ClasslessRoute[] {
  return (segment.routes ?? []).flatMap(({ to, via }) => {
    const [cidr, next] = [parseCidr(to), parseIpv4(via)];
    return cidr === undefined || next === undefined || addresses.includes(next) ? [] : [{ to: cidr, via: next }];
  });
}

import { inCidr, parseCidr, parseIpv4, type Cidr } from './address.ts';
import { inCidr6, parseCidr6, parseIpv6 } from './address6.ts';
import {
  boolean,
  distinct,
  DNS_NAME,
  fail,
  integer,
  ipv4,
  ipv6,
  list,
  matching,
  object,
  oneOf,
  optional,
  text,
} from './config-checks.ts';
import type { OtherSegment, Segment, SegmentAcl, SegmentAclRule, SegmentPort, UdpForward } from './config.ts';

/** Checks of what may pass and who is told what: VLANs, ACL, IPv6, DHCP, routes, forwards. */

const MAX_VLAN = 4094; // IEEE 802.1Q: 0 and 4095 are reserved
/** The least that every host takes (RFC 791), and the largest that IPv4 can say. */
const MIN_MTU = 576;
const MAX_MTU = 65_535;
const MIN_IPV6_MTU = 1280; // RFC 8200 section 5
/** A rule costs each new connection a comparison. */
const MAX_ACL_RULES = 4000;

type PortRules = Pick<SegmentPort, 'vlan' | 'trunk' | 'router' | 'others'>;
type SegmentRules = Pick<Segment, 'ipv6' | 'mtu' | 'acl' | 'dhcpRange' | 'routes' | 'udpForwards'>;

export function parsePortRules(raw: Record<string, unknown>, at: string): PortRules {
  return {
    vlan: optional(raw, 'vlan', at, vlan),
    trunk: optional(
      raw,
      'trunk',
      at,
      list((value, place) => range(value, place, vlan)),
    ),
    router: optional(raw, 'router', at, boolean),
    others: optional(raw, 'others', at, list(parseOther)),
  };
}

export function parseSegmentRules(raw: Record<string, unknown>, at: string, subnet: Cidr): SegmentRules {
  const rules: SegmentRules = {
    ipv6: optional(raw, 'ipv6', at, parseIpv6Subnet),
    mtu: optional(raw, 'mtu', at, (value, place) => integer(value, MIN_MTU, MAX_MTU, place)),
    acl: optional(raw, 'acl', at, parseAcl),
    dhcpRange: optional(raw, 'dhcpRange', at, (value, place) => parseDhcpRange(value, place, subnet)),
    routes: optional(raw, 'routes', at, list(parseRoute)),
    udpForwards: optional(raw, 'udpForwards', at, list(parseUdpForward)),
  };
  if (rules.ipv6 !== undefined && (rules.mtu ?? MIN_IPV6_MTU) < MIN_IPV6_MTU) {
    fail(`${at}.mtu`, `is less than the ${MIN_IPV6_MTU} that IPv6 needs`);
  }
  distinct(
    (rules.udpForwards ?? []).map((forward) => `${forward.hostAddress} ${forward.hostPort}`),
    `${at}.udpForwards`,
    'port',
  );
  return rules;
}

function parseOther(value: unknown, at: string): OtherSegment {
  const raw = object(value, at);
  return {
    id: text(raw['id'], `${at}.id`),
    domain: optional(raw, 'domain', at, (name, place) => matching(name, DNS_NAME, place)),
  };
}

function vlan(value: unknown, at: string): number {
  return integer(value, 1, MAX_VLAN, at);
}

function port(value: unknown, at: string): number {
  return integer(value, 1, 65_535, at);
}

function range(value: unknown, at: string, parse: (value: unknown, at: string) => number) {
  const raw = object(value, at);
  const [from, to] = [parse(raw['from'], `${at}.from`), parse(raw['to'], `${at}.to`)];
  return from <= to ? { from, to } : fail(at, 'ends before it begins');
}

function parseIpv6Subnet(value: unknown, at: string): NonNullable<Segment['ipv6']> {
  const raw = object(value, at);
  const subnet = text(raw['subnet'], `${at}.subnet`);
  const cidr = parseCidr6(subnet);
  // What guests make of an announcement needs 64 bits of its own (RFC 4862 section 5.5.3, RFC 2464 section 4).
  if (cidr?.prefix !== 64) fail(`${at}.subnet`, `is not a /64: ${subnet}`);
  // 2000::/3 is the outside's, fc00::/7 anybody's own (RFC 4193). The others mean something already.
  const first = cidr.base[0] >>> 24;
  if (first >>> 5 !== 1 && first >>> 1 !== 0xfc >>> 1) fail(`${at}.subnet`, `is no range for machines: ${subnet}`);
  const gateway = ipv6(raw['gateway'], `${at}.gateway`);
  const address = parseIpv6(gateway)!;
  if (!inCidr6(cidr, address)) fail(`${at}.gateway`, `is not in ${subnet}`);
  // The first address of all means "any router" (RFC 4291 section 2.6.1).
  if (address[2] === 0 && address[3] === 0) fail(`${at}.gateway`, 'is the address that all routers have');
  return { subnet, gateway };
}

function parseAcl(value: unknown, at: string): SegmentAcl {
  const raw = object(value, at);
  const rules = list(parseAclRule)(raw['rules'], `${at}.rules`);
  if (rules.length > MAX_ACL_RULES) fail(`${at}.rules`, `are more than ${MAX_ACL_RULES}`);
  distinct(
    rules.map((rule) => `${rule.id}`),
    `${at}.rules`,
    'id',
  );
  return { default: oneOf(['allow', 'deny'])(raw['default'], `${at}.default`), rules };
}

function parseAclRule(value: unknown, at: string): SegmentAclRule {
  const raw = object(value, at);
  const protocol = optional(raw, 'protocol', at, oneOf(['tcp', 'udp', 'icmp']));
  const portRange = optional(raw, 'ports', at, (item, place) => range(item, place, port));
  if (portRange !== undefined && protocol === 'icmp') fail(`${at}.ports`, 'are nothing that icmp has');
  return {
    id: integer(raw['id'], 0, Number.MAX_SAFE_INTEGER, `${at}.id`),
    action: oneOf(['allow', 'deny'])(raw['action'], `${at}.action`),
    from: optional(raw, 'from', at, list(addresses)),
    to: optional(raw, 'to', at, list(addresses)),
    protocol,
    ports: portRange,
    // Of a NIC that is not there it fits nothing.
    portId: optional(raw, 'portId', at, text),
  };
}

function addresses(value: unknown, at: string): string {
  const range = text(value, at);
  const known = parseCidr(range) !== undefined || parseCidr6(range) !== undefined;
  return known ? range : fail(at, `is neither an address nor a range: ${range}`);
}

function parseDhcpRange(value: unknown, at: string, subnet: Cidr): NonNullable<Segment['dhcpRange']> {
  const raw = object(value, at);
  const [from, to] = [ipv4(raw['from'], `${at}.from`), ipv4(raw['to'], `${at}.to`)];
  for (const address of [from, to]) {
    if (!inCidr(subnet, parseIpv4(address)!)) fail(at, `has ${address}, which is not in the subnet`);
  }
  return parseIpv4(from)! <= parseIpv4(to)! ? { from, to } : fail(at, 'ends before it begins');
}

function parseRoute(value: unknown, at: string): NonNullable<Segment['routes']>[number] {
  const raw = object(value, at);
  const to = text(raw['to'], `${at}.to`);
  const via = text(raw['via'], `${at}.via`);
  const isIpv4 = to.includes('/') && parseCidr(to) !== undefined && parseIpv4(via) !== undefined;
  const isIpv6 = to.includes('/') && parseCidr6(to) !== undefined && parseIpv6(via) !== undefined;
  return isIpv4 || isIpv6 ? { to, via } : fail(at, `is not a route: ${to} via ${via}`);
}

function parseUdpForward(value: unknown, at: string): UdpForward {
  const raw = object(value, at);
  const hostAddress = text(raw['hostAddress'], `${at}.hostAddress`);
  if (parseIpv4(hostAddress) === undefined && parseIpv6(hostAddress) === undefined) {
    fail(`${at}.hostAddress`, `is not an address: ${hostAddress}`);
  }
  return {
    hostAddress,
    hostPort: port(raw['hostPort'], `${at}.hostPort`),
    address: ipv4(raw['address'], `${at}.address`),
    guestPort: port(raw['guestPort'], `${at}.guestPort`),
  };
}

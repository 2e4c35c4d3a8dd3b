import { isIP } from 'node:net';
import { inCidr, parseCidr, parseIpv4, parseMac } from './address.ts';
import { autoconfiguredOf, formatIpv6, parseCidr6, parseIpv6 } from './address6.ts';
import {
  address,
  array,
  boolean,
  distinct,
  DNS_NAME,
  fail,
  ipv4,
  list,
  mac,
  matching,
  object,
  oneOf,
  optional,
  socketPath,
  text,
} from './config-checks.ts';
import { parsePortImpairments } from './config-impair.ts';
import { parsePartition } from './partition.ts';
import { parsePortRules, parseSegmentRules } from './config-rules.ts';

/** The whole desired state of a switch, as `sync` takes it. */

export interface SwitchConfig {
  readonly version: 1;
  readonly segments: readonly Segment[];
}

export interface Segment {
  readonly id: string;
  /** `10.213.4.0/24` */
  readonly subnet: string;
  readonly gateway: string;
  /** With egress: the MAC of slirp itself (52:55 and the gateway's address), so that no frame has to be rewritten. */
  readonly gatewayMac: string;
  /** VMs answer to NAME and to NAME.domain. */
  readonly domain?: string | undefined;
  /** The unix stream socket of the way out, and whether it leads out in IPv6, too; absent: isolated. */
  readonly egress?: { readonly socketPath: string; readonly ipv6?: boolean | undefined } | undefined;
  /** Addresses or CIDR ranges, IPv4 or IPv6, that guests do not reach through the way out. */
  readonly hostAddresses: readonly string[];
  /** Asked for names that are not ours; none: they are refused. */
  readonly upstreamDns: readonly string[];
  readonly ports: readonly SegmentPort[];
  /** `link`: a wire. What one of its two ports sends the other gets, unread; there is no gateway. Default `lan`. */
  readonly kind?: 'lan' | 'link' | undefined;
  /** `fd00:50::/64`, and the gateway's address in it. */
  readonly ipv6?: { readonly subnet: string; readonly gateway: string } | undefined;
  /** Default 1500. */
  readonly mtu?: number | undefined;
  readonly acl?: SegmentAcl | undefined;
  /** What DHCP gives to ports that have no address of their own. */
  readonly dhcpRange?: { readonly from: string; readonly to: string } | undefined;
  /** Told by DHCP (RFC 3442). */
  readonly routes?: readonly { readonly to: string; readonly via: string }[] | undefined;
  /** UDP ports of the host that lead to a guest. */
  readonly udpForwards?: readonly UdpForward[] | undefined;
  /** Those whose time has not come yet; all of them count. */
  readonly partitions?: readonly SegmentPartition[] | undefined;
}

/** Ports of one group do not reach those of another; those that are in none are not concerned. */
export interface SegmentPartition {
  /** Ids of ports. */
  readonly groups: readonly (readonly string[])[];
  /** Milliseconds since 1970: it ends by itself. */
  readonly untilMs?: number | undefined;
}

/** A segment that may be in this switch or not, and its domain. */
export interface OtherSegment {
  readonly id: string;
  readonly domain?: string | undefined;
}

export interface UdpForward {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly address: string;
  readonly guestPort: number;
}

/** The first rule that fits decides; what answers something that was let through passes. */
export interface SegmentAcl {
  readonly default: 'allow' | 'deny';
  readonly rules: readonly SegmentAclRule[];
}

export interface SegmentAclRule {
  readonly id: number;
  readonly action: 'allow' | 'deny';
  /** Addresses and CIDR ranges, IPv4 or IPv6; absent: any. */
  readonly from?: readonly string[] | undefined;
  readonly to?: readonly string[] | undefined;
  readonly protocol?: 'tcp' | 'udp' | 'icmp' | undefined;
  /** Of the destination, first and last. */
  readonly ports?: { readonly from: number; readonly to: number } | undefined;
  /** Only what comes from or goes to this port. */
  readonly portId?: string | undefined;
}

/** What becomes of frames in one direction. Shares are of 1. */
export interface SegmentImpairment {
  readonly delayMs?: number | undefined;
  readonly jitterMs?: number | undefined;
  readonly loss?: number | undefined;
  readonly duplicate?: number | undefined;
  readonly reorder?: number | undefined;
  readonly corrupt?: number | undefined;
  readonly rateKbit?: number | undefined;
}

/** `out`: what the guest sends; `in`: what it gets. */
export interface PortImpairment {
  readonly out?: SegmentImpairment | undefined;
  readonly in?: SegmentImpairment | undefined;
  readonly down?: boolean | undefined;
  readonly seed: number;
  /** Milliseconds since 1970: it ends by itself, whoever has asked for it. */
  readonly untilMs?: number | undefined;
}

export interface SegmentPort {
  readonly id: string;
  /** Where QEMU's `-netdev stream,server=on` listens. Unique in the configuration. */
  readonly socketPath: string;
  readonly mac: string;
  /**
   * Addresses that it may send from; the first one of IPv4 inside the subnet is what DHCP gives. Where the segment has IPv6,
   * those that it makes of its MAC are its own as well, and need not be said.
   */
  readonly addresses: readonly string[];
  /** Short names for the segment's DNS. */
  readonly names: readonly string[];
  readonly linkUp: boolean;
  /** Its own VLAN: untagged at the guest. Ports of different VLANs do not hear each other. */
  readonly vlan?: number | undefined;
  /** VLANs that it sends and gets with their tags (IEEE 802.1Q), first and last. */
  readonly trunk?: readonly { readonly from: number; readonly to: number }[] | undefined;
  /** In each direction. */
  readonly rateKbit?: number | undefined;
  /** It may send from addresses that are not its own. */
  readonly router?: boolean | undefined;
  /** Further networks of its VM: it may ask for their names as well. Not those of a VLAN, which have none. */
  readonly others?: readonly OtherSegment[] | undefined;
  /** Those whose time has not come yet; all of them count. */
  readonly impairments?: readonly PortImpairment[] | undefined;
  /**
   * Mixed into the seeds of its impairments, so that NICs with one seed do not lose the same frames. The same name gives
   * the same again, also in another port. Default: its id.
   */
  readonly seedName?: string | undefined;
}

const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Checks what came over the control socket, whole, before anything of it is applied.
 * @throws SwitchError `invalid` that names the place
 */
export function parseSwitchConfig(value: unknown): SwitchConfig {
  const root = object(value, 'config');
  if (root['version'] !== 1) fail('config.version', 'is not 1: this switch knows no other');
  const segments = array(root['segments'], 'segments').map((item, i) => parseSegment(item, `segments[${i}]`));
  distinct(
    segments.map((segment) => segment.id),
    'segments',
    'id',
  );
  distinct(
    segments.flatMap((s) => [
      ...s.ports.map((p) => p.socketPath),
      ...(s.egress === undefined ? [] : [s.egress.socketPath]),
    ]),
    'segments',
    'socketPath',
  );
  return { version: 1, segments };
}

function parseSegment(value: unknown, at: string): Segment {
  const raw = object(value, at);
  const subnetText = text(raw['subnet'], `${at}.subnet`);
  const subnet = subnetText.includes('/') ? parseCidr(subnetText) : undefined;
  if (subnet === undefined || subnet.prefix > 30) fail(`${at}.subnet`, `is not a subnet: ${subnetText}`);
  const gateway = ipv4(raw['gateway'], `${at}.gateway`);
  if (!inCidr(subnet, parseIpv4(gateway)!)) fail(`${at}.gateway`, `is not in ${subnetText}`);
  const ports = array(raw['ports'], `${at}.ports`).map((item, i) => parsePort(item, `${at}.ports[${i}]`));
  distinct(
    ports.map((port) => port.id),
    `${at}.ports`,
    'id',
  );
  distinct([...ports.map((port) => port.mac), mac(raw['gatewayMac'], `${at}.gatewayMac`)], `${at}.ports`, 'mac');
  const kind = optional(raw, 'kind', at, oneOf(['lan', 'link']));
  const egress = raw['egress'];
  const rules = parseSegmentRules(raw, at, subnet);
  distinct(allAddresses(ports, gateway, { kind, ...rules }), `${at}.ports`, 'address');
  if (kind === 'link' && ports.length !== 2) fail(`${at}.ports`, 'are not two: a link has two ends');
  if (kind === 'link' && egress !== undefined) fail(`${at}.egress`, 'is nothing that a link has');
  return {
    id: text(raw['id'], `${at}.id`),
    subnet: subnetText,
    gateway,
    gatewayMac: mac(raw['gatewayMac'], `${at}.gatewayMac`),
    domain: raw['domain'] === undefined ? undefined : matching(raw['domain'], DNS_NAME, `${at}.domain`),
    egress: egress === undefined ? undefined : parseEgress(egress, `${at}.egress`),
    hostAddresses: array(raw['hostAddresses'], `${at}.hostAddresses`).map((item, i) => {
      const range = text(item, `${at}.hostAddresses[${i}]`);
      const isRange = parseCidr(range) !== undefined || parseCidr6(range) !== undefined;
      return isRange ? range : fail(`${at}.hostAddresses[${i}]`, `is not an address: ${range}`);
    }),
    upstreamDns: array(raw['upstreamDns'], `${at}.upstreamDns`).map((item, i) => {
      const server = text(item, `${at}.upstreamDns[${i}]`);
      return isIP(server) === 0 ? fail(`${at}.upstreamDns[${i}]`, `is not an address: ${server}`) : server;
    }),
    ports,
    kind,
    ...rules,
    partitions: optional(raw, 'partitions', at, list(parsePartition)),
  };
}

function parseEgress(value: unknown, at: string): NonNullable<Segment['egress']> {
  const raw = object(value, at);
  const ipv6 = optional(raw, 'ipv6', at, boolean);
  return { socketPath: socketPath(raw['socketPath'], `${at}.socketPath`), ...(ipv6 === undefined ? {} : { ipv6 }) };
}

/** In their normal form, with what ports make of their MACs. A wire has no gateway, so its address may be an end's. */
function allAddresses(
  ports: readonly SegmentPort[],
  gateway: string,
  { kind, ipv6 }: Pick<Segment, 'kind' | 'ipv6'>,
): string[] {
  const prefix = ipv6 === undefined ? undefined : parseCidr6(ipv6.subnet);
  const normal = (written: string): string => {
    const parsed = parseIpv6(written);
    return parsed === undefined ? written : formatIpv6(parsed);
  };
  const gateways = kind === 'link' ? [] : [gateway, ...(ipv6 === undefined ? [] : [normal(ipv6.gateway)])];
  const each = ports.map((port) => {
    const made = prefix === undefined ? [] : [formatIpv6(autoconfiguredOf(prefix, parseMac(port.mac)!))];
    return [...port.addresses.map(normal), ...made.filter((own) => !port.addresses.map(normal).includes(own))];
  });
  return [...each.flat(), ...gateways];
}

function parsePort(value: unknown, at: string): SegmentPort {
  const raw = object(value, at);
  return {
    id: text(raw['id'], `${at}.id`),
    socketPath: socketPath(raw['socketPath'], `${at}.socketPath`),
    mac: mac(raw['mac'], `${at}.mac`),
    addresses: array(raw['addresses'], `${at}.addresses`).map((item, i) => address(item, `${at}.addresses[${i}]`)),
    names: array(raw['names'], `${at}.names`).map((item, i) => matching(item, DNS_LABEL, `${at}.names[${i}]`)),
    linkUp: boolean(raw['linkUp'], `${at}.linkUp`),
    ...parsePortRules(raw, at),
    ...parsePortImpairments(raw, at),
  };
}

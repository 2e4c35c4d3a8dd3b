import { isIP } from 'node:net';
import { inCidr, parseCidr, parseIpv4, parseMac } from './address.ts';
import { SwitchError } from './error.ts';

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
  /** The unix stream socket of the way out; absent: isolated. */
  readonly egress?: { readonly socketPath: string } | undefined;
  /** Addresses or CIDR ranges that guests do not reach through the way out. */
  readonly hostAddresses: readonly string[];
  /** Asked for names that are not ours; none: they are refused. */
  readonly upstreamDns: readonly string[];
  readonly ports: readonly SegmentPort[];
}

export interface SegmentPort {
  readonly id: string;
  /** Where QEMU's `-netdev stream,server=on` listens. Unique in the configuration. */
  readonly socketPath: string;
  readonly mac: string;
  /** IPv4 addresses it may send from; the first one inside the subnet is what DHCP gives. */
  readonly addresses: readonly string[];
  /** Short names for the segment's DNS. */
  readonly names: readonly string[];
  readonly linkUp: boolean;
}

/** sun_path of unix(7) holds 108 bytes with the final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
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
  distinct([...ports.flatMap((port) => port.addresses), gateway], `${at}.ports`, 'address');
  const egress = raw['egress'];
  return {
    id: text(raw['id'], `${at}.id`),
    subnet: subnetText,
    gateway,
    gatewayMac: mac(raw['gatewayMac'], `${at}.gatewayMac`),
    domain: raw['domain'] === undefined ? undefined : matching(raw['domain'], DNS_NAME, `${at}.domain`),
    egress:
      egress === undefined
        ? undefined
        : { socketPath: socketPath(object(egress, `${at}.egress`)['socketPath'], `${at}.egress.socketPath`) },
    hostAddresses: array(raw['hostAddresses'], `${at}.hostAddresses`).map((item, i) => {
      const range = text(item, `${at}.hostAddresses[${i}]`);
      return parseCidr(range) === undefined ? fail(`${at}.hostAddresses[${i}]`, `is not IPv4: ${range}`) : range;
    }),
    upstreamDns: array(raw['upstreamDns'], `${at}.upstreamDns`).map((item, i) => {
      const server = text(item, `${at}.upstreamDns[${i}]`);
      return isIP(server) === 0 ? fail(`${at}.upstreamDns[${i}]`, `is not an address: ${server}`) : server;
    }),
    ports,
  };
}

function parsePort(value: unknown, at: string): SegmentPort {
  const raw = object(value, at);
  const linkUp = raw['linkUp'];
  if (typeof linkUp !== 'boolean') fail(`${at}.linkUp`, 'is not true or false');
  return {
    id: text(raw['id'], `${at}.id`),
    socketPath: socketPath(raw['socketPath'], `${at}.socketPath`),
    mac: mac(raw['mac'], `${at}.mac`),
    addresses: array(raw['addresses'], `${at}.addresses`).map((item, i) => ipv4(item, `${at}.addresses[${i}]`)),
    names: array(raw['names'], `${at}.names`).map((item, i) => matching(item, DNS_LABEL, `${at}.names[${i}]`)),
    linkUp,
  };
}

function fail(at: string, problem: string): never {
  throw new SwitchError('invalid', `${at} ${problem}`);
}

function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(at, 'is not an object');
  return value as Record<string, unknown>;
}

function array(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(at, 'is not a list');
}

function text(value: unknown, at: string): string {
  return typeof value === 'string' && value !== '' && value.length <= 1024 ? value : fail(at, 'is not a text');
}

function matching(value: unknown, pattern: RegExp, at: string): string {
  const name = text(value, at);
  return pattern.test(name) ? name : fail(at, `is not a DNS name: ${name}`);
}

function ipv4(value: unknown, at: string): string {
  const address = text(value, at);
  return parseIpv4(address) === undefined ? fail(at, `is not an IPv4 address: ${address}`) : address;
}

function mac(value: unknown, at: string): string {
  const address = text(value, at).toLowerCase();
  const parsed = parseMac(address);
  // The lowest bit of the first octet marks a group: no station has such an address (IEEE 802 section 8.2).
  if (parsed === undefined || (Math.floor(parsed / 0x100_0000_0000) & 1) === 1) fail(at, `is not a MAC: ${address}`);
  return address;
}

function socketPath(value: unknown, at: string): string {
  const path = text(value, at);
  if (!path.startsWith('/') || path.includes('\0')) fail(at, 'is not an absolute path');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) fail(at, `is longer than ${MAX_SOCKET_PATH_BYTES} bytes`);
  return path;
}

function distinct(values: readonly string[], at: string, what: string): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) fail(at, `has ${what} ${value} twice`);
    seen.add(value);
  }
}

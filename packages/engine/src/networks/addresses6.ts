import { SkerryError } from '@skerry/api';

/** IPv6 as far as networks need it: a /64, and addresses in it. Pure; addresses are 128-bit numbers. */

interface Cidr6 {
  readonly base: bigint;
  readonly prefix: number;
}

const ALL_ONES = (1n << 128n) - 1n;
/** Every subnet has 64 bits for its hosts (RFC 4291 section 2.5.4). */
const SUBNET_PREFIX = 64;
const GROUP = /^[0-9a-f]{1,4}$/i;

/** @returns undefined unless it is an address without a zone */
export function parseIpv6(text: string): bigint | undefined {
  const halves = withoutIpv4Tail(text)?.split('::') ?? [];
  if (halves.length === 0 || halves.length > 2) return undefined;
  const [before = [], after = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - before.length - after.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after];
  if (!groups.every((group) => GROUP.test(group))) return undefined;
  return groups.reduce((value, group) => (value << 16n) | BigInt(Number.parseInt(group, 16)), 0n);
}

/** `::ffff:192.0.2.1` with its tail as two groups. */
function withoutIpv4Tail(text: string): string | undefined {
  if (!text.includes('.')) return text;
  const match = /^(.*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const [a = 256, b = 256, c = 256, d = 256] = match.slice(2).map(Number);
  if ([a, b, c, d].some((octet) => octet > 255)) return undefined;
  return `${match[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** RFC 5952: lower case, without leading zeros, the longest run of two or more zero groups as `::`. */
export function formatIpv6(address: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => (address >> BigInt(16 * (7 - index))) & 0xffffn);
  let [start, length] = [0, 1];
  for (let from = 0; from < 8; from += 1) {
    let to = from;
    while (to < 8 && groups[to] === 0n) to += 1;
    if (to - from > length) [start, length] = [from, to - from];
  }
  const hex = groups.map((group) => group.toString(16));
  if (length === 1) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

/** Bits below the prefix are cut off; without a prefix it is one address. */
export function parseCidr6(text: string): Cidr6 | undefined {
  const [addressText = '', prefixText = '128', ...rest] = text.split('/');
  const address = parseIpv6(addressText);
  const prefix = Number(prefixText);
  if (address === undefined || rest.length > 0 || !/^\d{1,3}$/.test(prefixText) || prefix > 128) return undefined;
  return { base: address & maskOf(prefix), prefix };
}

export function inCidr6(cidr: Cidr6, address: bigint): boolean {
  return (address & maskOf(cidr.prefix)) === cidr.base;
}

export function cidrs6Overlap(a: Cidr6, b: Cidr6): boolean {
  return a.prefix <= b.prefix ? inCidr6(a, b.base) : inCidr6(b, a.base);
}

/**
 * A /64 that a person wrote, in its normal form.
 * @param used those of our networks, and where the host itself has a route to
 * @throws SkerryError `invalid`, `in-use`
 */
export function checkSubnet6(text: string, used: readonly string[]): string {
  const subnet = parseCidr6(text);
  // Unique local (fc00::/7, RFC 4193) or global (2000::/3): all else has a meaning of its own.
  const isUnicast = subnet !== undefined && (subnet.base >> 121n === 0x7en || subnet.base >> 125n === 1n);
  if (subnet === undefined || subnet.prefix !== SUBNET_PREFIX || !isUnicast) {
    throw new SkerryError('invalid', `${text} can not be a network's IPv6 subnet`, {
      remedy: 'Use a /64 of your own, or one of fd00::/8, such as fd00:50::/64.',
    });
  }
  const clash = used.find((other) => {
    const cidr = parseCidr6(other);
    return cidr !== undefined && cidr.prefix > 0 && cidrs6Overlap(cidr, subnet);
  });
  if (clash !== undefined) {
    throw new SkerryError('in-use', `${text} overlaps ${clash}, which is in use on this host`, {
      remedy: 'Choose another /64, or leave it out.',
      details: { ipv6: text, other: clash },
    });
  }
  return `${formatIpv6(subnet.base)}/${SUBNET_PREFIX}`;
}

/** The first address of a /64. */
export function gateway6Of(subnet: string): string {
  return formatIpv6(baseOf(subnet) + 1n);
}

/**
 * The address that a guest would make of its MAC by itself (modified EUI-64, RFC 4291 appendix A): never the gateway's, and
 * as unique as the MAC.
 */
export function address6Of(subnet: string, mac: string): string {
  const hex = mac.replaceAll(':', '');
  const interfaceId = BigInt(`0x${hex.slice(0, 6)}fffe${hex.slice(6)}`) ^ (1n << 57n);
  return formatIpv6(baseOf(subnet) | interfaceId);
}

function baseOf(subnet: string): bigint {
  const cidr = parseCidr6(subnet);
  if (cidr === undefined) throw new SkerryError('internal', `${subnet} is no IPv6 subnet`);
  return cidr.base;
}

function maskOf(prefix: number): bigint {
  return (ALL_ONES << BigInt(128 - prefix)) & ALL_ONES;
}

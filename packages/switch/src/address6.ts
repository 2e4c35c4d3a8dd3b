/** IPv6 addresses as four words of 32 bits, the first one first. Text is for the configuration and for people. */

export type Ipv6 = readonly [number, number, number, number];

export interface Cidr6 {
  /** First address of the range. */
  readonly base: Ipv6;
  readonly mask: Ipv6;
  readonly prefix: number;
}

const GROUP = /^[0-9a-f]{1,4}$/i;
const TAIL_IPV4 = /^(.*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

/** @returns undefined unless it is an address as RFC 4291 section 2.2 writes it, without a zone */
export function parseIpv6(text: string): Ipv6 | undefined {
  const halves = withoutIpv4Tail(text)?.split('::');
  if (halves === undefined || halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head!, ...Array.from({ length: missing }, () => '0'), ...(tail ?? [])];
  if (!groups.every((group) => GROUP.test(group))) return undefined;
  const word = (i: number) => Number.parseInt(groups[2 * i]!, 16) * 0x1_0000 + Number.parseInt(groups[2 * i + 1]!, 16);
  return [word(0), word(1), word(2), word(3)];
}

/** `::ffff:10.0.0.1` as `::ffff:a00:1`. */
function withoutIpv4Tail(text: string): string | undefined {
  const match = TAIL_IPV4.exec(text);
  if (match === null) return text;
  const octets = match.slice(2).map(Number);
  if (octets.some((octet) => octet > 255)) return undefined;
  const [a, b, c, d] = octets as [number, number, number, number];
  return `${match[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

/** As RFC 5952 wants it: lower case, the longest run of two or more zero groups cut, the first of equals. */
export function formatIpv6(address: Ipv6): string {
  const groups = address.flatMap((word) => [word >>> 16, word & 0xffff]).map((group) => group.toString(16));
  let [best, bestAt] = [1, -1];
  for (let at = 0, run = 0; at < 8; at += 1) {
    run = groups[at] === '0' ? run + 1 : 0;
    if (run > best) [best, bestAt] = [run, at - run + 1];
  }
  if (bestAt < 0) return groups.join(':');
  return `${groups.slice(0, bestAt).join(':')}::${groups.slice(bestAt + best).join(':')}`;
}

/** `fd00::/64`, or a single address as its /128. Bits below the prefix are cut off. */
export function parseCidr6(text: string): Cidr6 | undefined {
  const [addressText = '', prefixText = '128', ...rest] = text.split('/');
  const address = parseIpv6(addressText);
  const prefix = Number(prefixText);
  if (address === undefined || rest.length > 0 || !/^\d{1,3}$/.test(prefixText) || prefix > 128) return undefined;
  const mask = [0, 32, 64, 96].map((at) => maskWord(prefix - at)) as [number, number, number, number];
  const base = address.map((word, i) => (word & mask[i]!) >>> 0) as [number, number, number, number];
  return { base, mask, prefix };
}

/** Of 32 bits, the first `bits` are set. */
export function maskWord(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0;
}

export function inCidr6(cidr: Cidr6, address: Ipv6): boolean {
  return address.every((word, i) => (word & cidr.mask[i]!) >>> 0 === cidr.base[i]);
}

/** The address that a station makes of a prefix of 64 bits and its MAC (RFC 4862 section 5.5.3). */
export function autoconfiguredOf(prefix: Cidr6, mac: number): Ipv6 {
  const [, , high, low] = linkLocalOf(mac);
  return [prefix.base[0], prefix.base[1], high, low];
}

/** fe80:: with the interface identifier that follows from the MAC (RFC 4291 appendix A, modified EUI-64). */
export function linkLocalOf(mac: number): Ipv6 {
  const [vendor, serial] = [Math.floor(mac / 0x100_0000), mac % 0x100_0000];
  return [0xfe80_0000, 0, (((vendor << 8) ^ 0x0200_0000) | 0xff) >>> 0, (0xfe00_0000 | serial) >>> 0];
}

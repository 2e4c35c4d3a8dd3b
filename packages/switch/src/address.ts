/**
 * Addresses as numbers: IPv4 as an unsigned 32-bit integer, a MAC as a 48-bit one (exact in a double). The hot path
 * compares numbers; text is for the configuration and for people.
 */

export interface Cidr {
  /** First address of the range. */
  readonly base: number;
  readonly mask: number;
  readonly prefix: number;
}

export const BROADCAST_MAC = 0xffff_ffff_ffff;
export const BROADCAST_IPV4 = 0xffff_ffff;

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

/** @returns undefined unless it is four decimal octets without leading zeros (`010` is octal to some readers) */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    const octet = Number(part);
    if (!OCTET.test(part) || octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** `10.1.2.0/24`, or a single address as its /32. Bits below the prefix are cut off. */
export function parseCidr(text: string): Cidr | undefined {
  const [addressText = '', prefixText = '32', ...rest] = text.split('/');
  const address = parseIpv4(addressText);
  const prefix = Number(prefixText);
  if (address === undefined || rest.length > 0 || !OCTET.test(prefixText) || prefix > 32) return undefined;
  const mask = prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0;
  return { base: (address & mask) >>> 0, mask, prefix };
}

export function inCidr(cidr: Cidr, address: number): boolean {
  return (address & cidr.mask) >>> 0 === cidr.base;
}

export function cidrsOverlap(a: Cidr, b: Cidr): boolean {
  return a.prefix <= b.prefix ? inCidr(a, b.base) : inCidr(b, a.base);
}

/** The last address of the range: its directed broadcast address. */
export function lastAddress(cidr: Cidr): number {
  return (cidr.base | ~cidr.mask) >>> 0;
}

const MAC = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i;

export function parseMac(text: string): number | undefined {
  return MAC.test(text) ? Number.parseInt(text.replaceAll(':', ''), 16) : undefined;
}

export function formatMac(mac: number): string {
  const hex = mac.toString(16).padStart(12, '0');
  return hex.match(/../g)!.join(':');
}

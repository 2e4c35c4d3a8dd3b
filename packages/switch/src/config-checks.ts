import { parseIpv4, parseMac } from './address.ts';
import { parseIpv6 } from './address6.ts';
import { SwitchError } from './error.ts';

/** What a value from outside has to be. Each names the place of what is not: SwitchError `invalid`. */

/** sun_path of unix(7) holds 108 bytes with the final NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

export const DNS_NAME =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

export function fail(at: string, problem: string): never {
  throw new SwitchError('invalid', `${at} ${problem}`);
}

export function object(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(at, 'is not an object');
  return value as Record<string, unknown>;
}

export function array(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) ? value : fail(at, 'is not a list');
}

export function text(value: unknown, at: string): string {
  return typeof value === 'string' && value !== '' && value.length <= 1024 ? value : fail(at, 'is not a text');
}

export function matching(value: unknown, pattern: RegExp, at: string): string {
  const name = text(value, at);
  return pattern.test(name) ? name : fail(at, `is not a DNS name: ${name}`);
}

export function ipv4(value: unknown, at: string): string {
  const address = text(value, at);
  return parseIpv4(address) === undefined ? fail(at, `is not an IPv4 address: ${address}`) : address;
}

export function ipv6(value: unknown, at: string): string {
  const address = text(value, at);
  return parseIpv6(address) === undefined ? fail(at, `is not an IPv6 address: ${address}`) : address;
}

/** Of either kind. */
export function address(value: unknown, at: string): string {
  const written = text(value, at);
  const known = parseIpv4(written) !== undefined || parseIpv6(written) !== undefined;
  return known ? written : fail(at, `is not an address: ${written}`);
}

/** @returns whole, from `least` to `most` */
export function integer(value: unknown, least: number, most: number, at: string): number {
  const sound = typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
  return sound ? value : fail(at, `is not a whole number from ${least} to ${most}`);
}

/** `parse` of what is there; absent stays absent. */
export function optional<T>(
  raw: Record<string, unknown>,
  key: string,
  at: string,
  parse: (value: unknown, at: string) => T,
): T | undefined {
  return raw[key] === undefined ? undefined : parse(raw[key], `${at}.${key}`);
}

export function list<T>(parse: (value: unknown, at: string) => T): (value: unknown, at: string) => readonly T[] {
  return (value, at) => array(value, at).map((item, i) => parse(item, `${at}[${i}]`));
}

export function boolean(value: unknown, at: string): boolean {
  return typeof value === 'boolean' ? value : fail(at, 'is not true or false');
}

export function oneOf<const T extends string>(choices: readonly T[]): (value: unknown, at: string) => T {
  return (value, at) => choices.find((choice) => choice === value) ?? fail(at, `is not one of ${choices.join(', ')}`);
}

export function mac(value: unknown, at: string): string {
  const address = text(value, at).toLowerCase();
  const parsed = parseMac(address);
  // The lowest bit of the first octet marks a group: no station has such an address (IEEE 802 section 8.2).
  if (parsed === undefined || (Math.floor(parsed / 0x100_0000_0000) & 1) === 1) fail(at, `is not a MAC: ${address}`);
  return address;
}

export function socketPath(value: unknown, at: string): string {
  const path = text(value, at);
  if (!path.startsWith('/') || path.includes('\0')) fail(at, 'is not an absolute path');
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) fail(at, `is longer than ${MAX_SOCKET_PATH_BYTES} bytes`);
  return path;
}

export function distinct(values: readonly string[], at: string, what: string): void {
  const seen = new Set<string>();
  for (const value of values) {
    if (seen.has(value)) fail(at, `has ${what} ${value} twice`);
    seen.add(value);
  }
}

import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { formatIpv4 } from '@skerry/switch';
import { formatIpv6 } from './addresses6.ts';
import type { HostFacts } from './plan.ts';

/** What the host's own network looks like at this moment. */
export interface HostNetwork extends HostFacts {
  /** Destinations of its IPv4 routes, `a.b.c.d/n`; a default route is 0.0.0.0/0. */
  readonly routes: readonly string[];
  /** Of its IPv6 routes, without those that every host has (loopback, link-local, multicast). */
  readonly routes6: readonly string[];
  /** Names of its interfaces. */
  readonly interfaces: readonly string[];
}

export async function readHostNetwork(): Promise<HostNetwork> {
  // Absent without IPv6, or without a resolver: then there is none.
  const [routes, routes6, resolvConf] = await Promise.all(
    ['/proc/net/route', '/proc/net/ipv6_route', '/etc/resolv.conf'].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  );
  // Not of /sys, which shows the network namespace of whoever has mounted it.
  const interfaces = await readFile('/proc/net/dev', 'utf8').then(parseInterfaces, () =>
    Object.keys(networkInterfaces()),
  );
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((address) => address.family === 'IPv4')
    .map((address) => address.address);
  const found6 = parseRoutes6(routes6 ?? '');
  return {
    addresses: addresses.toSorted(),
    routes: parseRoutes(routes ?? ''),
    routes6: found6,
    leadsOut6: found6.includes('::/0'),
    interfaces: interfaces.toSorted(),
    resolvers: parseResolvers(resolvConf ?? ''),
  };
}

/** /proc/net/dev: two headings, then `NAME: COUNTERS`; a name may hold colons itself. */
function parseInterfaces(text: string): string[] {
  return text
    .split('\n')
    .slice(2)
    .flatMap((line) => /^\s*(\S+):\s/.exec(line)?.[1] ?? []);
}

/** /proc/net/route: a heading, then lines whose 2nd and 8th fields are destination and mask, hexadecimal in host order. */
export function parseRoutes(text: string): string[] {
  const routes = text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, destination = '', , , , , , mask = ''] = line.trim().split(/\s+/);
      if (!/^[0-9A-F]{8}$/i.test(destination) || !/^[0-9A-F]{8}$/i.test(mask)) return [];
      const prefix = swapped(mask).toString(2).replaceAll('0', '').length;
      return [`${formatIpv4(swapped(destination))}/${prefix}`];
    });
  return [...new Set(routes)];
}

/** RTF_REJECT (linux/route.h): every host has a route of this kind to ::/0, which leads nowhere. */
const REJECT = 0x0200;

/** /proc/net/ipv6_route: no heading; the 1st and 2nd fields are destination and prefix length, hexadecimal in network order. */
export function parseRoutes6(text: string): string[] {
  const routes = text.split('\n').flatMap((line) => {
    const [destination = '', prefix = '', , , , , , , flags = ''] = line.trim().split(/\s+/);
    if ((Number.parseInt(flags, 16) & REJECT) !== 0) return [];
    if (!/^[0-9a-f]{32}$/i.test(destination) || !/^[0-9a-f]{2}$/i.test(prefix)) return [];
    if (/^(?:fe[89ab]|ff|0{31}1$)/i.test(destination)) return [];
    return [`${formatIpv6(BigInt(`0x${destination}`))}/${Number.parseInt(prefix, 16)}`];
  });
  return [...new Set(routes)];
}

/** All hosts that run us are little endian. */
function swapped(text: string): number {
  return Buffer.from(text, 'hex').readUInt32LE(0);
}

/** resolv.conf(5): at most three `nameserver` lines count. */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((address) => isIP(address) !== 0)
    .slice(0, 3);
}

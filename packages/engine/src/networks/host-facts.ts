import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { formatIpv4 } from '@skerry/switch';
import type { HostFacts } from './plan.ts';

/** What the host's own network looks like at this moment. */
export interface HostNetwork extends HostFacts {
  /** Destinations of its IPv4 routes, `a.b.c.d/n`; a default route is 0.0.0.0/0. */
  readonly routes: readonly string[];
}

export async function readHostNetwork(): Promise<HostNetwork> {
  // Absent without IPv4, or without a resolver: then there is none.
  const [routes, resolvConf] = await Promise.all(
    ['/proc/net/route', '/etc/resolv.conf'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((address) => address.family === 'IPv4')
    .map((address) => address.address);
  return {
    addresses: addresses.toSorted(),
    routes: parseRoutes(routes ?? ''),
    resolvers: parseResolvers(resolvConf ?? ''),
  };
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

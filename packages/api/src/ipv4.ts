/** Pure: IPv4 addresses of VMs, and subnets that networks may have. */

/** Bits; larger and smaller ones are no subnets of a network. */
export const SUBNET_PREFIXES = { min: 8, max: 28 } as const;

/** '10.0.0.7' -> 167772167; undefined for what is no address. */
export function ipv4Number(text: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/.test(text)) return undefined;
  const parts = text.split('.').map(Number);
  return parts.every((part) => part <= 255) ? parts.reduce((sum, part) => sum * 256 + part, 0) : undefined;
}

/**
 * '192.0.2.5/24' -> '192.0.2.0/24'
 * @returns undefined for what can't be a network's subnet
 */
export function subnetAround(text: string): string | undefined {
  const range = rangeOf(text);
  if (range === undefined) return undefined;
  const parts = [24, 16, 8, 0].map((bits) => Math.floor(range.first / 2 ** bits) % 256);
  return `${parts.join('.')}/${range.bits}`;
}

/** All of the subnet but its own address, the gateway's, the one next to it, which the way out has, and the last. */
export function isForVms(address: string, subnet: string): boolean {
  const [number, range] = [ipv4Number(address), rangeOf(subnet)];
  return number !== undefined && range !== undefined && number >= range.first + 3 && number < range.last;
}

function rangeOf(subnet: string): { readonly first: number; readonly last: number; readonly bits: number } | undefined {
  const [text = '', prefix = '', ...more] = subnet.split('/');
  const address = ipv4Number(text);
  const bits = /^[1-9]\d?$/.test(prefix) ? Number(prefix) : 0;
  if (address === undefined || more.length > 0 || bits < SUBNET_PREFIXES.min || bits > SUBNET_PREFIXES.max)
    return undefined;
  const [top, size] = [Math.floor(address / 2 ** 24), 2 ** (32 - bits)];
  // RFC 6890: this network, loopback; RFC 5771: from 224 on no addresses of single hosts.
  if (top === 0 || top === 127 || top >= 224) return undefined;
  const first = Math.floor(address / size) * size;
  return { first, last: first + size - 1, bits };
}

import { formatIpv4, parseIpv4 } from '@skerry/switch/address';
import { formatIpv6 } from './addresses6.ts';
import { isAddress, isIpv6, normal } from './explain-address-model.ts';
import type { GuestInterface, GuestNet, GuestRoute, Listening } from './explain-model.ts';

/**
 * What a guest says of its network, asked with nothing but a shell, `ip` and files of /proc (proc(5), Linux
 * Documentation/networking/proc_net_tcp.rst). A guest may say anything: what can't be read is left out. Pure.
 */

const PARTS = {
  interfaces: 'for i in /sys/class/net/*; do echo "${i##*/} $(cat $i/address) $(cat $i/flags)"; done',
  addresses: 'ip -o -4 address show',
  addresses6: 'cat /proc/net/if_inet6 2>/dev/null',
  vlans: 'cat /proc/net/vlan/config 2>/dev/null',
  routes: 'cat /proc/net/route',
  routes6: 'cat /proc/net/ipv6_route 2>/dev/null',
  tcp: 'cat /proc/net/tcp',
  tcp6: 'cat /proc/net/tcp6 2>/dev/null',
  udp: 'cat /proc/net/udp',
  udp6: 'cat /proc/net/udp6 2>/dev/null',
  forwarding: 'cat /proc/sys/net/ipv4/ip_forward',
  forwarding6: 'cat /proc/sys/net/ipv6/conf/all/forwarding 2>/dev/null',
} as const;
type Part = keyof typeof PARTS | 'resolved';

/** @param targets addresses, of which it is asked what it would do with them */
export function guestArgv(targets: readonly string[]): string[] {
  const parts = Object.entries(PARTS).map(([name, command]) => `echo '== ${name}'; ${command}`);
  const resolved = targets.map((to) => `ip ${isIpv6(to) ? '-6 ' : ''}route get ${to} 2>/dev/null`);
  return ['sh', '-c', [...parts, `echo '== resolved'`, ...resolved].join('\n')];
}
/** More than a guest has a reason to say. */
export const MAX_GUEST_BYTES = 1024 * 1024;

const IFF_UP = 1;
const RTF_UP = 1;
const RTF_REJECT = 0x200;
const RTF_LOCAL = 0x8000_0000;
const NULL_METRIC = 0xffff_ffff;
const IFA_F_DADFAILED = 8;
const TCP_LISTEN = '0A';
const UDP_UNCONNECTED = '07';

export function parseGuest(text: string): GuestNet {
  const parts = new Map<string, string[]>();
  let lines: string[] = [];
  for (const line of text.split('\n')) {
    const name = /^== (?<name>\w+)$/.exec(line)?.groups?.['name'];
    if (name === undefined) lines.push(line);
    else parts.set(name, (lines = []));
  }
  const of = (part: Part): string[] => (parts.get(part) ?? []).filter((line) => line.trim() !== '');
  const addresses = addressesOf(of('addresses'), of('addresses6'));
  const vlans = new Map(of('vlans').flatMap(vlanFrom));
  return {
    interfaces: of('interfaces').flatMap((line) => interfaceFrom(line, addresses, vlans)),
    routes: [...of('routes').slice(1).flatMap(routeFrom), ...of('routes6').flatMap(route6From)],
    resolved: of('resolved').flatMap(resolvedFrom),
    listening: [
      ...of('tcp')
        .slice(1)
        .flatMap((line) => socketFrom(line, 'tcp')),
      ...of('tcp6')
        .slice(1)
        .flatMap((line) => socketFrom(line, 'tcp')),
      ...of('udp')
        .slice(1)
        .flatMap((line) => socketFrom(line, 'udp')),
      ...of('udp6')
        .slice(1)
        .flatMap((line) => socketFrom(line, 'udp')),
    ],
    forwarding: of('forwarding')[0] === '1',
    forwarding6: of('forwarding6')[0] === '1',
  };
}

function interfaceFrom(
  line: string,
  addresses: ReadonlyMap<string, string[]>,
  vlans: ReadonlyMap<string, number>,
): GuestInterface[] {
  const [name = '', mac = '', flags = ''] = line.split(' ');
  if (!/^[\da-f]{2}(?::[\da-f]{2}){5}$/.test(mac)) return [];
  const vlan = vlans.get(name);
  const isUp = (Number(flags) & IFF_UP) !== 0;
  return [{ name, mac, isUp, addresses: addresses.get(name) ?? [], ...(vlan === undefined ? {} : { vlan }) }];
}

/**
 * `2: eth0    inet 10.213.0.10/24 brd ...`, and of if_inet6 the address, index, prefix length, scope, flags and name in
 * hexadecimal digits.
 */
function addressesOf(lines: readonly string[], lines6: readonly string[]): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const add = (name: string, address: string) => found.set(name, [...(found.get(name) ?? []), address]);
  for (const line of lines) {
    const { name = '', address = '' } =
      /^\d+:\s+(?<name>[^\s@]+)\S*\s+inet\s+(?<address>[\d.]+)/.exec(line)?.groups ?? {};
    if (parseIpv4(address) !== undefined) add(name, address);
  }
  for (const line of lines6) {
    const [hex = '', , , , flags = '', name = ''] = line.trim().split(/\s+/);
    const address = ipv6Of(hex);
    // One that another has as well is not used (RFC 4862 section 5.4.5).
    if (address !== undefined && (Number.parseInt(flags, 16) & IFA_F_DADFAILED) === 0) add(name, address);
  }
  return found;
}

/** `eth0.10        | 10  | eth0` */
function vlanFrom(line: string): Array<[string, number]> {
  const { name = '', vlan = '' } = /^(?<name>\S+)\s*\|\s*(?<vlan>\d+)\s*\|/.exec(line)?.groups ?? {};
  return vlan === '' ? [] : [[name, Number(vlan)]];
}

/** Iface Destination Gateway Flags RefCnt Use Metric Mask ...: addresses are of the machine's byte order, which is x86's. */
function routeFrom(line: string): GuestRoute[] {
  const [dev = '', destination = '', gateway = '', flags = '', , , metric = '0', mask = ''] = line.trim().split(/\s+/);
  const [to, via, bits] = [swapped(destination), swapped(gateway), swapped(mask)];
  if (to === undefined || via === undefined || bits === undefined || (Number.parseInt(flags, 16) & RTF_UP) === 0)
    return [];
  const prefix = 32 - Math.log2((~bits >>> 0) + 1);
  if (!Number.isInteger(prefix)) return [];
  const out = { to: `${formatIpv4(to)}/${prefix}`, dev, metric: Number(metric) };
  // A black hole has neither a device nor the flag (fib_flag_trans()).
  if ((Number.parseInt(flags, 16) & RTF_REJECT) !== 0 || dev === '*') return [{ ...out, isRefused: true }];
  return [via === 0 ? out : { ...out, via: formatIpv4(via) }];
}

/** `10.0.0.9 via 10.0.0.1 dev eth0  src 10.0.0.2`; its own addresses have `local` in front. */
function resolvedFrom(line: string): GuestRoute[] {
  const way = /^(?<to>[\da-f.:]+)(?: from \S+)?(?: via (?<via>[\da-f.:]+))? dev (?<dev>\S+)/.exec(line)?.groups;
  if (way?.['to'] === undefined || way['dev'] === undefined || !isAddress(way['to'])) return [];
  const { to, via, dev } = way;
  return [{ to: normal(to), dev, metric: 0, ...(via === undefined || !isAddress(via) ? {} : { via: normal(via) }) }];
}

/** Destination, its prefix length, a source and its, next hop, metric, references, uses, flags, device. */
function route6From(line: string): GuestRoute[] {
  const [to = '', bits = '', , , via = '', metric = '', , , flags = '', dev = ''] = line.trim().split(/\s+/);
  const [destination, next, flag] = [ipv6Of(to), ipv6Of(via), Number.parseInt(flags, 16)];
  if (destination === undefined || next === undefined || destination.startsWith('ff')) return [];
  const out = { to: `${destination}/${Number.parseInt(bits, 16)}`, dev, metric: Number.parseInt(metric, 16) };
  // One that refuses is not up, as is the kernel's own behind all others, which is no route (ip6_null_entry).
  if ((flag & RTF_REJECT) !== 0) return out.metric === NULL_METRIC ? [] : [{ ...out, isRefused: true }];
  if ((flag & RTF_UP) === 0 || (flag & RTF_LOCAL) !== 0 || dev === 'lo') return [];
  return [next === '::' ? out : { ...out, via: next }];
}

/** 32 digits. */
function ipv6Of(hex: string): string | undefined {
  return /^[\da-f]{32}$/i.test(hex) ? formatIpv6(BigInt(`0x${hex}`)) : undefined;
}

/** `0: 00000000:1538 00000000:0000 0A ...` */
function socketFrom(line: string, protocol: Listening['protocol']): Listening[] {
  const {
    address = '',
    port = '',
    state = '',
  } = /^\s*\d+:\s+(?<address>[\dA-F]+):(?<port>[\dA-F]{4})\s+\S+\s+(?<state>[\dA-F]{2})\s/.exec(line)?.groups ?? {};
  if (state !== (protocol === 'tcp' ? TCP_LISTEN : UDP_UNCONNECTED)) return [];
  const number = Number.parseInt(port, 16);
  const own = address.length === 32 ? boundTo(address) : formatted(swapped(address));
  return own === undefined ? [] : [{ protocol, address: own, port: number }];
}

/** Four words, each in the machine's byte order. ::ffff:a.b.c.d is IPv4. */
function boundTo(address: string): string | undefined {
  if (address.startsWith('0000000000000000FFFF0000')) return formatted(swapped(address.slice(24)));
  const words = address.match(/.{8}/g) ?? [];
  return ipv6Of(words.map((word) => (swapped(word) ?? 0).toString(16).padStart(8, '0')).join(''));
}

function formatted(address: number | undefined): string | undefined {
  return address === undefined ? undefined : formatIpv4(address);
}

function swapped(hex: string): number | undefined {
  if (!/^[\dA-Fa-f]{8}$/.test(hex)) return undefined;
  return Number.parseInt(hex.match(/../g)!.toReversed().join(''), 16);
}

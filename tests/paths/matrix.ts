import type { NetworkMode } from '@skerry/api';

/** Who should reach whom, from what is declared alone. Pure. */

export const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
export type PathProtocol = (typeof PROTOCOLS)[number];

export interface PathNetwork {
  readonly name: string;
  readonly mode: NetworkMode;
  readonly datapath: 'user' | 'kernel';
  /** Its addresses; none of a link. */
  readonly gateways: readonly string[];
}

export interface PathNic {
  readonly vm: string;
  readonly nic: string;
  readonly network: string;
  readonly addresses: readonly string[];
}

/** Somebody's address, and where it is. */
export type Target =
  | { readonly kind: 'vm'; readonly owner: string; readonly network: string; readonly address: string }
  | { readonly kind: 'gateway'; readonly network: string; readonly address: string }
  /** Of the host, of the world behind it, and what the world keeps of the host's secrets. */
  | { readonly kind: 'host' | 'world' | 'metadata'; readonly address: string };

/** Who asks: a VM by one of its NICs, the host, or the world. */
export type Asker =
  | { readonly kind: 'vm'; readonly vm: string; readonly nic: string; readonly network: PathNetwork }
  | { readonly kind: 'host' | 'world' };

export function targets(
  networks: readonly PathNetwork[],
  nics: readonly PathNic[],
  outside: Readonly<Record<'host' | 'world' | 'metadata', readonly string[]>>,
): Target[] {
  return [
    ...nics.flatMap(({ vm, network, addresses }) =>
      addresses.map((address): Target => ({ kind: 'vm', owner: vm, network, address })),
    ),
    ...networks.flatMap(({ name, gateways }) =>
      gateways.map((address): Target => ({ kind: 'gateway', network: name, address })),
    ),
    ...(['host', 'world', 'metadata'] as const).flatMap((kind) =>
      outside[kind].map((address): Target => ({ kind, address })),
    ),
  ];
}

/** @returns undefined: it depends on the host or on the guest */
export function isOpen(
  asker: Asker,
  target: Target,
  protocol: PathProtocol,
  networks: ReadonlyMap<string, PathNetwork>,
): boolean | undefined {
  if (asker.kind !== 'vm') return isOpenFromOutside(asker.kind, target, protocol, networks);
  const { network } = asker;
  const isSix = target.address.includes(':');
  const isKernel = network.datapath === 'kernel';
  switch (target.kind) {
    case 'vm':
      if (target.network === network.name) return true;
      // Whoever is at the other end of a wire answers for all that is its own (ip-sysctl, arp_ignore 0), or not.
      return network.mode === 'link' ? undefined : false;
    case 'gateway':
      if (target.network !== network.name) return false;
      // That the host can be reached is what it is for, and its server listens everywhere.
      return protocol === 'icmp' || (network.mode === 'host-only' && isKernel);
    case 'world':
      if (network.mode !== 'nat') return false;
      // slirp has no ping of IPv6.
      if (isSix) return isKernel || protocol !== 'icmp';
      // A ping of slirp's needs that users may ping (net.ipv4.ping_group_range).
      return protocol === 'icmp' && !isKernel ? undefined : true;
    default:
      return false;
  }
}

function isOpenFromOutside(
  asker: 'host' | 'world',
  target: Target,
  protocol: PathProtocol,
  networks: ReadonlyMap<string, PathNetwork>,
): boolean | undefined {
  // Who has several addresses may answer a datagram from another one than it was sent to.
  if (target.kind === 'metadata') return protocol === 'udp' ? undefined : true;
  if (!('network' in target)) return true;
  const { mode, datapath } = networks.get(target.network)!;
  // Bridges of the host itself: there it has an address, and so a way.
  const isOfHost = datapath === 'kernel' && (mode === 'nat' || mode === 'host-only');
  if (target.kind === 'gateway') return isOfHost && protocol === 'udp' ? undefined : isOfHost;
  return isOfHost && asker === 'host';
}

import type { NetworkMode } from '@skerry/api';

/** Who should reach whom, from what is declared alone. Pure. */

export const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
export type PathProtocol = (typeof PROTOCOLS)[number];

export interface PathNetwork {
  readonly name: string;
  readonly mode: NetworkMode;
  readonly datapath: 'user' | 'kernel';
  /** Its addresses; none of a link, and none of a LAN, whose gateway is somebody else. */
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
  /** Of the host, of the world behind it, of somebody on a LAN at another interface, and what the world keeps of the host's secrets. */
  | { readonly kind: Outsider | 'metadata'; readonly address: string };

export type Outsider = 'host' | 'world' | 'lan';

/** Who asks: a VM by one of its NICs, or somebody who is none. */
export type Asker =
  | { readonly kind: 'vm'; readonly vm: string; readonly nic: string; readonly network: PathNetwork }
  | { readonly kind: Outsider };

export function targets(
  networks: readonly PathNetwork[],
  nics: readonly PathNic[],
  outside: Readonly<Record<Outsider | 'metadata', readonly string[]>>,
): Target[] {
  return [
    ...nics.flatMap(({ vm, network, addresses }) =>
      addresses.map((address): Target => ({ kind: 'vm', owner: vm, network, address })),
    ),
    ...networks.flatMap(({ name, gateways }) =>
      gateways.map((address): Target => ({ kind: 'gateway', network: name, address })),
    ),
    ...(['host', 'world', 'lan', 'metadata'] as const).flatMap((kind) =>
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
  if (network.mode === 'bridged') return isOpenFromLan(network, target, networks);
  switch (target.kind) {
    case 'vm':
      if (target.network === network.name) return true;
      // Whoever is at the other end of a wire answers for all that is its own (ip-sysctl, arp_ignore 0), or not.
      if (network.mode === 'link') return undefined;
      return networks.get(target.network)?.mode === 'bridged' && leadsOut(network, target, protocol);
    case 'gateway':
      if (target.network !== network.name) return false;
      // That the host can be reached is what it is for, and its server listens everywhere.
      return protocol === 'icmp' || (network.mode === 'host-only' && network.datapath === 'kernel');
    case 'world':
    case 'lan':
      return leadsOut(network, target, protocol);
    default:
      return false;
  }
}

function leadsOut({ mode, datapath }: PathNetwork, { address }: Target, protocol: PathProtocol): boolean | undefined {
  if (mode !== 'nat') return false;
  const isKernel = datapath === 'kernel';
  // slirp has no ping of IPv6.
  if (address.includes(':')) return isKernel || protocol !== 'icmp';
  // A ping of slirp's needs that users may ping (net.ipv4.ping_group_range).
  return protocol === 'icmp' && !isKernel ? undefined : true;
}

/** What is on the LAN is the LAN's business, and the host is a part of it; of IPv6 a guest sends nothing there. */
function isOpenFromLan(
  network: PathNetwork,
  target: Target,
  networks: ReadonlyMap<string, PathNetwork>,
): boolean | undefined {
  if (target.address.includes(':')) return false;
  switch (target.kind) {
    case 'vm':
      return target.network === network.name;
    case 'gateway':
      return isOfHost(networks.get(target.network)!) ? undefined : false;
    case 'host':
      return undefined;
    case 'lan':
      return true;
    default:
      return false;
  }
}

function isOpenFromOutside(
  asker: Outsider,
  target: Target,
  protocol: PathProtocol,
  networks: ReadonlyMap<string, PathNetwork>,
): boolean | undefined {
  // Who has several addresses may answer a datagram from another one than it was sent to.
  const isTwofold = protocol === 'udp' ? undefined : true;
  switch (target.kind) {
    case 'metadata':
      return asker === 'lan' ? false : isTwofold;
    case 'host':
      return isTwofold;
    case 'world':
    case 'lan':
      // The host is no router between them.
      return asker === 'host';
    case 'gateway':
      return isOfHost(networks.get(target.network)!) && isTwofold;
    case 'vm': {
      const network = networks.get(target.network)!;
      if (network.mode === 'bridged') return asker !== 'world';
      return isOfHost(network) && asker === 'host';
    }
  }
}

/** Bridges of the host itself: there it has an address, and so a way. */
function isOfHost({ mode, datapath }: PathNetwork): boolean {
  return datapath === 'kernel' && (mode === 'nat' || mode === 'host-only');
}

import { formatIpv6, parseIpv6 } from '../addresses6.ts';
import type { PlannedNetwork } from '../plan.ts';
import type { NftChain } from './nft-model.ts';

/**
 * Who may send into an overlay: its peers. Linux takes what comes for a VXLAN from whoever it comes (vxlan_rcv()), in the network
 * namespace that the tunnel was made in, the host's. The VNI tells ours from others', which have the same port. Pure.
 */

/** UDP (RFC 7348 section 5). */
export const VXLAN_PORT = 4789;
/** Offset and length of the VNI, in bits from the UDP header. */
const VNI = `@th,${8 * (8 + 4)},24`;

export function tunnelChain(networks: readonly PlannedNetwork[]): NftChain | undefined {
  const overlays = networks.filter(({ mode }) => mode === 'overlay');
  if (overlays.length === 0) return undefined;
  return {
    name: 'tunnels',
    hook: 'type filter hook input priority 0; policy accept;',
    rules: [
      'meta l4proto != udp accept',
      `udp dport != ${VXLAN_PORT} accept`,
      ...overlays
        .toSorted((a, b) => (a.vni ?? 0) - (b.vni ?? 0))
        .flatMap((network) => {
          const { vni = 0 } = network;
          return [...senders('ip', network), ...senders('ip6', network), `${VNI} ${vni} drop`];
        }),
    ],
  };
}

function senders(family: 'ip' | 'ip6', network: PlannedNetwork): string[] {
  const peers = peersOf(network).filter((peer) => peer.includes(':') === (family === 'ip6'));
  return peers.length === 0 ? [] : [`${VNI} ${network.vni ?? 0} ${family} saddr { ${peers.join(', ')} } accept`];
}

/** As ip(8) and nft(8) write them. */
export function peersOf({ peers = [] }: PlannedNetwork): string[] {
  return [...new Set(peers.map(normalAddress))].toSorted();
}

function normalAddress(address: string): string {
  const number = address.includes(':') ? parseIpv6(address) : undefined;
  return number === undefined ? address : formatIpv6(number);
}

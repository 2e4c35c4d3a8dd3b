import type { NetworkSpec } from '@skerry/api';

/** How large a packet may be in a network: of its interfaces, and told to its guests. Pure. */

export const DEFAULT_MTU = 1500;
/** Inner Ethernet, VXLAN and UDP headers (RFC 7348 section 5), and an outer one of IP. */
const TUNNEL_BYTES = 14 + 8 + 8;
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;

/** @param network what is asked of it, and the MTU of the interface of the host that it is on */
export function mtuOf({
  mtu,
  mode,
  peers = [],
  uplinkMtu = DEFAULT_MTU,
}: Pick<NetworkSpec, 'mtu' | 'peers'> & {
  readonly mode?: NetworkSpec['mode'] | undefined;
  readonly uplinkMtu?: number | undefined;
}): number {
  if (mtu !== undefined) return mtu;
  if (mode === 'bridged') return uplinkMtu;
  if (mode !== 'overlay') return DEFAULT_MTU;
  return DEFAULT_MTU - TUNNEL_BYTES - (peers.some((peer) => peer.includes(':')) ? IPV6_BYTES : IPV4_BYTES);
}

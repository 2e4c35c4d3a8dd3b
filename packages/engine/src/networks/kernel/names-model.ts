import { createHash } from 'node:crypto';
import type { PlannedNetwork } from '../plan.ts';

/**
 * What things of the kernel datapath are called. A name is always the same for the same thing, so each daemon finds its own
 * again, and nobody else's: all begin with the instance's tag. An interface's name has 15 bytes at most (IFNAMSIZ).
 */

/** The four letters that are an instance's own: its id, or `main` for the system's. */
export function tagOf(instance: string): string {
  return instance === 'skerry' ? 'main' : instance;
}

/** How interfaces of all instances begin. */
export const ANY_PREFIX = 'sk';

/** How all interfaces of an instance begin. */
export function interfacePrefix(tag: string): string {
  return `${ANY_PREFIX}${tag}`;
}

/** Of this instance or another: `sk`, four letters and what it is. */
export function isOfInstance(name: string): boolean {
  return /^sk[\da-z]{4}[bitx]/.test(name);
}

/** Those that are in the hands of a guest. */
export function tapPrefix(tag: string): string {
  return `${interfacePrefix(tag)}t`;
}

export function tapName(tag: string, vmId: string, nicIndex: number): string {
  return `${tapPrefix(tag)}${hash(`${vmId}/${nicIndex}`)}`;
}

/** What the guest of a tap sends is slowed down here: a queue is of what leaves an interface only. */
export function ifbName(tap: string): string {
  return tap.replace(/^(sk....)t/, '$1i');
}

/** Of bridges that come and go with their VMs. */
export function bridgePrefix(tag: string): string {
  return `${interfacePrefix(tag)}b`;
}

export function bridgeName(tag: string, networkId: string, vlan?: number): string {
  return `${bridgePrefix(tag)}${hash(vlan === undefined ? networkId : `${networkId}/${vlan}`)}`;
}

/**
 * Of a network on an interface of the host. It is there whether VMs are or not, for the host itself is reached by it: so it is
 * not named as what goes when nobody needs it.
 */
export function uplinkName(networkId: string): string {
  return `${UPLINK_PREFIX}${hash(networkId)}`;
}

/** Of all instances. */
export const UPLINK_PREFIX = 'skerry-';

/** A tunnel is of one family for as long as it is there. */
export function vxlanName(tag: string, { id, peers = [] }: Pick<PlannedNetwork, 'id' | 'peers'>): string {
  return `${interfacePrefix(tag)}x${hash(peers.some((peer) => peer.includes(':')) ? `${id}/ipv6` : id)}`;
}

export function netnsPrefix(tag: string): string {
  return `skerry-${tag}-`;
}

export function netnsName(tag: string, networkId: string): string {
  return `${netnsPrefix(tag)}${hash(networkId)}`;
}

export function tableName(tag: string): string {
  return tag === 'main' ? 'skerry' : `skerry_${tag}`;
}

/** Of the directory of a network's dnsmasq, too. */
export function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

import { z } from 'zod';
import { NicRef } from './nic.ts';

/** Links: wires between two NICs. Each is a network of mode `link` with a /30 of its own. */

export const LinkCreate = z.strictObject({
  /** The NICs that it makes. */
  ends: z.tuple([NicRef, NicRef]),
});
export type LinkCreate = z.infer<typeof LinkCreate>;

export const LinkEnd = z.object({
  vm: z.string(),
  /** Such as eth1. */
  nic: z.string(),
  address: z.string(),
});
export type LinkEnd = z.infer<typeof LinkEnd>;

export const LinkInfo = z.object({
  /** Of its network. */
  name: z.string(),
  subnet: z.string(),
  /** Fewer than two when a VM or a NIC at its end was deleted. */
  ends: z.array(LinkEnd).max(2),
  /** The node that declares it. */
  node: z.string().optional(),
  /** What of it does not hold at the moment, and why. */
  message: z.string().optional(),
});
export type LinkInfo = z.infer<typeof LinkInfo>;

/** A name is a DNS label: 63 characters (RFC 1123 section 2.1). */
const MAX_LENGTH = 63;
const KEPT_OF_EACH = 26;

/** What the network between two NICs is called: `web:eth1` and `lab/db:eth1` make `web-eth1-lab-db-eth1`. */
export function linkName(...ends: readonly [string, string]): string {
  const [a, b] = ends.map((end) => end.replaceAll(/[/:]/g, '-')) as [string, string];
  const name = `${a}-${b}`;
  if (name.length <= MAX_LENGTH) return name;
  return `${a.slice(0, KEPT_OF_EACH)}-${b.slice(0, KEPT_OF_EACH)}-${hashOf(name)}`;
}

/** FNV-1a, 32 bits, as hexadecimal digits. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, '0');
}

/**
 * What is decided about a frame, without allocating and without I/O. A verdict is a number: the index of the one
 * port that gets the frame (>= 0), one of VERDICT, or a DROP with its reason.
 */
export type Verdict = number;

export const VERDICT = {
  flood: -1,
  egress: -2,
  arp: -3,
  icmp: -4,
  dns: -5,
  dhcp: -6,
  forward: -7,
  nd: -8,
  rs: -9,
  icmp6: -10,
} as const;

export const DROP_REASONS = [
  'malformed',
  'link-down',
  'foreign-mac',
  'foreign-arp',
  'foreign-address',
  'rogue-dhcp',
  /** Neither IPv4, ARP nor, where the segment has it, IPv6; and what nobody here can look into. */
  'other-protocol',
  /** To the host, or to addresses that are never routed. */
  'host',
  /** Outside, from a segment without a way out. */
  'isolated',
  /** To the gateway, which has nothing to say to it. */
  'unanswered',
  'dns-limit',
  /** A tag where none may be, a VLAN that is not the port's, or no tag on a port that has only tagged ones. */
  'vlan',
  /** More than the MTU. */
  'too-big',
  /** It names the stations on its way (RFC 7126 section 4.3: not to be let through). */
  'source-route',
  'acl',
  /** More connections than one port may have. */
  'acl-full',
  /** Neighbour discovery that speaks for others. */
  'foreign-nd',
  /** What only a router may say: an announcement, a redirect. */
  'rogue-router',
  /** Between groups that are kept apart for a while. */
  'partition',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const FIRST_DROP = -16;

export function drop(reason: DropReason): Verdict {
  return FIRST_DROP - DROP_REASONS.indexOf(reason);
}

/** @returns the index into DROP_REASONS, or -1 when the verdict is no drop */
export function dropIndex(verdict: Verdict): number {
  return verdict <= FIRST_DROP ? FIRST_DROP - verdict : -1;
}

export const MALFORMED = drop('malformed');
export const LINK_DOWN = drop('link-down');
export const FOREIGN_MAC = drop('foreign-mac');
export const FOREIGN_ARP = drop('foreign-arp');
export const FOREIGN_ADDRESS = drop('foreign-address');
export const ROGUE_DHCP = drop('rogue-dhcp');
export const ROGUE_ROUTER = drop('rogue-router');
export const OTHER_PROTOCOL = drop('other-protocol');
export const HOST = drop('host');
export const ISOLATED = drop('isolated');
export const UNANSWERED = drop('unanswered');
export const VLAN = drop('vlan');
export const TOO_BIG = drop('too-big');
export const SOURCE_ROUTE = drop('source-route');
export const FOREIGN_ND = drop('foreign-nd');

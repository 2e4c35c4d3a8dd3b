import { hexMac, quoted } from './nft-model.ts';
import type { NftChain } from './nft-model.ts';
import type { PlacedNic } from './places-plan.ts';

/** What of IPv6 a guest may send, for the chain that its frames pass: what `decide6.ts` is on the other datapath. Pure. */

/**
 * What may lie behind the headers, the same as in decide6.ts (58 is ICMPv6, 44 a fragment, 103 PIM, 112 VRRP; nft knows names
 * of few where /etc/protocols is missing). Anything else could be one more header, with something forbidden behind it (RFC 7045
 * section 2.1).
 */
const UPPER_LAYERS = '{ tcp, udp, 47, 50, 58, 89, 103, 112, 132, 136 }';
const PIECE_BYTES = 8;
const TCP_BYTES = 20;
const OTHER_BYTES = 8;

/** Solicitations and advertisements (RFC 4861): of routers 133 and 134, of neighbours 135 and 136, and 137, a redirect. */
const DISCOVERY = '{ 133-137 }';
/** Payloads with two options: Linux sends its MAC and a nonce (RFC 7527). */
const MOST_OF_ROUTER_BYTES = 24;
const MOST_OF_NEIGHBOUR_BYTES = 40;

export interface Own6 {
  readonly nic: PlacedNic;
  /** All eight groups of each. */
  readonly addresses: readonly string[];
}

/** Said where nft would look at the `ether type`, which is that of the tag where there is one. */
const OF_IPV6 = 'meta protocol ip6';

/** Before anybody's addresses are looked at. A chain falls through to the next rule where a packet is too short for one. */
export function rules6(nics: readonly Own6[]): string[] {
  return [
    '@nh,0,4 != 6 drop',
    `${OF_IPV6} exthdr rt exists drop`,
    `${OF_IPV6} exthdr frag exists jump pieces6`,
    `meta l4proto != ${UPPER_LAYERS} drop`,
    `${OF_IPV6} icmpv6 type { nd-router-advert, nd-redirect } drop`,
    'udp sport 547 drop',
    // Clients look at the port that it goes to only.
    'udp dport 546 drop',
    // Directly in its packet, from its own link, and short enough for its options to be looked at.
    `${OF_IPV6} icmpv6 type ${DISCOVERY} ip6 nexthdr != 58 drop`,
    `${OF_IPV6} icmpv6 type ${DISCOVERY} ip6 hoplimit != 255 drop`,
    `${OF_IPV6} icmpv6 type nd-router-solicit ip6 length > ${MOST_OF_ROUTER_BYTES} drop`,
    `${OF_IPV6} icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 length > ${MOST_OF_NEIGHBOUR_BYTES} drop`,
    ...nics.flatMap((each) => ownRules(each)),
    // Asking whether somebody has an address (RFC 4862), and telling of groups before having one (RFC 3810).
    'ip6 saddr :: icmpv6 type { nd-neighbor-solicit, nd-router-solicit, mld-listener-report, mld2-listener-report } accept',
  ];
}

/** The first piece has all headers (RFC 7112), and neighbours are not spoken of in pieces (RFC 6980). */
export const PIECES6: NftChain = {
  name: 'pieces6',
  rules: [
    'ip6 nexthdr != 44 drop',
    `${OF_IPV6} frag nexthdr != ${UPPER_LAYERS} drop`,
    `${OF_IPV6} frag frag-off != 0 return`,
    `${OF_IPV6} frag nexthdr tcp ip6 length < ${PIECE_BYTES + TCP_BYTES} drop`,
    `ip6 length < ${PIECE_BYTES + OTHER_BYTES} drop`,
    `${OF_IPV6} icmpv6 type ${DISCOVERY} drop`,
  ],
};

/** Offsets are in bits from the ICMPv6 header: of whom it speaks at byte 8, options behind that (RFC 4861 sections 4.1, 4.3, 4.4). */
function ownRules({ nic: { tap, nic }, addresses }: Own6): string[] {
  if (addresses.length === 0) return [];
  const from = `iifname ${quoted(tap)}`;
  const own = addresses.map(hex128).join(', ');
  const mac = hexMac(nic.mac);
  // The sender's or the target's link-layer address: both are its own.
  const option = (types: string, byte: number): string =>
    `${from} ${OF_IPV6} icmpv6 type ${types} @th,${8 * byte},8 { 1, 2 } @th,${8 * (byte + 2)},48 != ${mac} drop`;
  const neighbours = '{ nd-neighbor-solicit, nd-neighbor-advert }';
  return [
    `${from} ${OF_IPV6} icmpv6 type nd-neighbor-advert @th,64,128 != { ${own} } drop`,
    // Who asks without an address asks whether one is free: of others' it would say that they are not.
    `${from} ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 != { ${own} } drop`,
    option('nd-router-solicit', 8),
    option('nd-router-solicit', 16),
    option(neighbours, 24),
    option(neighbours, 32),
  ];
}

function hex128(address: string): string {
  return `0x${address
    .split(':')
    .map((group) => group.padStart(4, '0'))
    .join('')}`;
}

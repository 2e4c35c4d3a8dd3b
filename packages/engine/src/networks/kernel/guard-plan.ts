import { gatewayMacOf } from '../addresses.ts';
import { parseMac } from '@skerry/switch/address';
import { hasAcl } from './acl-plan.ts';
import { cutChains } from './cut-plan.ts';
import { PIECES6, rules6 } from './guard6-plan.ts';
import { tableName, tapPrefix, vxlanName } from './names-model.ts';
import { hexMac, quoted, type NftChain, type NftSet, type NftTable } from './nft-model.ts';
import type { PlacedNic, PlannedPlace } from './places-plan.ts';

/**
 * Nobody speaks for another: the table of family bridge of one place. It looks at frames as they come from a tap, before
 * the bridge learns anything of them (a match after that can be got round). Pure.
 */

/** Of prerouting: before everything of the bridge's own (uapi/linux/netfilter_bridge.h, NF_BR_PRI_NAT_DST_BRIDGED). */
const FIRST = -300;

export function guardTable(place: PlannedPlace, tag: string): NftTable {
  const nics = place.networks.flatMap((each) => each.nics);
  const routers = nics.filter(({ vm }) => vm.role === 'router');
  const watched = place.networks.filter(({ network }) => hasAcl(network));
  const unheard = new Set(watched.flatMap((each) => each.nics.filter(({ nic }) => nic.trunk !== undefined)));
  const overlays = place.networks.filter(({ network }) => network.mode === 'overlay');
  return {
    family: 'bridge',
    name: tableName(tag),
    sets: [
      set(
        'routers',
        'ifname',
        routers.map(({ tap }) => quoted(tap)),
      ),
      set(
        'macs',
        'ifname . ether_addr',
        nics.map(({ tap, nic }) => `${quoted(tap)} . ${nic.mac}`),
      ),
      set(
        'addresses',
        'ifname . ipv4_addr',
        nics.map(({ tap, nic }) => `${quoted(tap)} . ${nic.address}`),
      ),
      set(
        'stations',
        'ifname . ether_addr . ipv4_addr',
        nics.filter((nic) => !unheard.has(nic)).map(({ tap, nic }) => `${quoted(tap)} . ${nic.mac} . ${nic.address}`),
      ),
      set(
        'has_ipv6',
        'ifname',
        place.networks.flatMap((each) =>
          each.network.ipv6 === undefined ? [] : each.nics.map(({ tap }) => quoted(tap)),
        ),
      ),
      set(
        'addresses6',
        'ifname . ipv6_addr',
        nics.flatMap((nic) => addresses6Of(place, nic).map((address) => `${quoted(nic.tap)} . ${address}`)),
      ),
    ],
    chains: [
      ...protocolChains(place, nics),
      ...tagged(place),
      guest(place),
      {
        name: 'prerouting',
        hook: `type filter hook prerouting priority ${FIRST}; policy accept;`,
        rules: [
          // Nearly all that there is, by the first rule and one look at a set: what the chains below would let pass as well.
          'ether type ip @nh,0,8 0x45 ip protocol tcp iifname . ether saddr . ip saddr @stations accept',
          // By its name: a tap that no set has yet gets nothing through.
          `iifname ${quoted(`${tapPrefix(tag)}*`)} jump guest`,
          // Each host has the gateway's addresses itself: another's answers lead astray.
          ...overlays.map(
            ({ network }) =>
              `iifname ${quoted(vxlanName(tag, network))} ether saddr ${gatewayMacOf(network.gateway)} drop`,
          ),
        ],
      },
      ...(overlays.length === 0 ? [] : [toOtherHosts(place, tag)]),
      ...cutChains(place),
    ],
  };
}

function set(name: string, type: string, elements: readonly string[]): NftSet {
  return { kind: 'set', name, type, elements: [...new Set(elements)].sort() };
}

/** What every frame of a guest passes; each protocol has a chain of its own. */
function guest(place: PlannedPlace): NftChain {
  return {
    name: 'guest',
    rules: [
      // An access list does not see what has a tag: a network may have got its list later.
      ...trunksOf(place, true).map(({ tap }) => `iifname ${quoted(tap)} drop`),
      'iifname . ether saddr != @macs drop',
      // A tag is taken off its frame before this: these are the VLANs that a NIC may name.
      ...trunksOf(place, false).map(
        ({ tap, nic }) =>
          `iifname ${quoted(tap)} vlan id { ${(nic.trunk ?? []).map(({ from, to }) => `${from}-${to}`).join(', ')} } goto tagged`,
      ),
      // What has a tag still is of neither.
      'ether type vmap { ip : goto guest4, ip6 : goto guest6, arp : goto guest_arp }',
      'drop',
    ],
  };
}

/**
 * The same of what had a tag. `ether type` is that of the tag then, also where a rule has it unsaid (`arp`, `icmp`, `icmpv6`,
 * `exthdr`): so those say `meta protocol`, which is what lies behind.
 */
function tagged(place: PlannedPlace): NftChain[] {
  if (trunksOf(place, false).length === 0) return [];
  return [
    {
      // It has addresses there that its NIC was not given.
      name: 'tagged_arp',
      rules: [
        'iifname != @routers goto guest_arp',
        ...ARP_OF_IP,
        'meta protocol arp iifname . arp saddr ether != @macs drop',
        'accept',
      ],
    },
    {
      name: 'tagged',
      rules: ['meta protocol vmap { ip : goto guest4, ip6 : goto guest6, arp : goto tagged_arp }', 'drop'],
    },
  ];
}

function trunksOf(place: PlannedPlace, isBesideAcl: boolean): PlacedNic[] {
  return place.networks
    .filter(({ network }) => hasAcl(network) === isBesideAcl)
    .flatMap((each) => each.nics.filter(({ nic }) => nic.trunk !== undefined));
}

const ARP_OF_IP = ['meta protocol arp arp htype != 1 drop', 'meta protocol arp arp ptype != ip drop'];

function protocolChains(place: PlannedPlace, nics: readonly PlacedNic[]): NftChain[] {
  // It may send from any address, but nobody is made to believe that it is the network's own.
  const routers = 'iifname @routers accept';
  return [
    {
      name: 'guest_arp',
      rules: [
        ...ARP_OF_IP,
        'meta protocol arp iifname . arp saddr ether != @macs drop',
        // Asking whether somebody has an address (RFC 5227).
        'meta protocol arp arp operation request arp saddr ip 0.0.0.0 accept',
        'meta protocol arp iifname . arp saddr ip != @addresses drop',
        'accept',
      ],
    },
    {
      name: 'options4',
      rules: [
        '@nh,0,4 != 4 drop',
        // Loose and strict source routes (RFC 791 section 3.1).
        'meta protocol ip ip option lsrr exists drop',
        'meta protocol ip ip option ssrr exists drop',
      ],
    },
    {
      // Whole: a server knows a client by the MAC inside (RFC 2131 section 2, `chaddr`), and would take another's address back.
      name: 'dhcp4',
      rules: [
        'ip frag-off & 0x3fff != 0 drop',
        ...nics.map(({ tap, nic }) => `iifname ${quoted(tap)} @th,${8 * (8 + 28)},48 != ${hexMac(nic.mac)} drop`),
      ],
    },
    {
      name: 'udp4',
      rules: [
        'udp dport 67 jump dhcp4',
        'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
        'udp sport 67 drop',
        // Clients look at the port that it goes to only.
        'udp dport 68 drop',
      ],
    },
    // They change where others send (RFC 792, RFC 1256).
    { name: 'icmp4', rules: ['ip protocol icmp icmp type { redirect, router-advertisement } drop'] },
    {
      name: 'guest4',
      rules: [
        routers,
        // A header without options: version and length in one look.
        '@nh,0,8 != 0x45 jump options4',
        'ip protocol vmap { icmp : jump icmp4, udp : jump udp4 }',
        'iifname . ip saddr != @addresses drop',
        'accept',
      ],
    },
    PIECES6,
    {
      name: 'guest6',
      rules: [
        // Nor may a router: on a LAN there is somebody whom it would be heard by.
        'iifname != @has_ipv6 drop',
        routers,
        ...rules6(nics.map((nic) => ({ nic, addresses: addresses6Of(place, nic) }))),
        'iifname . ip6 saddr != @addresses6 drop',
        'accept',
      ],
    },
  ];
}

/** What each host answers itself does not go to others. */
function toOtherHosts({ networks }: PlannedPlace, tag: string): NftChain {
  return {
    name: 'to_others',
    hook: 'type filter hook postrouting priority 0; policy accept;',
    rules: networks.flatMap(({ network }) => {
      const name = quoted(vxlanName(tag, network));
      return [
        `oifname ${name} udp dport { 67, 547 } drop`,
        `oifname ${name} icmpv6 type { nd-router-solicit, nd-router-advert } drop`,
        `oifname ${name} arp daddr ip ${network.gateway} drop`,
      ];
    }),
  };
}

function addresses6Of({ networks }: PlannedPlace, nic: PlacedNic): string[] {
  return networks.flatMap((each) => (each.nics.includes(nic) ? addresses6In(each.network.ipv6?.subnet, nic) : []));
}

/** Its own in the network, and those that a host makes of its MAC (RFC 4291 appendix A): link-local, and in the /64. None without IPv6. */
function addresses6In(subnet: string | undefined, { nic }: PlacedNic): string[] {
  if (subnet === undefined) return [];
  const made = interfaceId(nic.mac);
  const own = nic.address6 === undefined ? [] : [full6(nic.address6)];
  return [...new Set([`fe80:0:0:0:${made}`, `${prefixGroups(subnet)}:${made}`, ...own])];
}

function interfaceId(mac: string): string {
  const value = BigInt(parseMac(mac) ?? 0);
  const id = ((value >> 24n) << 40n) | (0xfffen << 24n) | (value & 0xff_ffffn);
  return groups((id ^ (0x0200n << 48n)) & 0xffff_ffff_ffff_ffffn, 4);
}

function groups(value: bigint, count: number): string {
  return Array.from({ length: count }, (_, index) =>
    ((value >> BigInt(16 * (count - 1 - index))) & 0xffffn).toString(16),
  ).join(':');
}

/** `fd00:50::/64` -> `fd00:50:0:0` */
function prefixGroups(subnet: string): string {
  return full6(subnet.split('/')[0] ?? '')
    .split(':')
    .slice(0, 4)
    .join(':');
}

/** All eight groups of an address, without leading zeros. */
function full6(address: string): string {
  const [head = '', tail] = address.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? [] : Array.from({ length: 8 - first.length - last.length }, () => '0');
  return [...first, ...middle, ...last].map((group) => Number.parseInt(group, 16).toString(16)).join(':');
}

import type { NetworkForward, NetworkMode } from '@skerry/api';
import { isIn, prefixOf } from '../explain-address-model.ts';
import { aclChain, aclName, hasAcl } from './acl-plan.ts';
import { PASSES_NOTHING, type Passing } from './forwarding-plan.ts';
import type { KernelHost } from './kernel-model.ts';
import type { NicPlace, PlannedPlace } from './places-plan.ts';
import { ANY_PREFIX, bridgePrefix, tableName, UPLINK_PREFIX } from './names-model.ts';
import { quoted, type NftChain, type NftSet, type NftTable } from './nft-model.ts';
import { viewChain, viewInput, viewSets, viewsOf } from './views-plan.ts';

/** What passes between guests, the host and the world: the table of family inet of one place. Pure. */

/** Modes whose guests reach the world. */
export function leadsOut(mode: NetworkMode | undefined): boolean {
  return mode === 'nat' || mode === undefined;
}

/** Where clouds keep their hosts' secrets: link-local as most, and the others' own (Azure, Alibaba, Oracle; AWS by IPv6). */
const METADATA = ['100.100.100.200', '168.63.129.16', '169.254.0.0/16', '192.0.0.192'];
const METADATA6 = ['fd00:ec2::254'];

/** ICMPv6 that a host and its neighbours can't do without (RFC 4890): neighbour discovery, and who listens to which group. */
const NEIGHBOUR = 'nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert';

export function inetTable(whole: PlannedPlace, { tag, passing, closed }: KernelHost): NftTable {
  const place = { ...whole, networks: whole.networks.filter(({ network }) => network.mode !== 'bridged') };
  const isHost = place.netns === undefined;
  const hasViews = place.networks.some((planned) => viewsOf(planned).length > 0);
  const acls = place.networks.filter(({ network }) => hasAcl(network)).map((planned) => aclChain(planned));
  return {
    family: 'inet',
    name: tableName(tag),
    sets: [
      ...bridgeSets(place),
      ...(hasViews ? viewSets(place.networks) : []),
      ...(isHost ? [...natSets(place), ...closedSets(closed), ...passingSets(passing)] : []),
    ],
    chains: [
      ...acls,
      guestInput(place),
      { name: 'input', hook: base('filter', 'input', 0), rules: ['iifname @bridges jump guest_input'] },
      ...forwardChains(place, tag, isHost ? passing : PASSES_NOTHING),
      ...(hasViews ? [viewChain()] : []),
      ...(isHost ? natChains() : []),
    ],
  };
}

/** nft 1.0.6 knows names for priorities, but not for each hook: numbers serve everywhere. */
function base(type: 'filter' | 'nat', hook: string, priority: number): string {
  return `type ${type} hook ${hook} priority ${priority}; policy accept;`;
}

function set(name: string, type: string, elements: readonly string[], flags?: 'interval'): NftSet {
  return { kind: 'set', name, type, elements: [...new Set(elements)].sort(), flags };
}

function bridgeSets({ networks }: PlannedPlace): NftSet[] {
  const bridges = networks.flatMap((each) => each.bridges);
  return [
    set('bridges', 'ifname', bridges.map(quoted)),
    set(
      'pairs',
      'ifname . ifname',
      bridges.map((name) => `${quoted(name)} . ${quoted(name)}`),
    ),
    set(
      'gateways',
      'ifname . ipv4_addr',
      networks.map(({ bridge, network }) => `${quoted(bridge)} . ${network.gateway}`),
    ),
    set(
      'gateways6',
      'ifname . ipv6_addr',
      networks.flatMap(({ bridge, network }) =>
        network.ipv6 === undefined ? [] : [`${quoted(bridge)} . ${network.ipv6.gateway}`],
      ),
    ),
    // host-only: that its host can be reached is what it is for.
    set(
      'open',
      'ifname',
      networks.filter(({ network }) => network.mode === 'host-only').map(({ bridge }) => quoted(bridge)),
    ),
  ];
}

function natSets({ networks }: PlannedPlace): NftSet[] {
  const leading = networks.filter(({ network }) => leadsOut(network.mode));
  const subnets = leading.map(({ network }) => network.subnet);
  const subnets6 = leading.flatMap(({ network }) => network.ipv6?.subnet ?? []);
  return [
    set(
      'leading_out',
      'ifname',
      leading.map(({ bridge }) => quoted(bridge)),
    ),
    set('metadata', 'ipv4_addr', METADATA, 'interval'),
    set('metadata6', 'ipv6_addr', METADATA6),
    set('subnets', 'ipv4_addr', subnets, 'interval'),
    set('subnets6', 'ipv6_addr', subnets6, 'interval'),
    ...forwardMaps(networks),
  ];
}

function closedSets(ranges: readonly string[]): NftSet[] {
  return [
    set('closed', 'ipv4_addr', outermost(ranges.filter((range) => !range.includes(':'))), 'interval'),
    set('closed6', 'ipv6_addr', outermost(ranges.filter((range) => range.includes(':'))), 'interval'),
  ];
}

/** The kernel takes no range that lies in another of its set. */
function outermost(ranges: readonly string[]): string[] {
  const holds = (outer: string, range: string): boolean =>
    prefixOf(outer) < prefixOf(range) && isIn(outer, range.replace(/\/.*/, ''));
  return ranges.filter((range) => !ranges.some((each) => holds(each, range)));
}

/** Those of any address of the host, and those of one. */
function forwardMaps(networks: readonly NicPlace[]): NftSet[] {
  const any: string[] = [];
  const one: string[] = [];
  for (const planned of networks) {
    for (const forward of planned.network.forwards ?? []) {
      const target = targetOf(planned, forward);
      if (target === undefined) continue;
      const key = `${forward.protocol} . ${forward.hostPort}`;
      if (forward.hostAddress === '0.0.0.0') any.push(`${key} : ${target}`);
      else one.push(`${forward.hostAddress} . ${key} : ${target}`);
    }
  }
  const map = (name: string, type: string, elements: string[]): NftSet => ({
    kind: 'map',
    name,
    type,
    elements: elements.sort(),
  });
  return [
    map('forwards_any', 'inet_proto . inet_service : ipv4_addr . inet_service', any),
    map('forwards_one', 'ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service', one),
  ];
}

/** The VM may not run at the moment: then nobody answers. */
function targetOf(planned: NicPlace, { vm, guestPort }: NetworkForward): string | undefined {
  const found = planned.nics.find((each) => each.vm.name === vm || each.vm.id === vm);
  return found === undefined ? undefined : `${found.nic.address} . ${guestPort}`;
}

/** A guest reaches nothing of the host but what its network needs at its gateway. */
function guestInput({ networks }: PlannedPlace): NftChain {
  const opensHost = networks.some(({ network }) => network.mode === 'host-only');
  return {
    name: 'guest_input',
    rules: [
      'ct state established,related accept',
      'udp sport 68 udp dport 67 accept',
      'iifname . ip daddr @gateways meta l4proto { tcp, udp } th dport 53 accept',
      ...viewInput(networks),
      'iifname . ip daddr @gateways icmp type echo-request accept',
      `icmpv6 type { ${NEIGHBOUR}, mld-listener-report, mld2-listener-report } accept`,
      'ip6 daddr fe80::/10 icmpv6 type echo-request accept',
      'udp sport 546 udp dport 547 accept',
      'iifname . ip6 daddr @gateways6 meta l4proto { tcp, udp } th dport 53 accept',
      'iifname . ip6 daddr @gateways6 icmpv6 type echo-request accept',
      ...(opensHost
        ? ['iifname @open iifname . ip daddr @gateways accept', 'iifname @open iifname . ip6 daddr @gateways6 accept']
        : []),
      'drop',
    ],
  };
}

function forwardChains({ networks, netns }: PlannedPlace, tag: string, passing: Passing): NftChain[] {
  const withAcl = networks.filter(({ network }) => hasAcl(network));
  const acl = (which: 'iifname' | 'oifname'): string[] =>
    withAcl.flatMap((planned) => planned.bridges.map((name) => `${which} ${quoted(name)} jump ${aclName(planned)}`));
  const refuse = 'reject with icmpx admin-prohibited';
  const out =
    netns !== undefined
      ? []
      : [
          'ip daddr @metadata reject with icmpx admin-prohibited',
          'ip6 daddr @metadata6 reject with icmpx admin-prohibited',
          'iifname @leading_out ct status dnat accept',
          `oifname @bridges ${refuse}`,
          `ip daddr @closed ${refuse}`,
          `ip6 daddr @closed6 ${refuse}`,
          // A router of theirs may send what is not from here; nobody out there would know the way back.
          'iifname @leading_out ip saddr @subnets accept',
          'iifname @leading_out ip6 saddr @subnets6 accept',
        ];
  return [
    {
      name: 'from_guest',
      rules: [
        'ct state established,related accept',
        ...acl('iifname'),
        'iifname . oifname @pairs accept',
        ...out,
        refuse,
      ],
    },
    {
      name: 'to_guest',
      rules: ['ct state established,related accept', ...acl('oifname'), 'ct status dnat accept', refuse],
    },
    ...(passing.interfaces.length > 0 || passing.ipv6 ? [TO_NOBODY] : []),
    {
      name: 'forward',
      hook: base('filter', 'forward', 0),
      rules: [
        // What br_netfilter shows of a bridge is nearly all of this kind: it is let pass without a look at any set.
        `iifname ${quoted(`${bridgePrefix(tag)}*`)} ct state established,related accept`,
        'iifname @bridges jump from_guest',
        'oifname @bridges jump to_guest',
        ...passingRules(passing),
      ],
    },
  ];
}

function passingSets({ interfaces, bridges }: Passing): NftSet[] {
  const same = bridges.map((name) => `${quoted(name)} . ${quoted(name)}`);
  return [
    ...(interfaces.length > 0 ? [set('passing', 'ifname', interfaces.map(quoted))] : []),
    ...(bridges.length > 0 ? [set('same_bridge', 'ifname . ifname', same)] : []),
  ];
}

/**
 * What is neither from nor to a guest, ours or another instance's, goes no further than it did without us. A LAN that guests are on
 * is the host's own: what is led on to it by the host, or from it, is nobody's guest.
 */
function passingRules({ interfaces, ipv6, bridges }: Passing): string[] {
  return [
    ...(bridges.length > 0 ? ['iifname . oifname @same_bridge accept'] : []),
    ...(interfaces.length > 0 ? ['iifname @passing meta nfproto ipv4 jump to_nobody'] : []),
    ...(ipv6 ? [`iifname ${LAN} meta nfproto ipv6 jump to_nobody`] : []),
    ...(ipv6 ? [`iifname != ${GUEST} meta nfproto ipv6 jump to_nobody`] : []),
  ];
}

/** Names of the latter begin like those of the former. */
const [GUEST, LAN] = [quoted(`${ANY_PREFIX}*`), quoted(`${UPLINK_PREFIX}*`)];
const TO_NOBODY: NftChain = { name: 'to_nobody', rules: [`oifname ${LAN} drop`, `oifname != ${GUEST} drop`] };

function natChains(): NftChain[] {
  const forwards = [
    'dnat ip to ip daddr . meta l4proto . th dport map @forwards_one',
    'fib daddr type local dnat ip to meta l4proto . th dport map @forwards_any',
  ];
  return [
    {
      name: 'prerouting',
      hook: base('nat', 'prerouting', -100),
      // Ports of its loopback are the host's alone: neighbours can send there, and routes are looked at after this.
      rules: ['ip daddr 127.0.0.0/8 return', ...forwards],
    },
    // The host calls itself.
    { name: 'output', hook: base('nat', 'output', -100), rules: forwards },
    {
      name: 'postrouting',
      hook: base('nat', 'postrouting', 100),
      rules: [
        // Whoever is forwarded would be answered past us: a neighbour of the guest, or the host's own loopback.
        'oifname @bridges ct status dnat ip saddr 127.0.0.0/8 masquerade',
        'oifname @bridges ct status dnat ip saddr @subnets masquerade',
        'ip daddr { 224.0.0.0/4, 255.255.255.255 } return',
        'oifname != @bridges ip saddr @subnets masquerade',
        'oifname != @bridges ip6 saddr @subnets6 masquerade',
      ],
    },
  ];
}

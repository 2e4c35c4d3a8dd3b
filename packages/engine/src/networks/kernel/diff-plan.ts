import { ANYBODY, type ActualLink, type ActualPlace, type ActualVlans } from './actual-model.ts';
import type { Bridge, Ifb, KernelPlan, Link, Place, Tap, Vxlan } from './kernel-model.ts';
import { isInForce, removeTable, replaceTable } from './nft-model.ts';
import { tableName, tapPrefix } from './names-model.ts';
import { isQueue, queueLine, type Queue } from './queue-plan.ts';
import { VXLAN_PORT } from './tunnels-plan.ts';
import { isVlans, NEW_PORT, vlanLines } from './vlan-plan.ts';

/**
 * From what is there to what is wanted: lines for `ip -batch` and the like, place by place; none when all is as it should be.
 * What depends on what is made in one round comes in the next. Pure.
 */

export interface PlaceSteps {
  readonly netns?: string | undefined;
  /** Whole transactions; before anything else, so that no interface is up without its rules. */
  readonly nft: string;
  readonly ip: readonly string[];
  readonly bridge: readonly string[];
  readonly tc: readonly string[];
}

export interface Steps {
  readonly makeNamespaces: readonly string[];
  readonly places: readonly PlaceSteps[];
  readonly removeNamespaces: readonly string[];
}

/**
 * @param actual of every namespace of ours that there is; the daemon's own has no name and is there always
 * @param own what ip(8) knows the daemon's own namespace by: a process in it
 */
export function diff(plan: KernelPlan, actual: readonly ActualPlace[], tag: string, own: string): Steps {
  const find = (netns: string | undefined): ActualPlace | undefined => actual.find((each) => each.netns === netns);
  const wanted = new Set(plan.places.map(({ netns }) => netns));
  return {
    makeNamespaces: plan.places.flatMap(({ netns }) =>
      netns !== undefined && find(netns) === undefined ? [netns] : [],
    ),
    places: actual.map((there) => {
      const leaving = leavingFor(plan, there, find, own);
      const moves = [...leaving].map(([name, netns]) => `link set dev ${name} netns ${netns}`);
      const place = plan.places.find(({ netns }) => netns === there.netns);
      // Of a namespace that goes only what is wanted elsewhere is touched: all else goes with it.
      if (place === undefined) return { netns: there.netns, nft: '', ip: moves, bridge: [], tc: [] };
      const steps = placeSteps(place, there, leaving, tag);
      const tunnels = place.netns === undefined ? newTunnels(plan, there, find) : [];
      return { ...steps, ip: [...steps.ip, ...tunnels, ...moves] };
    }),
    removeNamespaces: actual.flatMap(({ netns }) => (netns !== undefined && !wanted.has(netns) ? [netns] : [])),
  };
}

type Find = (netns: string | undefined) => ActualPlace | undefined;

/**
 * Interface -> namespace that it is wanted in. Taps are made in our own, by whoever starts a VM; and a NIC may be plugged in
 * somewhere else.
 */
function leavingFor(plan: KernelPlan, from: ActualPlace, find: Find, own: string): Map<string, string> {
  const elsewhere = plan.places.filter(({ netns }) => netns !== from.netns && find(netns) !== undefined);
  return new Map(
    elsewhere.flatMap(({ netns = own, links }) =>
      links
        .filter(({ kind, name }) => (kind === 'tap' || kind === 'vxlan') && from.links.has(name))
        .map(({ name }): [string, string] => [name, netns]),
    ),
  );
}

/** The far end of a tunnel stays where it was made. Nothing is learned from what comes out of it: who is where is told. */
function newTunnels(plan: KernelPlan, own: ActualPlace, find: Find): string[] {
  return plan.places.flatMap(({ netns, links }) => {
    const there = find(netns);
    if (there === undefined) return [];
    return links.flatMap((link) =>
      link.kind !== 'vxlan' || own.links.has(link.name) || there.links.has(link.name)
        ? []
        : [
            `link add name ${link.name} type vxlan id ${link.vni} dstport ${VXLAN_PORT} nolearning${familyOf(link)}`,
            `link set dev ${link.name} netns ${netns}`,
          ],
    );
  });
}

/** It is of IPv6 if it begins with a peer that is (vxlan_nl2conf of Linux); by itself of IPv4, whichever it is told of later. */
function familyOf({ peers }: Vxlan): string {
  const first = peers.find((peer) => peer.includes(':'));
  return first === undefined ? '' : ` remote ${first}`;
}

export function isNothing({ makeNamespaces, places, removeNamespaces }: Steps): boolean {
  return (
    makeNamespaces.length + removeNamespaces.length === 0 &&
    places.every(({ nft, ip, bridge, tc }) => nft === '' && ip.length + bridge.length + tc.length === 0)
  );
}

function placeSteps(place: Place, actual: ActualPlace, leaving: ReadonlyMap<string, string>, tag: string): PlaceSteps {
  const links = place.links.filter((link) => isDue(link, actual));
  const wanted = new Set(links.map(({ name }) => name));
  const surplus = [...actual.links].filter(([name]) => !wanted.has(name) && !leaving.has(name));
  return {
    netns: place.netns,
    nft: nftText(place, actual, tag),
    ip: [
      ...surplus.flatMap(([name, link]) => removal(name, link, tag)),
      ...links.flatMap((link) => linkLines(link, actual)),
    ],
    bridge: links.flatMap((link) =>
      link.kind === 'vxlan' ? floodLines(link, actual) : link.kind === 'tap' ? portLines(link, actual) : [],
    ),
    tc: links.flatMap((link) =>
      link.kind === 'tap'
        ? queueLines(
            link,
            links.find((each) => isBehind(each, link)),
            actual,
          )
        : [],
    ),
  };
}

/** A bridge is made here. A tap comes and goes with its VM, what serves it with the tap; a tunnel is moved here. */
function isDue(link: Link, actual: ActualPlace): boolean {
  if (link.kind === 'bridge') return true;
  return actual.links.has(link.kind === 'ifb' ? link.tap : link.name);
}

function nftText({ tables }: Place, actual: ActualPlace, tag: string): string {
  return (['bridge', 'inet'] as const)
    .map((family) => {
      const wanted = tables.find((table) => table.family === family);
      const listed = actual.tables[family];
      if (wanted !== undefined) return isInForce(wanted, listed) ? '' : replaceTable(wanted);
      return listed === undefined ? '' : removeTable({ family, name: tableName(tag) });
    })
    .join('');
}

/** A tap is its VM's, which may be starting: it is only unplugged, if it was plugged in. */
function removal(name: string, { master }: ActualLink, tag: string): string[] {
  if (!name.startsWith(tapPrefix(tag))) return [`link del dev ${name}`];
  return master === undefined ? [] : [`link set dev ${name} down`, `link set dev ${name} nomaster`];
}

function linkLines(link: Link, actual: ActualPlace): string[] {
  const there = actual.links.get(link.name);
  if (link.kind === 'bridge') return bridgeLines(link, there, actual);
  if (link.kind === 'ifb') {
    if (there === undefined) return [`link add name ${link.name} type ifb`, `link set dev ${link.name} up`];
    return there.isUp ? [] : [`link set dev ${link.name} up`];
  }
  if (there === undefined) return [];
  const isPlugged = there.master === link.master && there.mtu === link.mtu;
  const isReady = link.kind === 'vxlan' || isApart(link, actual);
  if (isPlugged && (there.isUp || !isReady)) return [];
  return [`link set dev ${link.name} mtu ${link.mtu} master ${link.master} ${isReady ? 'up' : 'down'}`];
}

/** Whether nobody hears a port that should not: until its VLANs are its own it is down. */
function isApart({ name, master, vlans }: Tap, actual: ActualPlace): boolean {
  return vlans === undefined || isVlans(vlans, vlansNow(name, master, actual));
}

function vlansNow(name: string, master: string, { links, vlans }: ActualPlace): ActualVlans {
  return (links.get(name)?.master === master ? vlans.get(name) : undefined) ?? NEW_PORT;
}

function bridgeLines(link: Bridge, there: ActualLink | undefined, actual: ActualPlace): string[] {
  const { name, mac, mtu, ownVlan } = link;
  // As long as one of its ports is in a VLAN: they are to leave first.
  const filtersVlans = link.filtersVlans || (there?.filtersVlans === true && hasVlans(name, actual));
  const filters = [
    `nf_call_iptables ${link.filtersIp ? 1 : 0}`,
    `nf_call_ip6tables ${link.filtersIp ? 1 : 0}`,
    ...(ownVlan === undefined && there?.filtersVlans !== true ? [] : [`vlan_filtering ${filtersVlans ? 1 : 0}`]),
    ...(ownVlan === undefined ? [] : [`vlan_default_pvid ${ownVlan}`]),
  ].join(' ');
  const lines: string[] = [];
  if (there === undefined) {
    // Without a querier snooping loses the groups of neighbour discovery (RFC 4541 section 3).
    lines.push(
      `link add name ${name} address ${mac} mtu ${mtu} type bridge forward_delay 0 mcast_snooping 0 ${filters}`,
    );
    // Where the host has no address it is not to be spoken to either.
    if (link.addresses.length === 0) lines.push(`link set dev ${name} addrgenmode none`);
  } else {
    if (there.mac !== mac || there.mtu !== mtu) lines.push(`link set dev ${name} address ${mac} mtu ${mtu}`);
    const isSo =
      there.filtersIp === link.filtersIp &&
      there.filtersVlans === filtersVlans &&
      (ownVlan === undefined || there.ownVlan === ownVlan);
    if (!isSo) lines.push(`link set dev ${name} type bridge ${filters}`);
  }
  const has = there?.addresses ?? [];
  for (const address of has) if (!link.addresses.includes(address)) lines.push(`address del ${address} dev ${name}`);
  for (const address of link.addresses) {
    if (!has.includes(address))
      lines.push(`address add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
  }
  if (there?.isUp !== true) lines.push(`link set dev ${name} up`);
  return lines;
}

function hasVlans(bridge: string, { links, vlans }: ActualPlace): boolean {
  return [...vlans].some(
    ([name, found]) =>
      links.get(name)?.master === bridge && !isVlans({ untagged: NEW_PORT.untagged, tagged: [] }, found),
  );
}

function floodLines({ name, peers }: Vxlan, { flooded }: ActualPlace): string[] {
  const has = flooded.get(name) ?? [];
  return [
    ...has.filter((peer) => !peers.includes(peer)).map((peer) => `fdb del ${ANYBODY} dev ${name} dst ${peer}`),
    ...peers.filter((peer) => !has.includes(peer)).map((peer) => `fdb append ${ANYBODY} dev ${name} dst ${peer}`),
  ];
}

function portLines({ name, master, vlans }: Tap, actual: ActualPlace): string[] {
  return vlans === undefined ? [] : vlanLines(name, vlans, vlansNow(name, master, actual));
}

function isBehind(link: Link, { name }: Tap): link is Ifb {
  return link.kind === 'ifb' && link.tap === name;
}

/** What a guest gets waits at its tap, what it sends at an interface behind it. */
function queueLines({ name, queue }: Tap, behind: Ifb | undefined, { links, queues }: ActualPlace): string[] {
  const has = queues.get(name);
  const lines = rootLines(name, queue, has?.queue);
  const leads = has?.ingress === true;
  const end = leads ? [`qdisc del dev ${name} ingress`] : [];
  if (behind === undefined) return [...lines, ...end];
  lines.push(...rootLines(behind.name, behind.queue, queues.get(behind.name)?.queue));
  // A new interface is another one, whatever it is called.
  if (leads && links.has(behind.name)) return lines;
  return [
    ...lines,
    ...end,
    `qdisc add dev ${name} ingress`,
    `filter add dev ${name} parent ffff: protocol all prio 1 u32 match u32 0 0 action mirred egress redirect dev ${behind.name}`,
  ];
}

function rootLines(name: string, wanted: Queue | undefined, found: Queue | undefined): string[] {
  if (isQueue(wanted, found)) return [];
  return [wanted === undefined ? `qdisc del dev ${name} root` : queueLine(name, wanted)];
}

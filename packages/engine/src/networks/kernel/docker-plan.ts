import { leadsOut } from './inet-plan.ts';
import type { OwnBridge } from './kernel-model.ts';
import type { PlannedPlace } from './places-plan.ts';

/**
 * Docker drops what is routed, and where it has loaded br_netfilter what is bridged as well, unless its chain DOCKER-USER, which is
 * there for others, accepts it (its manual, "Packet filtering and firewalls"). What is let through here is still judged
 * by our own rules. As iptables(8) writes rules down itself, so that they are found again. Pure.
 */

export const DOCKER_CHAIN = 'DOCKER-USER';

export function ownBridges(places: readonly PlannedPlace[]): OwnBridge[] {
  const host = places.find(({ netns }) => netns === undefined);
  return (host?.networks ?? []).flatMap(({ network, bridge, bridges }) =>
    bridges.map((name): OwnBridge => {
      if (network.mode === 'bridged') return { name, leads: 'lan' };
      return { name, leads: leadsOut(network.mode) && name === bridge ? 'out' : 'nowhere' };
    }),
  );
}

/**
 * What DOCKER-USER is to have of ours: never a way to Docker's own containers.
 * @param uplinks by which this host reaches others
 */
export function dockerRules(bridges: readonly OwnBridge[], uplinks: readonly string[], tag: string): string[] {
  const accept = (match: string): string => `${match} -m comment --comment ${commentOf(tag)} -j ACCEPT`;
  return bridges.flatMap(({ name, leads }) => [
    accept(`-i ${name} -o ${name}`),
    ...(leads === 'out' ? uplinks.map((uplink) => accept(`-i ${name} -o ${uplink}`)) : []),
    ...(leads === 'lan' ? [] : [accept(`-o ${name} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT`)]),
  ]);
}

/**
 * Arguments of iptables(8), each behind `-w SECONDS`. Whoever has rules of his own there goes first.
 * @param listed what `iptables -S DOCKER-USER` prints
 */
export function dockerSteps(wanted: readonly string[], listed: string, tag: string): string[][] {
  const rules = listed.split('\n').flatMap((line) => (line.startsWith(PREFIX) ? [line.slice(PREFIX.length)] : []));
  const own = rules.filter((rule) => rule.includes(` --comment ${commentOf(tag)} `));
  const surplus = own.filter((rule, index) => !wanted.includes(rule) || own.indexOf(rule) !== index);
  const missing = wanted.filter((rule) => !own.includes(rule));
  const left = rules.length - surplus.length;
  const place = rules.at(-1) === '-j RETURN' ? left : left + 1;
  return [
    ...surplus.map((rule) => ['-D', DOCKER_CHAIN, ...rule.split(' ')]),
    ...missing.map((rule, index) => ['-I', DOCKER_CHAIN, String(place + index), ...rule.split(' ')]),
  ];
}

const PREFIX = `-A ${DOCKER_CHAIN} `;

function commentOf(tag: string): string {
  return `skerry-${tag}`;
}

interface Route {
  readonly dst: string;
  readonly dev?: string;
  readonly nexthops?: ReadonlyArray<{ readonly dev?: string }>;
}

/**
 * Interfaces that lead to others: that of the default route, and those of the other routes that are no bridge, as Docker's networks
 * are.
 * @param routes `ip -j route show`, of IPv4 or IPv6
 * @param links `ip -j -d link show`
 */
export function uplinksOf(routes: unknown, links: unknown): string[] {
  const bridges = (links as Array<{ ifname: string; linkinfo?: { info_kind?: string } }>)
    .filter(({ linkinfo }) => linkinfo?.info_kind === 'bridge')
    .map(({ ifname }) => ifname);
  const devices = (routes as Route[]).flatMap(({ dst, dev, nexthops = [] }) =>
    [dev, ...nexthops.map((hop) => hop.dev)].flatMap((name) =>
      name === undefined || (bridges.includes(name) && dst !== 'default') ? [] : [name],
    ),
  );
  // Interfaces' names have no blanks, but iptables reads a `+` at the end as a pattern.
  return [...new Set(devices)].filter((name) => name !== 'lo' && /^[\w.:@-]{1,15}$/.test(name)).toSorted();
}

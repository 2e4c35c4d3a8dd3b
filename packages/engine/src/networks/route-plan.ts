import { SkerryError, type NetworkStatus, type Route } from '@skerry/api';
import { cidrsOverlap, formatIpv4, inCidr, lastAddress, parseCidr, parseIpv4 } from '@skerry/switch/address';
import { cidrs6Overlap, formatIpv6, inCidr6, parseCidr6, parseIpv6 } from './addresses6.ts';

/** Routes that VMs are told: those of their networks, and their own. Pure. */

type Place = Pick<NetworkStatus, 'subnet' | 'ipv6'>;

/** '10.1.2.3/8' -> '10.0.0.0/8': the kernel takes no route with bits below its prefix. */
export function normalRoute({ to, via }: Route): Route {
  const [range, range6] = [parseCidr(to), parseCidr6(to)];
  if (range !== undefined) return { to: `${formatIpv4(range.base)}/${range.prefix}`, via };
  return range6 === undefined ? { to, via } : { to: `${formatIpv6(range6.base)}/${range6.prefix}`, via };
}

/** @throws SkerryError `invalid`: one of them leads nowhere, or two lead to the same range */
export function checkRoutes(routes: readonly Route[], place: Place): void {
  for (const route of routes) checkRoute(route, place);
  checkDistinct(routes);
}

/** A VM's own: each next hop is on one of its networks. @throws SkerryError as `checkRoutes` */
export function checkVmRoutes(routes: readonly Route[], places: readonly Place[]): void {
  for (const route of routes)
    checkRoute(route, places.find((place) => isNear(route.via, place)) ?? places[0] ?? NOWHERE);
  checkDistinct(routes);
}

/** Of a VM without a NIC. */
const NOWHERE: Place = { subnet: '' };

function checkDistinct(routes: readonly Route[]): void {
  const seen = new Set<string>();
  for (const { to } of routes.map(normalRoute)) {
    if (seen.has(to)) {
      throw new SkerryError('invalid', `There are two routes to ${to}`, {
        remedy: 'Take one of them away: the way there is a single one.',
        details: { to },
      });
    }
    seen.add(to);
  }
}

/** A NIC, as far as it decides which routes are of use on it. */
export interface RoutedNic extends Place {
  readonly address: string;
  readonly address6?: string | undefined;
  /** Of its network. */
  readonly routes: readonly Route[];
}

/**
 * Per NIC, what the guest is told: a VM's own route comes before one of its networks. A VM needs none to what it is on
 * itself, and none by way of itself: that is the router.
 */
export function routesOfNics(nics: readonly RoutedNic[], own: readonly Route[]): Route[][] {
  const told = new Set<string>(
    nics.flatMap(({ subnet, ipv6 }) => [subnet, ...(ipv6 === undefined ? [] : [ipv6.subnet])]),
  );
  const result = nics.map((): Route[] => []);
  const tell = (index: number, route: Route): void => {
    const { to, via } = normalRoute(route);
    if (told.has(to) || nics.some(({ address, address6 }) => via === address || via === address6)) return;
    told.add(to);
    result[index]?.push({ to, via });
  };
  for (const route of own) {
    const index = nics.findIndex((nic) => isNear(route.via, nic));
    if (index >= 0) tell(index, route);
  }
  for (const [index, nic] of nics.entries()) for (const route of nic.routes) tell(index, route);
  return result;
}

function isNear(via: string, { subnet, ipv6 }: Place): boolean {
  const [next, own] = [parseIpv4(via), parseCidr(subnet)];
  if (next !== undefined) {
    return own !== undefined && inCidr(own, next) && next !== own.base && next !== lastAddress(own);
  }
  const [next6, own6] = [parseIpv6(via), ipv6 === undefined ? undefined : parseCidr6(ipv6.subnet)];
  return own6 !== undefined && next6 !== undefined && inCidr6(own6, next6);
}

/** @throws SkerryError `invalid`: its next hop is not in the network, or it leads to the network itself */
export function checkRoute({ to, via }: Route, place: Place): void {
  const { subnet, ipv6 } = place;
  const is4 = !to.includes(':');
  if (is4 === via.includes(':')) {
    throw new SkerryError('invalid', `${to} can not be reached via ${via}: one is IPv4, the other IPv6`, {
      remedy: 'Write both in the same family.',
    });
  }
  if (!isNear(via, place)) {
    throw new SkerryError('invalid', `${via} is no next hop in ${is4 ? subnet : (ipv6?.subnet ?? subnet)}`, {
      remedy: 'Write the address of a router that is on this network.',
      details: { to, via },
    });
  }
  if (!isOwn(to, place)) return;
  throw new SkerryError('invalid', `${to} is on the network itself: nothing has to be routed there`, {
    remedy: 'Name a range that is behind the router.',
    details: { to, via },
  });
}

function isOwn(to: string, { subnet, ipv6 }: Place): boolean {
  const [range, own] = to.includes(':') ? [] : [parseCidr(to), parseCidr(subnet)];
  if (range !== undefined) return own !== undefined && range.prefix >= own.prefix && cidrsOverlap(range, own);
  const [range6, own6] = [parseCidr6(to), ipv6 === undefined ? undefined : parseCidr6(ipv6.subnet)];
  return range6 !== undefined && own6 !== undefined && range6.prefix >= own6.prefix && cidrs6Overlap(range6, own6);
}

import { SkerryError, type Network, type Route, type RouteAdd, type Vm } from '@skerry/api';
import { normalRoute } from './route-plan.ts';

/** Routes as they are typed: by way of an address, a VM, or whoever is the router. Pure. */

/**
 * @param places networks that its next hop may be on
 * @throws SkerryError `not-found` (the VM, a router), `invalid` (several routers, a VM that is elsewhere)
 */
export function nextHop(
  { to, via }: RouteAdd,
  places: readonly Pick<Network, 'name'>[],
  vms: readonly Pick<Vm, 'id' | 'name' | 'spec' | 'status'>[],
): Route {
  if (via !== undefined && (via.includes('.') || via.includes(':'))) return normalRoute({ to, via });
  const names = places.map(({ name }) => name);
  const where = `the network '${names.join("' or '")}'`;
  const found = vms.filter(({ id, name, spec }) =>
    via === undefined ? spec.role === 'router' : name === via || id === via,
  );
  const there = found.flatMap((vm) => {
    const address = hopOf(to, names, vm);
    return address === undefined ? [] : [{ name: vm.name, address }];
  });
  const [hop, other] = there;
  if (hop === undefined) {
    throw new SkerryError(
      'not-found',
      via === undefined ? `No router is on ${where}` : `No VM '${via}' is on ${where}`,
      {
        remedy: `Say who passes it on: --via ADDRESS, or --via VM; or make a router: \`skerry create NAME --role router --network ${names[0] ?? 'N'}\`.`,
      },
    );
  }
  if (other !== undefined) {
    throw new SkerryError('invalid', `${there.map(({ name }) => name).join(' and ')} are routers on ${where}`, {
      remedy: `Name one of them: --via ${hop.name}.`,
    });
  }
  return normalRoute({ to, via: hop.address });
}

function hopOf(to: string, networks: readonly string[], { status }: Pick<Vm, 'status'>): string | undefined {
  const own = status.nics.filter(({ network }) => networks.includes(network));
  const addresses = own.map(({ address, address6 }) => (to.includes(':') ? address6 : address));
  return addresses.find((address) => address !== undefined && address !== '');
}

/** The same again changes nothing. @throws SkerryError `conflict`: there is another way to that range */
export function withRoute(routes: Route[], route: Route): Route[] {
  const known = routes.find(({ to }) => to === route.to);
  if (known === undefined) return [...routes, route];
  if (known.via === route.via) return routes;
  throw new SkerryError('conflict', `${route.to} is routed via ${known.via} already`, {
    remedy: 'Remove that route first.',
    details: { to: route.to, via: known.via },
  });
}

/** @throws SkerryError `not-found` */
export function withoutRoute(routes: readonly Route[], to: string): Route[] {
  const wanted = normalRoute({ to, via: '' }).to;
  const left = routes.filter((route) => route.to !== wanted);
  if (left.length < routes.length) return left;
  const there = routes.map((route) => route.to).join(', ');
  throw new SkerryError('not-found', `There is no route to ${wanted}`, {
    remedy: there === '' ? 'It has none.' : `Name one of ${there}.`,
  });
}

import { RouteAdd, RouteKey, type Route, type Vm, type VmChanged } from '@skerry/api';
import { addRoute, nextHop, refOf, removeRoute, withoutRoute, withRoute } from '@skerry/engine';
import type { Platform } from '../platform.ts';
import type { Handlers } from './routes.ts';

type Parts = Pick<Platform, 'networkVerbs' | 'networkChanges' | 'changes' | 'vms'>;

/** Operations about routes that VMs are told. */
export function routeHandlers({ networkVerbs: verbs, networkChanges, changes, vms }: Parts): Handlers {
  /** @param to on what is there */
  const ofVm = async (ref: string, to: (routes: Route[], vm: Vm) => Route[] | Promise<Route[]>): Promise<VmChanged> => {
    const vm = await vms.get(ref);
    const routes = await to(vm.spec.routes ?? [], vm);
    return changes.set(vm.id, { routes: routes.length === 0 ? null : routes });
  };
  return {
    answers: {
      'network.route.list': async (_, { network = '' }) => (await verbs.get(network)).spec.routes ?? [],
      'vm.route.list': async (_, { vm = '' }) => (await vms.get(vm)).spec.routes ?? [],
      'vm.route.add': (request, { vm: ref = '' }) => {
        const wanted = RouteAdd.parse(request.body);
        return ofVm(ref, async (routes, { id, status }) => {
          const places = status.nics.map(({ network }) => ({ name: network }));
          const others = (await vms.list()).filter((other) => other.id !== id);
          return withRoute(routes, nextHop(wanted, places, others));
        });
      },
      'vm.route.remove': (request, { vm: ref = '' }) => {
        const { to } = RouteKey.parse(request.query);
        return ofVm(ref, (routes) => withoutRoute(routes, to));
      },
    },
    works: {
      'network.route.add': async (request, { network: ref = '' }) => {
        const wanted = RouteAdd.parse(request.body);
        const network = await networkChanges.plan(ref, addRoute(wanted));
        const what = `route to ${wanted.to}`;
        return {
          description: `${network.name}: ${what}`,
          target: refOf(network),
          run: () => networkChanges.apply(network.id, addRoute(wanted), what),
        };
      },
      'network.route.remove': async (request, { network: ref = '' }) => {
        const { to } = RouteKey.parse(request.query);
        const network = await networkChanges.plan(ref, removeRoute(to));
        const what = `no route to ${to}`;
        return {
          description: `${network.name}: ${what}`,
          target: refOf(network),
          run: () => networkChanges.apply(network.id, removeRoute(to), what),
        };
      },
    },
  };
}

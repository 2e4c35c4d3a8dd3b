import { AclAdd, AclDefault, ExplainAsk, ForwardKey, NetworkCreate, NetworkForward, SkerryError } from '@skerry/api';
import {
  aclOf,
  addForward,
  addRule,
  describeRule,
  refOf,
  removeForward,
  removeRule,
  setAclDefault,
  type NetworkChange,
} from '@skerry/engine';
import type { Platform } from '../platform.ts';
import type { Handlers, TaskPlan } from './routes.ts';

type Parts = Pick<Platform, 'networkVerbs' | 'networkChanges' | 'networks' | 'explain'>;

/** Operations about networks. */
export function networkHandlers({ networkVerbs: verbs, networkChanges: changes, networks, explain }: Parts): Handlers {
  /** A change of a network that VMs may be on. */
  const change = async (ref: string, what: string, body: NetworkChange): Promise<TaskPlan> => {
    const network = await changes.plan(ref, body);
    return {
      description: `${network.name}: ${what}`,
      target: refOf(network),
      run: () => changes.apply(network.id, body, what),
    };
  };
  return {
    answers: {
      'network.list': () => verbs.list(),
      'network.get': (_, { network = '' }) => networks.shown(network),
      'network.leases': (_, { network = '' }) => verbs.leases(network),
      'network.confirm': (_, { network = '' }) => verbs.confirm(network),
      'network.ruleset': (_, { network = '' }) => networks.ruleset(network),
      'network.forward.list': async (_, { network = '' }) => (await verbs.get(network)).spec.forwards ?? [],
      'network.acl.get': async (_, { network = '' }) => aclOf(await verbs.get(network)),
      'network.explain': (request) => explain.explain(ExplainAsk.parse(request.body)),
    },
    works: {
      'network.create': async (request) => {
        const wanted = NetworkCreate.parse(request.body);
        await verbs.plan(wanted);
        return { description: `Create the network ${wanted.name}`, run: () => verbs.create(wanted) };
      },
      'network.delete': async (_, { network: ref = '' }) => {
        const network = await verbs.get(ref);
        await verbs.assertDeletable(network);
        return {
          description: `Delete the network ${network.name}`,
          target: refOf(network),
          run: async () => {
            await verbs.remove(network);
            return {};
          },
        };
      },
      'network.forward.add': async (request, { network = '' }) => {
        const forward = NetworkForward.parse(request.body);
        const { hostAddress, hostPort, vm, guestPort, protocol } = forward;
        const what = `${protocol} port ${hostAddress}:${hostPort} leads to ${vm}:${guestPort}`;
        return change(network, what, addForward(forward));
      },
      'network.forward.remove': async (request, { network = '' }) => {
        const key = ForwardKey.parse(request.query);
        return change(network, `${key.protocol} port ${key.hostAddress}:${key.hostPort} is closed`, removeForward(key));
      },
      'network.acl.add': async (request, { network = '' }) => {
        const rule = AclAdd.parse(request.body);
        return change(network, describeRule(rule), addRule(rule));
      },
      'network.acl.remove': async (_, { network = '', rule = '' }) => {
        const id = numberOf(rule);
        return change(network, `rule ${id} taken away`, removeRule(id));
      },
      'network.acl.default': async (request, { network = '' }) => {
        const { default: verdict } = AclDefault.parse(request.body);
        return change(network, `${verdict} what no rule fits`, setAclDefault(verdict));
      },
    },
  };
}

function numberOf(rule: string): number {
  if (/^\d{1,9}$/.test(rule)) return Number(rule);
  throw new SkerryError('invalid', `'${rule}' is not the number of a rule`, {
    remedy: 'Write a number that `skerry network acl list` shows.',
  });
}

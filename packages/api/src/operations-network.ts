import { z } from 'zod';
import { AclAdd, AclDefault, ForwardKey, NetworkCreate, RouteAdd, RouteKey, Ruleset } from './network-verbs.ts';
import { Acl, Lease, NetworkForward, Route } from './network.ts';
import { ExplainAsk, Explanation } from './explain.ts';
import type { Operation } from './operation.ts';
import { Network } from './resources.ts';
import { VmChanged } from './vm-change.ts';

/** Calls about networks. A part of OPERATIONS. */
export const NETWORK_OPERATIONS = {
  'network.list': { method: 'GET', path: '/networks', kind: 'json', summary: 'All networks', result: z.array(Network) },
  'network.get': { method: 'GET', path: '/networks/{network}', kind: 'json', summary: 'One network', result: Network },
  'network.create': {
    method: 'POST',
    path: '/networks',
    kind: 'task',
    summary: 'Make a network',
    body: NetworkCreate,
    result: Network,
  },
  'network.confirm': {
    method: 'POST',
    path: '/networks/{network}/confirm',
    kind: 'json',
    summary: 'Keep a bridged network: this host can still be reached',
    result: Network,
  },
  'network.delete': {
    method: 'DELETE',
    path: '/networks/{network}',
    kind: 'task',
    summary: 'Delete a network that no VM is on',
    result: z.object({}),
  },
  'network.leases': {
    method: 'GET',
    path: '/networks/{network}/leases',
    kind: 'json',
    summary: 'Its addresses that somebody has, and who',
    result: z.array(Lease),
  },
  'network.ruleset': {
    method: 'GET',
    path: '/networks/{network}/ruleset',
    kind: 'json',
    summary: 'What it enforces, to be read by a person',
    result: Ruleset,
  },

  'network.forward.list': {
    method: 'GET',
    path: '/networks/{network}/forwards',
    kind: 'json',
    summary: 'Ports of the host that lead into it',
    result: z.array(NetworkForward),
  },
  'network.forward.add': {
    method: 'POST',
    path: '/networks/{network}/forwards',
    kind: 'task',
    summary: 'Let a port of the host lead to a VM on it',
    body: NetworkForward,
    result: Network,
  },
  'network.forward.remove': {
    method: 'DELETE',
    path: '/networks/{network}/forwards',
    kind: 'task',
    summary: 'Close such a port; its connections end',
    query: ForwardKey,
    result: Network,
  },

  'network.acl.get': {
    method: 'GET',
    path: '/networks/{network}/acl',
    kind: 'json',
    summary: 'What may pass in it: rules in their order, then the default',
    result: Acl,
  },
  'network.acl.add': {
    method: 'POST',
    path: '/networks/{network}/acl',
    kind: 'task',
    summary: 'Add a rule, after those that there are',
    body: AclAdd,
    result: Network,
  },
  'network.acl.remove': {
    method: 'DELETE',
    path: '/networks/{network}/acl/{rule}',
    kind: 'task',
    summary: 'Take a rule away, by its number',
    result: Network,
  },
  'network.acl.default': {
    method: 'PUT',
    path: '/networks/{network}/acl/default',
    kind: 'task',
    summary: 'What becomes of packets that no rule fits',
    body: AclDefault,
    result: Network,
  },

  'network.route.list': {
    method: 'GET',
    path: '/networks/{network}/routes',
    kind: 'json',
    summary: 'Routes that its VMs are told',
    result: z.array(Route),
  },
  'network.route.add': {
    method: 'POST',
    path: '/networks/{network}/routes',
    kind: 'task',
    summary: 'Tell its VMs a route, from their next start',
    body: RouteAdd,
    result: Network,
  },
  'network.route.remove': {
    method: 'DELETE',
    path: '/networks/{network}/routes',
    kind: 'task',
    summary: 'Tell them no longer',
    query: RouteKey,
    result: Network,
  },
  'vm.route.list': {
    method: 'GET',
    path: '/vms/{vm}/routes',
    kind: 'json',
    summary: 'Routes of a VM, beside those of its networks',
    result: z.array(Route),
  },
  'vm.route.add': {
    method: 'POST',
    path: '/vms/{vm}/routes',
    kind: 'json',
    summary: 'Tell it a route, from its next start',
    body: RouteAdd,
    result: VmChanged,
  },
  'vm.route.remove': {
    method: 'DELETE',
    path: '/vms/{vm}/routes',
    kind: 'json',
    summary: 'Tell it no longer',
    query: RouteKey,
    result: VmChanged,
  },
  'network.explain': {
    method: 'POST',
    path: '/networks/explain',
    kind: 'json',
    summary: 'Whether one VM reaches another, and if not, what is in the way',
    body: ExplainAsk,
    result: Explanation,
  },
} as const satisfies Record<string, Operation>;

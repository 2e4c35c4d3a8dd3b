import {
  isOwnVm,
  VmSpec,
  type Labels,
  type NetworkSpec,
  type NodeNetwork,
  type NodeSpec,
  type NodeState,
  type NodeVm,
  type PlanStep,
  type Vm,
} from '@skerry/api';

/** Pure: what `up` has to do, from the declaration, each replica a VM of its own (`expandReplicas`), and what is there. */

export const NODE_KIND = { kind: 'node', collection: 'nodes' } as const;

export interface NodeFacts {
  /** VM name inside the node -> the VM. */
  readonly vms: ReadonlyMap<string, Vm>;
  /** Image name -> digest of what a new VM would get; absent: it has to be built first. */
  readonly imageDigests: ReadonlyMap<string, string>;
  /** Networks of the node that exist, by their name inside it -> fields that would be changed. */
  readonly networks: ReadonlyMap<string, readonly string[]>;
  /** Each replica a VM of its own; absent: there is no such node. */
  readonly before?: NodeSpec | undefined;
}

/** How the network `front` of the node `shop` is called outside of it. */
export function networkName(node: string, network: string): string {
  return `${node}-${network}`;
}

/** A node's network as a network: its domain is the node's name, VMs that it names are the node's. */
export function networkSpecOf(node: string, { egress, mode, acl, forwards, ...network }: NodeNetwork): NetworkSpec {
  if (mode === 'link') return { mode };
  const outside = (end: string): string => (isOwnVm(end) ? `${node}/${end}` : end);
  const outsideNic = (nic: string): string => (nic.includes('/') ? nic : `${node}/${nic}`);
  const rules = acl?.rules.map((rule) => ({
    ...rule,
    from: outside(rule.from),
    to: outside(rule.to),
    ...(rule.nic === undefined ? {} : { nic: outsideNic(rule.nic) }),
  }));
  return {
    domain: node,
    ...network,
    mode: mode ?? (egress ? 'nat' : 'isolated'),
    ...(acl === undefined || rules === undefined ? {} : { acl: { ...acl, rules } }),
    ...(forwards === undefined ? {} : { forwards: forwards.map((each) => ({ ...each, vm: outside(each.vm) })) }),
  };
}

/** A node's VM as a VM: its networks get the node's name, its dependencies are the node's business. */
export function vmSpecOf(node: string, vm: NodeVm): VmSpec {
  const { dependsOn: _1, replicas: _2, title: _3, labels: _4, ...spec } = vm;
  return VmSpec.parse({ ...spec, nics: vm.nics.map((nic) => ({ ...nic, network: networkName(node, nic.network) })) });
}

/** Fields whose change needs a new disk or new NICs, and those that need a restart. The rest is taken up as it is. */
const REPLACE_FIELDS = ['type', 'image', 'diskMib', 'nics'] as const;
const RESTART_FIELDS = [
  ...['cpus', 'memoryMib', 'kernel', 'env', 'files', 'secrets', 'command', 'shares', 'role', 'routes'],
] as const satisfies readonly (keyof VmSpec)[];
const LIVE_FIELDS = ['health', 'forwards', 'restart', 'stopGracePeriodMs'] as const;

/** What a declaration says of a VM besides its spec. Nodes that an older version stored have no labels. */
export function headerOf({ title, labels }: Pick<NodeVm, 'title'> & { readonly labels?: Labels | undefined }) {
  return { title, labels: labels ?? {} };
}

type Change = { readonly action: 'keep' | 'update' | 'restart' | 'replace'; readonly why?: string };

export function changeOf(
  wanted: VmSpec,
  actual: Vm,
  digest: string | undefined,
  header: Pick<Vm, 'title' | 'labels'> = actual,
): Change {
  const before = { ...actual.spec, nics: actual.spec.nics.filter((nic) => !isAddedByHand(nic)) };
  const differing = (fields: readonly (keyof VmSpec)[]) =>
    fields.filter((field) => !same(wanted[field], before[field]));
  const replace = differing(REPLACE_FIELDS);
  if (replace.length > 0) return { action: 'replace', why: `${replace.join(', ')} changed` };
  if (digest === undefined || digest !== actual.status.imageDigest)
    return { action: 'replace', why: `the image ${wanted.image} changed` };
  const restart = differing(RESTART_FIELDS);
  if (restart.length > 0) return { action: 'restart', why: `${restart.join(', ')} changed` };
  const live: string[] = differing(LIVE_FIELDS);
  if (header.title !== actual.title) live.push('title');
  if (!same(header.labels, actual.labels)) live.push('labels');
  if (live.length > 0) return { action: 'update', why: `${live.join(', ')} changed` };
  return { action: 'keep' };
}

/** Those of a declaration are numbered by their places. */
function isAddedByHand({ index }: VmSpec['nics'][number]): boolean {
  return index !== undefined;
}

/** What it is to be from now on; what was said of the VM itself, not by its node, stays. */
export function changedSpec(wanted: VmSpec, { power, restarts, protected: isProtected, nics }: VmSpec): VmSpec {
  return { ...wanted, nics: [...wanted.nics, ...nics.filter(isAddedByHand)], power, restarts, protected: isProtected };
}

export function planUp(node: string, spec: NodeSpec, facts: NodeFacts): PlanStep[] {
  const steps: PlanStep[] = [];
  for (const name of new Set(Object.values(spec.vms).map((vm) => vm.image))) {
    if (!facts.imageDigests.has(name)) steps.push({ action: 'build', kind: 'image', name });
  }
  for (const name of Object.keys(spec.networks)) {
    const changed = facts.networks.get(name);
    const network = { kind: 'network' as const, name: networkName(node, name) };
    if (changed === undefined) steps.push({ action: 'create', ...network });
    else if (changed.length > 0) steps.push({ action: 'update', ...network, why: `${changed.join(', ')} changed` });
  }
  for (const name of Object.keys(facts.before?.networks ?? {}).filter((each) => !(each in spec.networks)))
    steps.push({ action: 'delete', kind: 'network', name: networkName(node, name), why: 'no longer declared' });
  if (facts.before !== undefined && !same({ ...spec, power: 'up' }, facts.before))
    steps.push({ action: 'update', kind: 'node', name: node, why: 'its declaration changed' });
  for (const name of facts.vms.keys()) {
    if (!(name in spec.vms))
      steps.push({ action: 'delete', kind: 'vm', name: `${node}/${name}`, why: 'no longer declared' });
  }
  for (const name of startOrder(spec)) {
    const wanted = spec.vms[name];
    if (wanted === undefined) continue;
    const actual = facts.vms.get(name);
    const fullName = `${node}/${name}`;
    if (actual === undefined) {
      steps.push({ action: 'create', kind: 'vm', name: fullName }, { action: 'start', kind: 'vm', name: fullName });
      continue;
    }
    const change = changeOf(vmSpecOf(node, wanted), actual, facts.imageDigests.get(wanted.image), headerOf(wanted));
    const running = actual.status.state === 'running';
    if (change.action === 'keep' && running) steps.push({ action: 'keep', kind: 'vm', name: fullName });
    else if (change.action === 'keep')
      steps.push({ action: 'start', kind: 'vm', name: fullName, why: `it is ${actual.status.state}` });
    else
      steps.push({
        action: change.action,
        kind: 'vm',
        name: fullName,
        ...(change.why === undefined ? {} : { why: change.why }),
      });
  }
  return steps;
}

/** Dependencies first; otherwise as declared. The declaration has no circle (`checkNodeSpec`). */
export function startOrder(spec: Pick<NodeSpec, 'vms'>): string[] {
  const order: string[] = [];
  const visit = (name: string): void => {
    if (order.includes(name)) return;
    for (const { vm } of spec.vms[name]?.dependsOn ?? []) visit(vm);
    if (!order.includes(name)) order.push(name);
  };
  for (const name of Object.keys(spec.vms)) visit(name);
  return order;
}

/** VMs that depend on `name`, directly. */
export function dependentsOf(spec: Pick<NodeSpec, 'vms'>, name: string): string[] {
  return Object.entries(spec.vms).flatMap(([other, vm]) =>
    vm.dependsOn.some((dep) => dep.vm === name) ? [other] : [],
  );
}

/** Without a process. */
const AT_REST: ReadonlySet<Vm['status']['state']> = new Set(['stopped', 'crashed', 'suspended']);

/** What a node is, seen from its VMs. */
export function nodeState(
  power: NodeSpec['power'],
  declared: readonly string[],
  vms: ReadonlyMap<string, Vm>,
  busy: boolean,
): NodeState {
  if (busy) return power === 'up' ? 'starting' : 'stopping';
  const states = declared.map((name) => vms.get(name)?.status);
  if (power === 'down')
    return states.every((status) => status === undefined || AT_REST.has(status.state)) ? 'down' : 'stopping';
  if (states.some((status) => status === undefined || status.state !== 'running' || status.health === 'unhealthy'))
    return 'degraded';
  return states.some((status) => status?.health === 'starting') ? 'starting' : 'up';
}

function same(a: unknown, b: unknown): boolean {
  return stable(a) === stable(b);
}

/** JSON with sorted keys: the order in which a file names things is no difference. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

import {
  expandReplicas,
  replicasOf,
  SkerryError,
  type Node,
  type NodeScale,
  type NodeSpec,
  type NodeUpdate,
  type PlanStep,
} from '@skerry/api';
import { startOrder, type NodeFacts } from './plan.ts';

/** Pure: what `scale`, `update` and `restart` have to do. */

/** @throws SkerryError `not-found`: it is not declared in this node */
export function scaledSpec(node: Pick<Node, 'name' | 'spec'>, { replicas }: NodeScale): NodeSpec {
  const vms = { ...node.spec.vms };
  for (const [name, count] of Object.entries(replicas)) {
    const declared = declaredOf(node, name);
    vms[name] = { ...declared, replicas: count };
  }
  return { ...node.spec, vms };
}

/** Those that are too few are made, those that are too many go; all others stay as they are. */
export function planScale(node: string, spec: NodeSpec, scaled: readonly string[], facts: NodeFacts): PlanStep[] {
  const expanded = expandReplicas(spec);
  const group = (name: string): string[] => replicasOf(name, spec.vms[name] ?? {});
  const wanted = new Set(scaled.flatMap(group));
  const steps: PlanStep[] = [];
  for (const name of startOrder(expanded)) {
    if (!wanted.has(name)) continue;
    const fullName = `${node}/${name}`;
    const actual = facts.vms.get(name);
    if (actual === undefined) steps.push({ action: 'create', kind: 'vm', name: fullName });
    if (actual?.status.state === 'running') steps.push({ action: 'keep', kind: 'vm', name: fullName });
    else if (spec.power === 'up') steps.push({ action: 'start', kind: 'vm', name: fullName });
  }
  for (const name of surplusOf(spec, scaled, facts.vms.keys()))
    steps.push({ action: 'delete', kind: 'vm', name: `${node}/${name}`, why: 'one of too many' });
  return steps;
}

/** Replicas that are there and not wanted any more, the last one first. */
export function surplusOf(spec: NodeSpec, scaled: readonly string[], members: Iterable<string>): string[] {
  const expanded = expandReplicas(spec).vms;
  return [...members]
    .filter((name) => !(name in expanded) && scaled.some((vm) => replicaNumber(vm, name) !== undefined))
    .toSorted((a, b) => (numberAtEnd(b) ?? 1) - (numberAtEnd(a) ?? 1) || (a < b ? -1 : 1));
}

/** 'web' and 'web-3' -> 3; undefined: not a replica of it. */
function replicaNumber(vm: string, name: string): number | undefined {
  if (name === vm) return 1;
  const number = numberAtEnd(name);
  return number !== undefined && number > 1 && name === `${vm}-${number}` ? number : undefined;
}

function numberAtEnd(name: string): number | undefined {
  const digits = /-([1-9]\d*)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * The VMs that do not have the wanted image yet, in batches: what others depend on first, and only replicas of one VM in a
 * batch.
 */
export function updateBatches(
  node: Pick<Node, 'name' | 'spec'>,
  { images, batch }: Pick<NodeUpdate, 'images' | 'batch'>,
  facts: NodeFacts,
): string[][] {
  const order = startOrder(expandReplicas(node.spec));
  const groups = Object.entries(images)
    .map(([vm, image]) =>
      replicasOf(vm, declaredOf(node, vm))
        .filter((name) => {
          const actual = facts.vms.get(name);
          if (actual === undefined) return false;
          return actual.spec.image !== image || actual.status.imageDigest !== facts.imageDigests.get(image);
        })
        .toSorted((a, b) => order.indexOf(a) - order.indexOf(b)),
    )
    .toSorted(([a = ''], [b = '']) => order.indexOf(a) - order.indexOf(b));
  return groups.flatMap((names) => chunks(names, batch));
}

export function planUpdate(
  node: Pick<Node, 'name' | 'spec'>,
  wanted: Pick<NodeUpdate, 'images' | 'batch'>,
  facts: NodeFacts,
): PlanStep[] {
  const batches = updateBatches(node, wanted, facts);
  const replaced = new Set(batches.flat());
  const steps = batches.flatMap((names, index) =>
    names.map((name): PlanStep => {
      const before = facts.vms.get(name)?.spec.image;
      const image = imageOf(node.spec, wanted.images, name);
      const change = before === image ? `the image ${image} was built anew` : `image ${before} -> ${image}`;
      return {
        action: 'replace',
        kind: 'vm',
        name: `${node.name}/${name}`,
        why: `batch ${index + 1} of ${batches.length}: ${change}, with a new disk`,
      };
    }),
  );
  const kept = Object.keys(wanted.images)
    .flatMap((vm) => replicasOf(vm, node.spec.vms[vm] ?? {}))
    .filter((name) => !replaced.has(name) && facts.vms.has(name));
  return [...steps, ...kept.map((name): PlanStep => ({ action: 'keep', kind: 'vm', name: `${node.name}/${name}` }))];
}

/** What a VM is to be updated to; a replica as it is declared. */
export function imageOf(spec: NodeSpec, images: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.entries(images).find(([vm]) => replicasOf(vm, spec.vms[vm] ?? {}).includes(name))?.[1];
}

/** A node whose declaration says what it was updated to. */
export function updatedSpec(spec: NodeSpec, images: Readonly<Record<string, string>>): NodeSpec {
  const vms = Object.entries(spec.vms).map(([name, vm]) => {
    const image = images[name];
    return [name, image === undefined ? vm : { ...vm, image }] as const;
  });
  return { ...spec, vms: Object.fromEntries(vms) };
}

/**
 * VMs by the names a person gives, in the order in which they start; all of them for no name.
 * @throws SkerryError `not-found`
 */
export function selectVms(node: Pick<Node, 'name' | 'spec'>, names: readonly string[]): string[] {
  const expanded = expandReplicas(node.spec);
  const order = startOrder(expanded);
  if (names.length === 0) return order;
  const chosen = new Set(
    names.flatMap((name) => (name in expanded.vms && !(name in node.spec.vms) ? [name] : groupOf(node, name))),
  );
  return order.filter((name) => chosen.has(name));
}

/** Whether a name inside the node is one of those a person gave, now or once it is there. @throws SkerryError `not-found` */
export function nameMatcher(node: Pick<Node, 'name' | 'spec'>, names: readonly string[]): (name: string) => boolean {
  const known = new Set(selectVms(node, names));
  return (name) =>
    names.length === 0 ||
    known.has(name) ||
    names.some((vm) => vm in node.spec.vms && replicaNumber(vm, name) !== undefined);
}

export function chunks<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, index) => items.slice(index * size, (index + 1) * size));
}

function groupOf(node: Pick<Node, 'name' | 'spec'>, vm: string): string[] {
  return replicasOf(vm, declaredOf(node, vm));
}

function declaredOf({ name, spec }: Pick<Node, 'name' | 'spec'>, vm: string): NodeSpec['vms'][string] {
  const declared = Object.hasOwn(spec.vms, vm) ? spec.vms[vm] : undefined;
  if (declared !== undefined) return declared;
  throw new SkerryError('not-found', `There is no VM '${vm}' in ${name}`, {
    remedy: `Name one of ${Object.keys(spec.vms).join(', ')}; see \`skerry node show ${name}\`.`,
  });
}

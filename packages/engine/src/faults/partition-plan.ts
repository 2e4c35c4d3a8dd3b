import { SkerryError, type FaultSpec, type Vm } from '@skerry/api';

/** Pure: which VMs of a node a partition keeps from which. */

const RUNNING: readonly Vm['status']['state'][] = ['running', 'paused'];

export type PartitionSpec = Extract<FaultSpec, { readonly kind: 'partition' }>;

/**
 * 'web,cache/logger' -> the ids of two groups, and of a third one: those that none has. A name stands for its replicas, too.
 * @param members names in the node -> ids
 * @throws SkerryError `not-found`, `invalid`
 */
export function partitionGroups({ node, groups }: PartitionSpec, members: ReadonlyMap<string, string>): string[][] {
  const left = new Map(members);
  const named = groups.map((names) =>
    names.flatMap((name) => {
      const meant = [...left].filter(([member]) => member === name || isReplica(name, member));
      if (meant.length === 0) throw notThere(node, name, members, groups);
      for (const [member] of meant) left.delete(member);
      return meant.map(([, id]) => id);
    }),
  );
  const all = left.size === 0 ? named : [...named, [...left.values()]];
  if (all.length > 1) return all;
  throw new SkerryError('invalid', `All VMs of ${node} are in one group: nobody would be kept from anybody`, {
    remedy: `Leave some out, or make two groups: \`skerry fault partition ${node} A,B/C --for 10s\`.`,
  });
}

/** Names of networks that VMs of more than one of these groups of ids are on, and run. */
export function networksBetween(
  groups: readonly (readonly string[])[],
  vms: ReadonlyArray<Pick<Vm, 'id' | 'status'>>,
): string[] {
  const perGroup = groups.map((ids) => {
    const its = vms.filter(({ id, status }) => ids.includes(id) && RUNNING.includes(status.state));
    return new Set(its.flatMap(({ status }) => status.nics.map(({ network }) => network)));
  });
  const names = new Set(perGroup.flatMap((each) => [...each]));
  return [...names].filter((name) => perGroup.filter((each) => each.has(name)).length > 1);
}

function isReplica(name: string, member: string): boolean {
  return member.startsWith(`${name}-`) && /^\d+$/.test(member.slice(name.length + 1));
}

function notThere(
  node: string,
  name: string,
  members: ReadonlyMap<string, string>,
  groups: PartitionSpec['groups'],
): SkerryError {
  const isTwice = groups.flat().filter((each) => each === name).length > 1;
  if (isTwice) return new SkerryError('invalid', `'${name}' is in two groups`, { remedy: 'Name each VM once.' });
  return new SkerryError('not-found', `${node} has no VM '${name}'`, {
    remedy: `It has: ${[...members.keys()].join(', ')}.`,
  });
}

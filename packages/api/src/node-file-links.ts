import { linkName } from './link.ts';
import { nicRefParts } from './nic.ts';
import type { NodeFile } from './node-file.ts';

/** Pure: links of a node file. They come after a VM's networks, in the order of their numbers: no NIC is written down twice. */

export const DEFAULT_NETWORK = 'default';

type Linked = Pick<NodeFile, 'links' | 'vms' | 'defaults'>;

/** Networks that a VM is on, from eth0 on. */
export function networksOf({ defaults, vms }: Pick<Linked, 'defaults' | 'vms'>, vm: string): readonly string[] {
  const own = vms[vm];
  const { nics, networks } = (own?.nics === undefined && own?.networks === undefined ? defaults : own) ?? {};
  return nics?.map(({ network }) => network) ?? networks ?? [DEFAULT_NETWORK];
}

/** Names of the links that a VM has a NIC on, in the order of the NICs. */
export function linksOf({ links = [] }: Pick<Linked, 'links'>, vm: string): string[] {
  return links
    .flatMap((ends) => ends.flatMap((end) => nicOf(end, vm).map((index) => ({ index, name: linkName(...ends) }))))
    .toSorted((a, b) => a.index - b.index)
    .map(({ name }) => name);
}

export interface LinkProblem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What is wrong with the ends: VMs that are not there, NICs that are taken, and numbers that leave a gap. */
export function linkProblems(file: Linked): LinkProblem[] {
  const problems: LinkProblem[] = [];
  const ends = (file.links ?? []).flatMap((pair, link) =>
    pair.map((end, side) => ({ end, path: ['links', link, side] })),
  );
  for (const { end, path } of ends) {
    const vm = end.slice(0, end.indexOf(':'));
    if (!(vm in file.vms)) {
      problems.push({
        path,
        message: `'${vm}' is no VM of this node: name one of ${Object.keys(file.vms).join(', ')}`,
      });
      continue;
    }
    const networks = networksOf(file, vm);
    const others = ends.flatMap((other) => nicOf(other.end, vm)).toSorted((a, b) => a - b);
    const wanted = others.map((_, place) => networks.length + place);
    if (others.join() === wanted.join()) continue;
    const names = wanted.map((index) => `eth${index}`).join(', ');
    const before = networks.map((network, index) => `eth${index} is on ${network}`).join(', ');
    problems.push({ path, message: `${before}: call the links of ${vm} ${names}, each once` });
  }
  return problems;
}

function nicOf(end: string, vm: string): number[] {
  const parts = nicRefParts(end);
  return parts?.vm === vm ? [parts.index] : end.startsWith(`${vm}:`) ? [Number.NaN] : [];
}

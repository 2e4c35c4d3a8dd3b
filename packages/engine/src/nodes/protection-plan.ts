import { SkerryError, type Node, type PlanStep, type Vm } from '@skerry/api';

/** Pure: what of a node may not be deleted without `force`. */

/** Before a node is deleted. @throws SkerryError `refused` */
export function assertMayDelete({ name, spec }: Pick<Node, 'name' | 'spec'>, members: ReadonlyMap<string, Vm>): void {
  if (spec.protected === true) {
    throw new SkerryError('refused', `The node ${name} is protected: it is not to be deleted`, {
      remedy: `Take \`protect\` out of its file and type \`skerry up FILE\`, or delete it all the same with --force.`,
    });
  }
  const vms = protectedOf([...members.values()]);
  if (vms.length === 0) return;
  throw new SkerryError('refused', `${vms.join(', ')} ${vms.length === 1 ? 'is' : 'are'} protected`, {
    remedy: `${unprotect(vms)}, or delete the node all the same with --force.`,
    details: { vms },
  });
}

/** Before an `up` that deletes VMs, or makes them anew with an empty disk. @throws SkerryError `refused` */
export function assertMayReplace(steps: readonly PlanStep[], members: ReadonlyMap<string, Vm>): void {
  const gone = new Set(
    steps.filter(({ action }) => action === 'delete' || action === 'replace').map(({ name }) => name),
  );
  const vms = protectedOf([...members.values()].filter(({ name }) => gone.has(name)));
  if (vms.length === 0) return;
  throw new SkerryError(
    'refused',
    `This would delete ${vms.join(', ')}, which ${vms.length === 1 ? 'is' : 'are'} protected`,
    {
      remedy: `${unprotect(vms)}. \`--dry-run\` says what would be done, and why.`,
      details: { vms },
    },
  );
}

function protectedOf(vms: readonly Vm[]): string[] {
  return vms.filter(({ spec }) => spec.protected === true).map(({ name }) => name);
}

function unprotect(vms: readonly string[]): string {
  return `Type ${vms.map((vm) => `\`skerry set ${vm} --no-protect\``).join(' and ')} first`;
}

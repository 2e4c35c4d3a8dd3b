import { declarationOf, SkerryError, type DeclaredNic, type Vm, type VmDeclaration, type VmSpec } from '@skerry/api';
import { networksOf, nicsAfter } from './nic-change-plan.ts';

/** Pure: what changing a VM means, from what it is and what it shall be. */

/** Fields that a VM gets when it is made: another value needs another disk. */
const FIXED_FIELDS: ReadonlySet<string> = new Set(['image', 'diskMib']);
/** Fields that count at once, whatever its process does. All others are told to the guest when it starts. */
const LIVE_FIELDS: ReadonlySet<string> = new Set([
  ...['title', 'labels', 'health', 'forwards', 'ephemeral', 'protected'],
  ...['restart', 'stopGracePeriodMs', 'autostart'],
  // Its NICs come, go and change (`nic-change-plan.ts`).
  ...['networks', 'nics'],
]);

export interface DeclaredChange {
  readonly changed: readonly string[];
  /** Those of `changed` that what runs does not take up. */
  readonly atNextStart: readonly string[];
}

/**
 * What differs between a VM and a declaration of it.
 * @throws SkerryError `unsupported`: it would have to be made anew
 */
export function planChange(vm: Vm, wanted: VmDeclaration): DeclaredChange {
  const [before, after] = [completed(vm, declarationOf(vm)), completed(vm, wanted)];
  const changed = differing(before, after).map((key) => {
    const moves = networksOf(before.nics).join() !== networksOf(after.nics).join();
    return key === 'nics' && moves ? 'networks' : key;
  });
  const fixed = changed.filter((key) => FIXED_FIELDS.has(key));
  if (fixed.length > 0) {
    throw new SkerryError('unsupported', `${fixed.join(', ')} of ${vm.name} can't be changed: it would be another VM`, {
      remedy: `Make another VM, or delete it first (\`skerry delete ${vm.name}\`): its disk goes with it.`,
      details: { fields: fixed },
    });
  }
  const hasProcess = vm.status.state !== 'stopped' && vm.status.state !== 'crashed';
  return { changed, atNextStart: hasProcess ? changed.filter((key) => !LIVE_FIELDS.has(key)) : [] };
}

/** Whether a declaration says what its VM is already. */
export function saysTheSame(vm: Vm, declared: VmDeclaration): boolean {
  return differing(completed(vm, declared), completed(vm, declarationOf(vm))).length === 0;
}

/** A declaration that leaves nothing open. */
export type WholeDeclaration = Omit<VmDeclaration, 'network' | 'networks' | 'nics'> & {
  readonly nics: readonly DeclaredNic[];
};

/** What a declaration leaves open stays for a VM that is there: its networks, and so its addresses. */
export function completed(vm: Vm, { network, networks, nics, ...declared }: VmDeclaration): WholeDeclaration {
  const named = networks ?? (network === undefined ? undefined : [network]);
  return {
    ...declared,
    memoryMib: declared.memoryMib ?? vm.spec.memoryMib,
    nics: nicsAfter(vm.spec.nics, nics ?? named),
  };
}

function differing(a: WholeDeclaration, b: WholeDeclaration): Array<keyof WholeDeclaration> {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as ReadonlySet<keyof WholeDeclaration>;
  return [...keys].filter((key) => !isSame(key, a[key], b[key]));
}

/** What a VM of a declaration is asked to be; power and restarts are no part of a declaration. */
export function specAfter(vm: Vm, wanted: VmDeclaration): VmSpec {
  const { name: _name, title: _title, labels: _labels, ...fields } = completed(vm, wanted);
  const { type, nics, power, restarts, memoryMib } = vm.spec;
  return { ...fields, type, nics, power, restarts, memoryMib: fields.memoryMib ?? memoryMib };
}

/** @throws SkerryError `invalid`: it can't be both */
export function assertMeant({
  ephemeral,
  protected: isProtected,
  restart,
}: Pick<VmSpec, 'ephemeral' | 'protected' | 'restart'>): void {
  if (!ephemeral) return;
  // As Docker's --rm and --restart.
  if (restart !== undefined && restart.policy !== 'never') {
    throw new SkerryError('invalid', 'An ephemeral VM is deleted once it ends, so nothing is left to restart', {
      remedy: 'Leave out --ephemeral, or --restart.',
    });
  }
  if (isProtected !== true) return;
  throw new SkerryError('invalid', 'A VM that is deleted once it stops can not be protected from being deleted', {
    remedy: 'Give either --ephemeral or --protect.',
  });
}

/** Absent and "not protected" are the same. */
function isSame(key: keyof WholeDeclaration, a: unknown, b: unknown): boolean {
  if (key === 'protected') return (a ?? false) === (b ?? false);
  return sorted(a) === sorted(b);
}

/** JSON with sorted keys: the order in which a file names things is no difference. */
function sorted(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? ''
  );
}

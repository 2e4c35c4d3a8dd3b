import {
  amountOf,
  formatAmount,
  formatDuration,
  SkerryError,
  VM_FAULTS,
  type Fault,
  type FaultSpec,
  type FaultStart,
  type FaultStatus,
  type Vm,
  type VmFaultKind,
} from '@skerry/api';

/** Pure: what of a fault is decided from data. */

export const FAULT_KIND = { kind: 'fault', collection: 'faults' } as const;

export type VmFaultSpec = Extract<FaultSpec, { readonly kind: VmFaultKind }>;

/** Faults that have ended are remembered up to here. */
const KEPT_ENDED = 200;

/** 'freeze-1f3a9c': short to type, and the end of an id. */
export function faultName(kind: string, id: string): string {
  return `${kind}-${id.slice(-6)}`;
}

/** Milliseconds since 1970 at which it ends; undefined: when it is cleared. @throws SkerryError `invalid`: no end is given */
export function endsAtMs({ spec, forMs }: FaultStart, startedAtMs: number): number | undefined {
  // It is over as soon as it has happened.
  if (spec.kind === 'crash') return undefined;
  if (forMs === undefined) {
    throw new SkerryError('invalid', 'A fault needs an end, and none is given', {
      remedy: 'Say how long it lasts: --for 30s, or --for forever for one that only `skerry fault clear` ends.',
    });
  }
  return forMs === 'forever' ? undefined : startedAtMs + forMs;
}

/** Whole, with what is meant where nothing was said. @throws SkerryError `invalid`, `wrong-state` */
export function planVmFault(spec: VmFaultSpec, vm: Vm): VmFaultSpec {
  if (vm.status.state !== 'running') {
    throw new SkerryError('wrong-state', `${vm.name} is ${vm.status.state}: there is nothing in it to go wrong`, {
      remedy: vm.status.state === 'paused' ? `Type \`skerry resume ${vm.name}\`.` : `Type \`skerry start ${vm.name}\`.`,
    });
  }
  const amount = amountOf(spec.kind, spec.amount, vm.status.start?.cpus ?? vm.spec.cpus);
  return { kind: spec.kind, vm: vm.name, ...(amount === undefined ? {} : { amount }), ...seedOf(spec) };
}

function seedOf({ seed }: { readonly seed?: number | undefined }): { seed?: number } {
  return seed === undefined ? {} : { seed };
}

/** Of one that begins now. @param drawn the seed, if chance has a part in it and none was given */
export function newFaultStatus(
  wanted: FaultStart,
  spec: FaultSpec,
  nowMs: number,
  drawn: number,
): Omit<FaultStatus, 'vms'> {
  const untilMs = endsAtMs(wanted, nowMs);
  const isSeeded = spec.kind === 'impair' || spec.kind === 'disk-error';
  return {
    state: 'active',
    startedAt: new Date(nowMs).toISOString(),
    ...(untilMs === undefined ? {} : { endsAt: new Date(untilMs).toISOString() }),
    ...(isSeeded ? { seed: spec.seed ?? drawn } : {}),
  };
}

export function isVmFault(spec: FaultSpec): spec is VmFaultSpec {
  return (VM_FAULTS as readonly string[]).includes(spec.kind);
}

/** @throws SkerryError `in-use`: there is one of the kind, and two would undo each other */
export function assertAlone(spec: VmFaultSpec, vmId: string, active: readonly Fault[]): void {
  const other = active.find(
    (fault) => sameThing(fault.spec.kind) === sameThing(spec.kind) && fault.status.vms.includes(vmId),
  );
  if (other === undefined) return;
  throw new SkerryError('in-use', `${spec.vm} has such a fault already: ${other.name}`, {
    remedy: `Wait until it has ended, or end it: \`skerry fault clear ${other.name}\`.`,
    details: { fault: other.name },
  });
}

/** What two kinds would both change. */
function sameThing(kind: string): string {
  return kind.startsWith('disk-') ? 'disk' : kind;
}

/** Who is meant: one fault by its name or id, or those of a VM or of all VMs of a node; undefined: all. */
export function faultsOf(active: readonly Fault[], of: string | undefined, vmIds: readonly string[]): Fault[] {
  return active.filter(
    ({ id, name, status }) =>
      of === undefined || id === of || name === of || status.vms.some((vm) => vmIds.includes(vm)),
  );
}

/** Those that are no longer remembered: the oldest that have ended. */
export function forgotten(faults: readonly Fault[]): Fault[] {
  const ended = faults.filter(({ status }) => status.state !== 'active');
  return ended.slice(0, Math.max(0, ended.length - KEPT_ENDED));
}

export function endedFault(status: FaultStatus, atMs: number, problem?: string): FaultStatus {
  const endedAt = new Date(atMs).toISOString();
  if (problem === undefined) return { ...status, state: 'ended', endedAt };
  return { ...status, state: 'failed', endedAt, message: problem };
}

/** 'freeze of web' */
export function describeFault(spec: FaultSpec): string {
  if (isVmFault(spec)) {
    const amount = formatAmount(spec.kind, spec.amount);
    return `${spec.kind} of ${spec.vm}${amount === undefined ? '' : ` (${amount})`}`;
  }
  if (spec.kind === 'partition') return `partition of ${spec.node}`;
  return `${spec.kind} of ${spec.nic}`;
}

/** 'freeze of web for 10.0s' */
export function describeStart(spec: FaultSpec, { startedAt, endsAt }: FaultStatus): string {
  const until =
    endsAt === undefined
      ? spec.kind === 'crash'
        ? ''
        : ' until it is cleared'
      : ` for ${formatDuration(Date.parse(endsAt) - Date.parse(startedAt))}`;
  return `${describeFault(spec)}${until}`;
}

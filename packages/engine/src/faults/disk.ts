import type { DiskFault } from '../hypervisors/index.ts';
import type { MachineFault, VmFaultResource } from './machine-act.ts';

/** Its disks fail, or are slow. The machine has a lease of its own, which takes it back. */
export const disk: MachineFault = {
  async begin(fault, _, { machine }) {
    const { endsAt } = fault.status;
    await machine.beginDiskFault(diskFault(fault), endsAt === undefined ? Infinity : Date.parse(endsAt));
    return {};
  },
  async end(fault, { machine }) {
    if (await machine.hasDiskFault()) await machine.endDiskFault(diskFault(fault).kind);
  },
  takeUp: (_, { machine }) => machine.hasDiskFault(),
};

function diskFault({ spec, status }: VmFaultResource): DiskFault {
  if (spec.kind === 'disk-latency') return { kind: 'latency', ms: spec.amount ?? 0 };
  return { kind: 'error', share: spec.amount ?? 1, seed: status.seed ?? 0 };
}

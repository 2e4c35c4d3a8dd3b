import type { Vm } from '@skerry/api';
import type { Machine } from '../hypervisors/index.ts';
import { nicIndexes } from './nic-plan.ts';
import type { VmController } from './controller.ts';
import type { VmNetworks } from './ports.ts';

/** Cables of a VM's NICs, as they are asked for and as faults have them: before its guest goes on, so that it never sees another. */

type Cabled = Pick<Machine, 'setLink'>;
type Networks = Pick<VmNetworks, 'cableOutUntilMs'>;
type Plugged = Pick<Vm, 'id'> & {
  readonly spec: Pick<Vm['spec'], 'nics'>;
  readonly status: Pick<Vm['status'], 'nics'>;
};

/** One that is there no more is out. */
export async function setCable(machine: Cabled, vm: Plugged, index: number, networks: Networks): Promise<void> {
  await machine.setLink(index, isAsked(vm, index), await networks.cableOutUntilMs(vm.id, index));
}

/** Of a machine whose cables are all in: it boots, or is a clone. */
export async function setNewCables(machine: Cabled, vm: Plugged, networks: Networks): Promise<void> {
  for (const index of nicIndexes(vm.status.nics)) {
    if (isAsked(vm, index) && (await networks.cableOutUntilMs(vm.id, index)) <= Date.now()) continue;
    await setCable(machine, vm, index, networks);
  }
}

/** Of one that goes on from memory, where they are as they were. */
export async function setAllCables(machine: Cabled, vm: Plugged, networks: Networks): Promise<void> {
  for (const index of nicIndexes(vm.status.nics)) await setCable(machine, vm, index, networks);
}

/** After that of a NIC on a link was set: a wire that is out is out at both of its ends. Not while the NIC's VM is held. */
export async function setOtherCable(
  controller: Pick<VmController, 'exclusively' | 'live'>,
  networks: Pick<VmNetworks, 'cableOutUntilMs' | 'otherEnd'>,
  vmId: string,
  index: number,
): Promise<void> {
  const other = await networks.otherEnd(vmId, index);
  // One that does not run finds it so when it starts.
  if (other === undefined || controller.live(other.vmId) === undefined) return;
  await controller.exclusively(other.vmId, async (vm, live) => {
    if (live === undefined || live.machine.state() === 'ended') return;
    await setCable(live.machine, vm, other.index, networks);
  });
}

function isAsked({ spec, status }: Plugged, index: number): boolean {
  const place = nicIndexes(status.nics).indexOf(index);
  return place !== -1 && spec.nics[place]?.link !== 'down';
}

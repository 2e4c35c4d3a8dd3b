import { SkerryError, type Fault, type FaultSpec } from '@skerry/api';
import { portId } from '../networks/index.ts';
import { refOf } from '../store/index.ts';
import { nicIndexes, setCable, setOtherCable } from '../vms/index.ts';
import { parseNic, planNicFault, portImpairment, saysSwitch, type NicFaultSpec } from './nic-plan.ts';
import type { FaultAct, FaultPorts } from './ports.ts';

/** What happens to frames of a NIC: its datapath does it, and knows the end. A cable that is out is QEMU's as well. */

type Ports = Pick<FaultPorts, 'vms' | 'controller' | 'networks' | 'onError'>;

export function nicAct({ vms, controller, networks, onError }: Ports): FaultAct {
  const tell = async (fault: Fault, isOn: boolean): Promise<void> => {
    const impairment = impairmentOf(fault);
    if (isOn) networks.faults.impair(fault.id, { ...placeOf(fault), impairment });
    else networks.faults.end(fault.id);
    await networks.changed();
    const { vmId, index } = placeOf(fault);
    if (await isInKernel(vmId, index)) return;
    const ports = (await networks.switchState())?.segments.flatMap((segment) => segment.ports);
    const told = saysSwitch(ports, portId({ id: vmId }, index), impairment);
    // Another fault may do the same to it.
    const expected = networks.faults.impairs({ vmId, index, impairment }) ? 'on' : 'off';
    if (told === expected || told === 'no wire') return;
    throw new SkerryError('failed', `The switch does not say that ${fault.name} has ${isOn ? 'begun' : 'ended'}`, {
      remedy: isOn ? 'Give it a longer time with --for.' : 'Restart the VM, or see `skerry daemon logs`.',
    });
  };
  const isInKernel = async (vmId: string, index: number): Promise<boolean> => {
    const nics = (await vms.find(vmId))?.status.nics ?? [];
    const of = nics.filter((nic, place) => (nic.index ?? place) === index);
    return (await networks.inKernel(of.map(({ network }) => network))).length > 0;
  };
  const isCable = ({ spec }: Fault): boolean => spec.kind === 'link-down';
  /** In turn with a start of the VM, which asks for its faults only once. */
  const setAgain = async (fault: Fault): Promise<void> => {
    const { vmId, index } = placeOf(fault);
    await controller.exclusively(vmId, async (vm, live) => {
      if (live === undefined || live.machine.state() === 'ended') return;
      await setCable(live.machine, vm, index, networks.wires);
    });
    await setOther(fault);
  };
  const setOther = async (fault: Fault): Promise<void> => {
    const { vmId, index } = placeOf(fault);
    await setOtherCable(controller, networks.wires, vmId, index);
  };
  return {
    async plan(asked) {
      const spec = narrow(asked);
      const vm = await vms.get(parseNic(spec.nic).vm);
      const planned = planNicFault(spec, vm, nicIndexes(vm.status.nics));
      if (planned.kind === 'impair') {
        const { index } = parseNic(planned.nic);
        const of = vm.status.nics.filter((nic, place) => (nic.index ?? place) === index);
        const names = of.map(({ network }) => network);
        await networks.assertImpairable(names, planned.impairment, planned.seed !== undefined);
      }
      return { spec: planned, subject: refOf(vm), vms: [vm.id] };
    },
    async begin(fault) {
      const { vmId, index } = placeOf(fault);
      await controller.exclusively(vmId, async (vm, live) => {
        await tell(fault, true);
        if (isCable(fault) && live !== undefined) await setCable(live.machine, vm, index, networks.wires);
      });
      if (isCable(fault)) await setOther(fault);
      return {};
    },
    async end(fault) {
      networks.faults.end(fault.id);
      if ((await vms.find(placeOf(fault).vmId)) === undefined) return;
      if (isCable(fault)) await setAgain(fault);
      await tell(fault, false);
    },
    async takeUp(fault) {
      const { vmId, index } = placeOf(fault);
      if ((await vms.find(vmId)) === undefined) return false;
      // The switch is told with all the rest, once every VM that lives is plugged in.
      networks.faults.impair(fault.id, { vmId, index, impairment: impairmentOf(fault) });
      // Not waited for: it is out already, unless the VM is just being started.
      if (isCable(fault)) setAgain(fault).catch((error: unknown) => onError(SkerryError.from(error), fault.name));
      return true;
    },
    over: () => undefined,
  };
}

function narrow(spec: FaultSpec): NicFaultSpec {
  if (spec.kind === 'impair' || spec.kind === 'link-down') return spec;
  throw new SkerryError('internal', `${spec.kind} is no fault of a NIC`);
}

function placeOf({ spec, status }: Fault): { vmId: string; index: number } {
  return { vmId: status.vms[0] ?? '', index: parseNic(narrow(spec).nic).index };
}

function impairmentOf({ spec, status: { seed = 0, endsAt } }: Fault) {
  return portImpairment(narrow(spec), seed, endsAt === undefined ? undefined : Date.parse(endsAt));
}

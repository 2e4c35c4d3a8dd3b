import { SkerryError, type Fault, type FaultStatus, type Vm } from '@skerry/api';
import { refOf } from '../store/index.ts';
import type { LiveVm } from '../vms/index.ts';
import { assertAlone, isVmFault, planVmFault, type VmFaultSpec } from './plan.ts';
import type { FaultAct, FaultPorts } from './ports.ts';

/** What all faults of one machine have in common: they end with its process, and are begun in turn with its other changes. */

export type VmFaultResource = Fault & { readonly spec: VmFaultSpec };

/** One kind of them. `live`: its machine runs, or is paused. */
export interface MachineFault {
  begin(fault: VmFaultResource, vm: Vm, live: LiveVm): Promise<Pick<FaultStatus, 'amount' | 'message'>>;
  end(fault: VmFaultResource, live: LiveVm): Promise<void>;
  /** Whether it still is, after a restart of the daemon; and takes it up. */
  takeUp(fault: VmFaultResource, live: LiveVm): Promise<boolean>;
}

export function machineAct({ vms, controller }: Pick<FaultPorts, 'vms' | 'controller'>, kind: MachineFault): FaultAct {
  const liveOf = (fault: Fault): LiveVm | undefined => {
    const live = controller.live(vmOf(fault));
    return live !== undefined && live.machine.state() !== 'ended' && isOf(fault, live) ? live : undefined;
  };
  return {
    async plan(spec, active) {
      const vm = await vms.get(narrow(spec).vm);
      const planned = planVmFault(narrow(spec), vm);
      assertAlone(planned, vm.id, active);
      const live = controller.live(vm.id);
      if (live === undefined) throw notThere(vm.name);
      const { pid, startTime } = live.machine;
      return { spec: planned, subject: refOf(vm), vms: [vm.id], process: { pid, startTime } };
    },
    async begin(fault) {
      return controller.exclusively(vmOf(fault), async (vm, live) => {
        if (live === undefined || !isOf(fault, live)) throw notThere(vm.name);
        return kind.begin(withSpec(fault), vm, live);
      });
    },
    async end(fault) {
      const live = liveOf(fault);
      if (live !== undefined) await kind.end(withSpec(fault), live);
    },
    async takeUp(fault) {
      const live = liveOf(fault);
      return live !== undefined && (await kind.takeUp(withSpec(fault), live));
    },
    over: (fault) => liveOf(fault)?.machine.exited.then(() => 'its machine has ended'),
  };
}

function isOf({ status: { process } }: Fault, { machine }: LiveVm): boolean {
  return process !== undefined && machine.pid === process.pid && machine.startTime === process.startTime;
}

function vmOf({ status }: Fault): string {
  return status.vms[0] ?? '';
}

function narrow(spec: Fault['spec']): VmFaultSpec {
  if (isVmFault(spec)) return spec;
  throw new SkerryError('internal', `${spec.kind} is no fault of a machine`);
}

function withSpec(fault: Fault): VmFaultResource {
  return { ...fault, spec: narrow(fault.spec) };
}

function notThere(name: string): SkerryError {
  return new SkerryError('wrong-state', `${name} does not run any more`, { remedy: `Type \`skerry start ${name}\`.` });
}

import type {
  Fault,
  FaultSpec,
  FaultStatus,
  Impairment,
  Node,
  ResourceRef,
  SkerryError,
  Vm,
  VmStatus,
} from '@skerry/api';
import type { SwitchState } from '@skerry/switch';
import type { EventLog } from '../events/index.ts';
import type { NetworkFaults } from '../networks/index.ts';
import type { Resources } from '../store/index.ts';
import type { VmController, VmNetworks, VmService } from '../vms/index.ts';

/** What faults need of others, and what each kind of fault has to be able to do. */

export interface FaultPorts {
  readonly faults: Resources<FaultSpec, FaultStatus>;
  readonly vms: Pick<VmService, 'get' | 'find' | 'list'>;
  readonly controller: Pick<VmController, 'exclusively' | 'live'>;
  /** Changes the status of a VM, if it is there. */
  readonly setVmStatus: (id: string, change: (status: VmStatus) => VmStatus) => Promise<unknown>;
  /** Ids of VMs as they are deleted. */
  readonly deletedVms: (signal: AbortSignal) => AsyncIterable<string>;
  /** @throws SkerryError `not-found` */
  readonly node: (ref: string) => Promise<{ readonly node: Node; readonly members: readonly Vm[] }>;
  readonly networks: {
    /** Told to the datapath by `changed`. */
    readonly faults: NetworkFaults;
    readonly wires: Pick<VmNetworks, 'cableOutUntilMs' | 'otherEnd'>;
    changed(): Promise<void>;
    /** Undefined when no switch runs. */
    switchState(): Promise<SwitchState | undefined>;
    /** Of these networks those of the kernel: `changed` has looked whether it has what it was told. */
    inKernel(names: readonly string[]): Promise<string[]>;
    /** @throws SkerryError `unsupported`: one of these networks is the kernel's, and it can't do that */
    assertImpairable(names: readonly string[], impairment: Impairment, isSeeded: boolean): Promise<void>;
  };
  readonly events: EventLog;
  readonly onError: (error: SkerryError, what: string) => void;
}

/** What is to be begun, and of whom. */
export interface PlannedFault {
  /** As asked, with what is meant where nothing was said. */
  readonly spec: FaultSpec;
  /** Whose events it is among. */
  readonly subject: ResourceRef;
  readonly vms: string[];
  readonly process?: FaultStatus['process'];
  readonly groups?: FaultStatus['groups'];
}

export interface FaultAct {
  /** Changes nothing. @throws SkerryError: it can't be */
  plan(spec: FaultSpec, active: readonly Fault[]): Promise<PlannedFault>;
  /**
   * Makes it so, with an end that does not need us, and reads back that it is so.
   * @returns what is to be said of it
   * @throws SkerryError; `end` is called then
   */
  begin(fault: Fault): Promise<Pick<FaultStatus, 'amount' | 'message'>>;
  /** Takes it back and sees that it is gone; nothing when it is. */
  end(fault: Fault): Promise<void>;
  /** After a restart of the daemon: whether it still is, and who sees to its end. */
  takeUp(fault: Fault): Promise<boolean>;
  /** Settles when there is nothing any more that it could be done to. */
  over(fault: Fault): Promise<string> | undefined;
}

import type { SkerryError, VmSpec, VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import type { Resources } from '../store/index.ts';
import type { Admission } from './admission.ts';
import type { HostProfile } from './launch.ts';
import type { VmImages, VmPools } from './ports.ts';
import type { StartPorts } from './start.ts';
import type { UidClaims } from './uids.ts';

/** What the controller of VMs is given. */

export interface ControllerPorts extends StartPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly events: EventLog;
  readonly images: VmImages;
  readonly pools: VmPools;
  readonly admission: Admission;
  readonly uids: UidClaims;
  readonly dataDir: string;
  readonly runtimeDir: string;
  readonly host: () => Promise<HostProfile>;
  /** How long a guest may take until its agent answers; default 90,000. */
  readonly agentTimeoutMs?: number | undefined;
  readonly onError: (error: SkerryError, what: string) => void;
}

export interface StopOptions {
  /** How long the guest may take to shut down before it is powered off; default: as its spec says. */
  readonly timeoutMs?: number | undefined;
}

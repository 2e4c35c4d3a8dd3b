import type { PlannedNetwork, PlannedVm } from './plan.ts';

/**
 * Who carries the frames of networks. There are two: `user` (the switch, no rights needed) and `kernel` (bridges, as
 * root); a network is of one of them, a VM may have NICs in both.
 */
export interface Datapath {
  /**
   * Makes it what these say, whole, whatever was there before; done once frames can pass. Networks without a VM in them
   * are given as well: which of them has to be there while nobody uses it, the datapath knows.
   * @param others networks of the other one, which no way out of these may lead to
   * @throws SkerryError
   */
  sync(
    networks: readonly PlannedNetwork[],
    vms: readonly PlannedVm[],
    others?: readonly PlannedNetwork[],
  ): Promise<void>;
  /** Takes away all that it has made: nothing is plugged in. */
  retire(): Promise<void>;
  /** What it enforces for a network, to be read by a person; absent: it can not say. @param vms all that are plugged in */
  ruleset?(network: PlannedNetwork, vms: readonly PlannedVm[]): Promise<string>;
  /** What of a network does not work on this host at the moment, whatever we do, and what to do about it. */
  lack?(network: PlannedNetwork): Promise<string | undefined>;
  /** Lets go of it; it goes on for the VMs that use it. */
  close(): Promise<void>;
}

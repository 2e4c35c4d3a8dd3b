import type { PlannedNetwork, PlannedVm } from '../plan.ts';
import type { KernelHost } from './kernel-model.ts';
import { hash, ifbName } from './names-model.ts';
import { queueIn } from './plan.ts';
import { placesOf } from './places-plan.ts';
import { queueLine } from './queue-plan.ts';

/** What becomes of queues when the time of an impairment has come: netem itself knows of none. Pure. */

export interface QueueLease {
  /** Another time, or other lines, are another lease. */
  readonly name: string;
  readonly netns?: string | undefined;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** For `tc -force -batch`: they make it what it is to be from then on, whatever it was. */
  readonly lines: readonly string[];
}

/** VMs as they are at that time: what is over has no part in them. */
export function vmsAt(vms: readonly PlannedVm[], nowMs: number): PlannedVm[] {
  return vms.map((vm) => ({
    ...vm,
    nics: vm.nics.map((nic) =>
      nic.impairments === undefined
        ? nic
        : { ...nic, impairments: nic.impairments.filter(({ untilMs = Infinity }) => untilMs > nowMs) },
    ),
  }));
}

/** One for each NIC and time at which something of it ends. A cable that is out has nothing to do with queues. */
export function queueLeases(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  host: KernelHost,
  nowMs: number,
): QueueLease[] {
  return placesOf(networks, vms, host).flatMap(({ netns, networks: placed }) =>
    placed
      .flatMap(({ nics }) => nics)
      .flatMap(({ vm, index, nic, tap }) => {
        const { impairments = [] } = nic;
        const ends = impairments.flatMap(({ untilMs, in: gets, out }) =>
          untilMs === undefined || untilMs <= nowMs || (gets ?? out) === undefined ? [] : [untilMs],
        );
        return [...new Set(ends)].map((atMs): QueueLease => {
          const left = { ...nic, impairments: impairments.filter(({ untilMs = Infinity }) => untilMs > atMs) };
          const [gets, sends] = (['in', 'out'] as const).map((way) => queueIn({ vm, index, nic: left }, way, host));
          const behind = ifbName(tap);
          const lines = [
            gets === undefined ? `qdisc del dev ${tap} root` : queueLine(tap, gets),
            // Nobody is led there any more; who removes it is the daemon.
            ...(sends === undefined
              ? [`qdisc del dev ${tap} ingress`, `qdisc del dev ${behind} root`]
              : [queueLine(behind, sends)]),
          ];
          return { name: `${tap}-${hash(JSON.stringify([netns, atMs, lines]))}`, netns, atMs, lines };
        });
      }),
  );
}

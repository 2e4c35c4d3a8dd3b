import { SkerryError } from '@skerry/api';
import type { DiskFault } from '../contract.ts';
import {
  diskFaultPlan,
  diskFaultUndo,
  FAULT_NODE,
  filterOf,
  underOf,
  type DiskTop,
  type QmpLine,
} from './disk-fault-plan.ts';
import { armLease, endLease, type LeaseParts } from './lease.ts';
import type { Monitor } from './monitor.ts';

/**
 * Disks that fail or are slow: a node is put between the device and its disk while the guest runs (`drive` of a realised
 * device can be set since QEMU 6.0), and a lease takes it out again.
 */

const LEASE = 'disk';
/** Nodes with many rules take their time. */
const WAIT = { timeoutMs: 30_000 };

interface Parts {
  readonly monitor: Monitor;
  readonly lease: LeaseParts;
}

/** @param untilMs Infinity: until `endDiskFault` */
export async function beginDiskFault(parts: Parts, fault: DiskFault, untilMs: number): Promise<void> {
  const tops = await disks(parts);
  if (tops.some(({ node }) => FAULT_NODE.test(node))) {
    throw new SkerryError('in-use', 'Its disks have a fault already', {
      remedy: 'End that first: `skerry fault clear`.',
    });
  }
  const { make, insert } = diskFaultPlan(tops, fault);
  try {
    for (const each of make) await execute(parts, each);
    // First who takes them out: there is no instant at which nobody would.
    const forMs = untilMs === Infinity ? undefined : untilMs - Date.now();
    await armLease(parts.lease, LEASE, forMs, diskFaultUndo(tops, fault.kind));
    for (const each of insert) await execute(parts, each);
    const now = await disks(parts);
    if (now.every(({ node }) => FAULT_NODE.test(node))) return;
    throw new SkerryError('failed', 'QEMU did not take the fault for its disks', {
      remedy: 'Give it more time: --for.',
    });
  } catch (error) {
    await takeOut(parts, tops, fault.kind);
    throw error;
  }
}

export async function endDiskFault(parts: Parts, kind: DiskFault['kind']): Promise<void> {
  await takeOut(
    parts,
    (await disks(parts)).map((top) => ({ ...top, node: underOf(top.node) })),
    kind,
  );
}

export async function hasDiskFault(parts: Pick<Parts, 'monitor'>): Promise<boolean> {
  return (await disks(parts)).some(({ node }) => FAULT_NODE.test(node));
}

async function takeOut(parts: Parts, tops: readonly DiskTop[], kind: DiskFault['kind']): Promise<void> {
  // It may have done so in its last moment: what is left to do is looked at afterwards.
  await endLease(parts.lease, LEASE);
  const now = await disks(parts);
  const inserted = tops.filter(({ device, node }) =>
    now.some((each) => each.device === device && each.node === filterOf(node)),
  );
  for (const each of diskFaultUndo(tops, kind, inserted)) {
    // Nodes that are gone already can't be removed.
    await execute(parts, each).catch(() => undefined);
  }
  if (!(await hasDiskFault(parts))) return;
  throw new SkerryError('failed', 'QEMU did not give the disks back', { remedy: 'Restart the VM.' });
}

async function disks({ monitor }: Pick<Parts, 'monitor'>): Promise<DiskTop[]> {
  const blocks = await monitor.execute('query-block', {}, WAIT);
  return blocks.flatMap(({ qdev, inserted }) => {
    const node = inserted?.['node-name'];
    if (qdev === undefined || node === undefined || !/^(?:fault-)?disk/.test(node)) return [];
    const device = qdev.startsWith('/') ? qdev : `/machine/peripheral/${qdev}`;
    return [{ device, node, sizeBytes: inserted?.image['virtual-size'] ?? 0 }];
  });
}

/** Lines of a plan are not typed by their command. */
async function execute({ monitor }: Parts, { execute: command, arguments: args }: QmpLine): Promise<void> {
  await monitor.execute(command as 'qom-set', args as never, WAIT);
}

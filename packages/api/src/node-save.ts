import { z } from 'zod';
import { Name } from './names.ts';

/** A node's whole state at one instant, on disk: memory, disks and addresses of all of its VMs. */
export const NodeSave = z.object({
  node: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime(),
  vms: z.array(
    z.object({ name: z.string(), memoryMib: z.int(), state: z.enum(['running', 'paused', 'stopped']), bytes: z.int() }),
  ),
  /** What it takes on disk; layers that VMs share are counted once. */
  bytes: z.int(),
  qemuVersion: z.string(),
});
export type NodeSave = z.infer<typeof NodeSave>;

export const NodeSaveCreate = z.strictObject({ name: Name });
export const NodeRestore = z.strictObject({ save: Name });
export const NodeFork = z.strictObject({ name: Name });

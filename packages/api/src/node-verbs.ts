import { z } from 'zod';
import { MAX_REPLICAS } from './node.ts';
import { Name } from './names.ts';

/** What can be asked of a node that is there. */

export const NodeScale = z.strictObject({
  /** VM of the declaration -> how many of it there shall be. */
  replicas: z
    .record(Name, z.int().min(0, 'write 0 or more').max(MAX_REPLICAS))
    .refine((replicas) => Object.keys(replicas).length > 0, 'name at least one VM'),
});
export type NodeScale = z.infer<typeof NodeScale>;

export const NodeUpdate = z.strictObject({
  /** VM of the declaration -> the image that it shall have. */
  images: z.record(Name, Name).refine((images) => Object.keys(images).length > 0, 'name at least one VM'),
  /** How many VMs are replaced at a time. */
  batch: z.int().min(1, 'write 1 or more').default(1),
});
export type NodeUpdate = z.infer<typeof NodeUpdate>;
export type NodeUpdateInput = z.input<typeof NodeUpdate>;

export const NodeRestart = z.strictObject({
  /** As declared (all replicas) or one replica; all VMs of the node when empty. */
  vms: z.array(Name).default([]),
  /** How many are restarted at a time; all when absent. */
  batch: z.int().min(1, 'write 1 or more').optional(),
});
export type NodeRestart = z.infer<typeof NodeRestart>;
export type NodeRestartInput = z.input<typeof NodeRestart>;

/** A line that a VM's long-running command has written. */
export const NodeLogLine = z.object({
  /** Its name inside the node. */
  vm: z.string(),
  /** By the guest's clock; absent: the guest did not say. */
  at: z.iso.datetime().optional(),
  text: z.string(),
});
export type NodeLogLine = z.infer<typeof NodeLogLine>;

export const NodeLogQuery = z.strictObject({
  follow: z.stringbool().default(false),
  /** Names inside the node, with commas between: as declared (all replicas) or one replica. */
  vms: z
    .string()
    .transform((text) => text.split(',').filter((name) => name !== ''))
    .default([]),
  /** At most so many past lines of each VM. */
  tail: z.coerce.number().int().min(0).optional(),
  /** Only lines that are younger. */
  sinceMs: z.coerce.number().min(0).optional(),
});
export type NodeLogQuery = z.infer<typeof NodeLogQuery>;

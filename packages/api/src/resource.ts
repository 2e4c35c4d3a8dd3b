import { z } from 'zod';

/** What a user can name: `spec` is what was asked, `status` what is. */

export const DEFAULT_PROJECT = 'default';

export const Labels = z.record(z.string().min(1).max(63), z.string().max(63));
export type Labels = z.infer<typeof Labels>;

/** The part every resource has; `resourceSchema` adds spec and status. */
export const ResourceHeader = z.object({
  kind: z.string(),
  /** UUID v7 (RFC 9562 section 5.7): it sorts by the time of creation. */
  id: z.uuid(),
  /** Unique per kind and project. A node's VM is NODE/VM. */
  name: z.string(),
  project: z.string(),
  title: z.string().max(256).optional(),
  labels: Labels,
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  /** Revision of the store at its last change: give it back to change only what was read. */
  revision: z.int().min(0),
});
export type ResourceHeader = z.infer<typeof ResourceHeader>;

export interface Resource<TSpec = unknown, TStatus = unknown> extends ResourceHeader {
  readonly spec: TSpec;
  readonly status: TStatus;
}

/** The envelope of one kind: `resourceSchema('vm', VmSpec, VmStatus)`. */
export function resourceSchema<K extends string, TSpec extends z.ZodType, TStatus extends z.ZodType>(
  kind: K,
  spec: TSpec,
  status: TStatus,
) {
  return ResourceHeader.extend({ kind: z.literal(kind), spec, status });
}

/** A resource as others mention it: in a task, an event, an error. */
export const ResourceRef = z.object({ kind: z.string(), id: z.string(), name: z.string() });
export type ResourceRef = z.infer<typeof ResourceRef>;

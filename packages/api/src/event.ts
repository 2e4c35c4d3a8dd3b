import { z } from 'zod';
import { ResourceRef } from './resource.ts';

/** Something that happened, as it is stored and sent. */

/** `vm.started`, `network.port-up`: the concern, then what happened to it. */
export const EventType = z.string().regex(/^[a-z][a-z0-9-]*(?:\.[a-z][a-z0-9-]*)+$/, {
  message: "not a type of event: write it as 'vm.started'",
});

export const EventInput = z.strictObject({
  type: EventType,
  subject: ResourceRef.optional(),
  /** One sentence for a reader. */
  message: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
  /** The task in which it happened. */
  taskId: z.string().optional(),
});
export type EventInput = z.infer<typeof EventInput>;

export const SkerryEvent = z.object({
  ...EventInput.shape,
  /** 1, 2, 3, ... without a hole: a follower that has seen N goes on from N + 1. */
  id: z.int().min(1),
  at: z.iso.datetime(),
});
export type SkerryEvent = z.infer<typeof SkerryEvent>;

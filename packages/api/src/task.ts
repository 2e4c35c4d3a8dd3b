import { z } from 'zod';
import { ERROR_KINDS, type ErrorCode } from './errors.ts';
import { ResourceRef } from './resource.ts';

/** One asynchronous operation, as it is stored and sent. */

export const TaskState = z.enum(['pending', 'running', 'succeeded', 'failed', 'cancelled']);
export type TaskState = z.infer<typeof TaskState>;

/** ErrorBody of `errors.ts`, as a schema. */
export const ErrorBodySchema = z.object({
  code: z.enum(Object.keys(ERROR_KINDS) as [ErrorCode, ...ErrorCode[]]),
  message: z.string(),
  remedy: z.string().optional(),
  details: z.record(z.string(), z.unknown()).optional(),
});

export const TaskProgress = z.object({
  message: z.string(),
  /** 0..1; absent while nobody can say. */
  fraction: z.number().min(0).max(1).optional(),
});
export type TaskProgress = z.infer<typeof TaskProgress>;

export const Task = z.object({
  id: z.uuid(),
  /** What is done, such as `vm.start` or `image.build`. */
  kind: z.string(),
  /** What it is done to. */
  target: ResourceRef.optional(),
  description: z.string(),
  state: TaskState,
  progress: TaskProgress.optional(),
  /** Someone asked to cancel it; it ends once it has taken back what it did. */
  cancelRequested: z.boolean(),
  /** The task in which it was started; cancelling that one cancels this one. */
  parentId: z.uuid().optional(),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().optional(),
  endedAt: z.iso.datetime().optional(),
  /** Of a task that succeeded: whatever its kind returns, as JSON. */
  result: z.unknown().optional(),
  /** Of a task that failed; of one that something else ended (`cancelled`), or that could not be cancelled cleanly. */
  error: ErrorBodySchema.optional(),
});
export type Task = z.infer<typeof Task>;

export const TaskLogLine = z.object({ at: z.iso.datetime(), line: z.string() });
export type TaskLogLine = z.infer<typeof TaskLogLine>;

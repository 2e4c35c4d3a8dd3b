import { AsyncLocalStorage } from 'node:async_hooks';

/** The task that the running code belongs to, without every function having to pass it on. */

export interface TaskContext {
  readonly id: string;
  /** Aborted when the task is cancelled, or the daemon stops. */
  readonly signal: AbortSignal;
  /** What it is doing now; `fraction` is 0..1. Never waits, and costs nothing when called often. */
  progress(message: string, fraction?: number): void;
  /** A line for the task's log. Never waits. */
  log(line: string): void;
}

interface Scope {
  readonly context: TaskContext;
  readonly hasEnded: () => boolean;
}

const scopes = new AsyncLocalStorage<Scope>();

/**
 * Undefined outside of a task. Also after its end: a connection or timer made in a task inherits its scope and may live
 * on, and must not find itself cancelled.
 */
export function currentTask(): TaskContext | undefined {
  const scope = scopes.getStore();
  return scope === undefined || scope.hasEnded() ? undefined : scope.context;
}

/** The default signal of whatever waits or spawns. */
export function currentSignal(): AbortSignal | undefined {
  return currentTask()?.signal;
}

/** Runs the body of a task. */
export function inTask<T>(context: TaskContext, hasEnded: () => boolean, body: () => T): T {
  return scopes.run({ context, hasEnded }, body);
}

/** Taking back what a cancelled task made must not be cancelled too: within it the task's signal stays silent. */
export function uninterrupted<T>(body: () => T): T {
  const scope = scopes.getStore();
  if (scope === undefined) return body();
  return scopes.run({ ...scope, context: { ...scope.context, signal: new AbortController().signal } }, body);
}

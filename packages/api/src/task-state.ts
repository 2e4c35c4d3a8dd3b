import type { Task, TaskState } from './task.ts';

/** The states in which a task changes no more. */
export const ENDED_TASK_STATES: readonly TaskState[] = ['succeeded', 'failed', 'cancelled'];

export function hasTaskEnded(task: Pick<Task, 'state'>): boolean {
  return ENDED_TASK_STATES.includes(task.state);
}

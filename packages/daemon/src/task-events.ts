import type { EventInput, Task } from '@skerry/api';

/** What the event log says of a task whose state is another. */
export function taskEvent({ id, target, state, description, error }: Task): EventInput {
  const isBegun = state === 'pending' || state === 'running';
  return {
    type: isBegun ? 'task.started' : `task.${state}`,
    subject: target,
    message: error === undefined ? description : `${description}: ${error.message}`,
    taskId: id,
  };
}

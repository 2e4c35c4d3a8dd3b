export { currentSignal, currentTask, uninterrupted, type TaskContext } from './context.ts';
export { TaskService, type TaskInput, type TaskQuery, type TaskResumer, type TaskServiceOptions } from './service.ts';

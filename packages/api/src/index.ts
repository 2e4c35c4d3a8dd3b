export { ERROR_KINDS, SkerryError, type ErrorBody, type ErrorCode, type SkerryErrorOptions } from './errors.ts';
export { formatBytes, formatDuration, formatMib, parseDurationMs, parseMemoryMib, parseSizeBytes } from './units.ts';
export { DEFAULT_PROJECT, Labels, ResourceHeader, ResourceRef, resourceSchema, type Resource } from './resource.ts';
export { ErrorBodySchema, Task, TaskLogLine, TaskProgress, TaskState } from './task.ts';
export * from './task-state.ts';
export { EventInput, EventType, SkerryEvent } from './event.ts';
export {
  DEFAULT_IMAGE_MIB,
  ImageRecipe,
  normaliseRecipe,
  RecipeFile,
  type ImageRecipeInput,
  type RecipeFileInput,
} from './recipe.ts';
export { GuestPath, hostnameOf, isName, isVmRef, Name, VmRef } from './names.ts';
export * from './vm.ts';
export * from './node.ts';
export * from './node-file.ts';
export { checkNodeSpec, dependencyCycle, type NodeProblem } from './node-check.ts';
export * from './network.ts';
export * from './image.ts';
export * from './host.ts';
export * from './channels.ts';
export * from './streams.ts';
export * from './template.ts';
export * from './usage.ts';
export * from './node-save.ts';
export * from './resources.ts';
export * from './operation.ts';
export * from './operations.ts';
export * from './routes.ts';

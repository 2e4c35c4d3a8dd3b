export { ERROR_KINDS, SkerryError, type ErrorBody, type ErrorCode, type SkerryErrorOptions } from './errors.ts';
export {
  formatBytes,
  formatDuration,
  formatMib,
  formatPercent,
  parseDurationMs,
  parseMemoryMib,
  parsePercent,
  parseSizeBytes,
} from './units.ts';
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
export * from './share-text.ts';
export * from './share.ts';
export { formatRestart, parseRestart, RESTART_POLICIES, type RestartPolicyName } from './restart.ts';
export * from './secret.ts';
export * from './vm.ts';
export * from './vm-life.ts';
export * from './labels.ts';
export * from './label-schema.ts';
export * from './vm-change.ts';
export * from './vm-file.ts';
export * from './node.ts';
export * from './node-file.ts';
export { checkNodeSpec, dependencyCycle, type NodeProblem } from './node-check.ts';
export { isOwnVm } from './node-check-network.ts';
export * from './network.ts';
export * from './network-verbs.ts';
export * from './ipv4.ts';
export * from './nic.ts';
export * from './link.ts';
export * from './capture.ts';
export * from './rate.ts';
export * from './explain.ts';
export * from './fault.ts';
export * from './fault-amount.ts';
export * from './impairment-text.ts';
export { Port } from './port.ts';
export * from './image.ts';
export * from './host.ts';
export * from './channels.ts';
export * from './streams.ts';
export * from './template.ts';
export * from './usage.ts';
export * from './node-save.ts';
export * from './node-replicas.ts';
export * from './node-verbs.ts';
export * from './keep.ts';
export * from './resources.ts';
export * from './operation.ts';
export * from './operations.ts';
export * from './routes.ts';

export { ERROR_KINDS, SkerryError, type ErrorBody, type ErrorCode, type SkerryErrorOptions } from './errors.ts';
export { formatBytes, formatDuration, formatMib, parseDurationMs, parseMemoryMib, parseSizeBytes } from './units.ts';
export {
  DEFAULT_PROJECT,
  Labels,
  ResourceHeader,
  ResourceRef,
  resourceSchema,
  type Resource,
} from './resource.ts';
export { ENDED_TASK_STATES, ErrorBodySchema, hasTaskEnded, Task, TaskLogLine, TaskProgress, TaskState } from './task.ts';
export { EventInput, EventType, SkerryEvent } from './event.ts';
export { DEFAULT_IMAGE_MIB, ImageRecipe, normaliseRecipe, RecipeFile, type ImageRecipeInput, type RecipeFileInput } from './recipe.ts';

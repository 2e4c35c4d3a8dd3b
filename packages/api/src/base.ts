/**
 * The part of the contract that needs no zod, and all of its types: what the SDK and the command line load. `index.ts` has
 * the schemas as well.
 */
export type * from './index.ts';
export * from './channels.ts';
export { ERROR_KINDS, SkerryError } from './errors.ts';
export * from './routes.ts';
export * from './task-state.ts';
export { formatBytes, formatDuration, formatMib, parseDurationMs, parseMemoryMib, parseSizeBytes } from './units.ts';

/**
 * The part of the contract that needs no zod, and all of its types: what the SDK and the command line load. `index.ts` has
 * the schemas as well.
 */
export type * from './index.ts';
export * from './channels.ts';
export { ERROR_KINDS, SkerryError } from './errors.ts';
export { formatRestart, parseRestart, RESTART_POLICIES, type RestartPolicyName } from './restart.ts';
export * from './fault-amount.ts';
export * from './impairment-text.ts';
export * from './labels.ts';
export * from './rate.ts';
export * from './routes.ts';
export * from './share-text.ts';
export * from './task-state.ts';
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

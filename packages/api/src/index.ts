export { ERROR_KINDS, SkerryError, type ErrorBody, type ErrorCode, type SkerryErrorOptions } from './errors.ts';
export { formatBytes, formatDuration, formatMib, parseDurationMs, parseMemoryMib, parseSizeBytes } from './units.ts';

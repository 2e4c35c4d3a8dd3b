import { SkerryError } from './errors.ts';

/** Sizes are binary whatever their spelling: 4G = 4Gi = 4096M (`cli.md`). */
const SIZE_FACTORS: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };
const DURATION_FACTORS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * '128Mi' -> 134217728 bytes.
 * @throws SkerryError `invalid`
 */
export function parseSizeBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text.trim());
  const factor = match === null ? undefined : SIZE_FACTORS[(match[2] ?? '').toLowerCase()];
  const bytes = match === null || factor === undefined ? Number.NaN : Number(match[1]) * factor;
  if (!Number.isSafeInteger(Math.round(bytes))) {
    throw new SkerryError('invalid', `'${text}' is not a size`, {
      remedy: 'Write a number with a unit, such as 128Mi, 4G or 4096M (units are binary).',
    });
  }
  return Math.round(bytes);
}

/** '128Mi' -> 128; '1G' -> 1024. A bare number is MiB, as memory is always given in MiB. */
export function parseMemoryMib(text: string): number {
  const bytes = /^\d+$/.test(text.trim()) ? Number(text) * 2 ** 20 : parseSizeBytes(text);
  const mib = bytes / 2 ** 20;
  if (!Number.isInteger(mib)) {
    throw new SkerryError('invalid', `'${text}' is not a whole number of MiB`, { remedy: 'Write it as 128Mi.' });
  }
  return mib;
}

/**
 * '500ms' '30s' '5m' '2h' -> milliseconds; a bare number is seconds.
 * @throws SkerryError `invalid`
 */
export function parseDurationMs(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim());
  const factor = match === null ? undefined : DURATION_FACTORS_MS[match[2] ?? 's'];
  if (match === null || factor === undefined) {
    throw new SkerryError('invalid', `'${text}' is not a duration`, {
      remedy: 'Write a number with a unit: 500ms, 30s, 5m or 2h.',
    });
  }
  return Math.round(Number(match[1]) * factor);
}

/** 134217728 -> '128Mi'; one decimal where it is not whole. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'Ki', 'Mi', 'Gi', 'Ti'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = Number.isInteger(value) ? String(value) : value.toFixed(1);
  return unit === 0 ? `${text}B` : `${text}${units[unit]}`;
}

export function formatMib(mib: number): string {
  return formatBytes(mib * 2 ** 20);
}

/** 1234 -> '1.2s'; 90000 -> '1m30s'. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const minutes = Math.floor(ms / 60_000);
  const seconds = Math.round((ms % 60_000) / 1000);
  if (minutes < 60) return `${minutes}m${String(seconds).padStart(2, '0')}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}h${String(minutes % 60).padStart(2, '0')}m`;
  return `${Math.floor(hours / 24)}d`;
}

/** '1%' -> 0.01; '0.5' -> 0.5; '150%' -> 1.5. @throws SkerryError `invalid` */
export function parsePercent(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim());
  if (match === null) {
    throw new SkerryError('invalid', `'${text}' is not a share`, { remedy: 'Write a percentage, such as 1% or 0.5%.' });
  }
  // By shifting the point of the text: 0.07 / 100 is not the number that 0.0007 is.
  return match[2] === '%' ? Number(`${match[1]}e-2`) : Number(match[1]);
}

/** 0.01 -> '1%' */
export function formatPercent(share: number): string {
  return `${Number((share * 100).toPrecision(6))}%`;
}

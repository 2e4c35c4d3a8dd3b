import { SkerryError } from './errors.ts';

/** Rates of networks are decimal, whatever else is binary: 50mbit is 50,000,000 bits a second (tc(8)). */
const RATE_FACTORS_KBIT: Readonly<Record<string, number>> = { bit: 0.001, kbit: 1, mbit: 1000, gbit: 1_000_000 };

/**
 * '50mbit' -> 50000; a bare number is Mbit/s.
 * @throws SkerryError `invalid`
 */
export function parseRateKbit(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?bit)?(?:\/s)?$/i.exec(text.trim());
  const factor = match === null ? undefined : RATE_FACTORS_KBIT[(match[2] ?? 'mbit').toLowerCase()];
  const kbit = match === null || factor === undefined ? Number.NaN : Math.round(Number(match[1]) * factor);
  if (Number.isSafeInteger(kbit) && kbit > 0) return kbit;
  throw new SkerryError('invalid', `'${text}' is not a rate`, {
    remedy: 'Write a number with a unit, such as 512kbit, 50mbit or 1gbit.',
  });
}

/** 50000 -> '50mbit' */
export function formatRate(kbit: number): string {
  if (kbit % 1_000_000 === 0) return `${kbit / 1_000_000}gbit`;
  return kbit % 1000 === 0 ? `${kbit / 1000}mbit` : `${kbit}kbit`;
}

import { SkerryError } from './errors.ts';
import type { Impairment } from './fault.ts';
import { formatRate, parseRateKbit } from './rate.ts';
import { formatPercent, parseDurationMs, parsePercent } from './units.ts';

/** Impairments as a person writes them: '20ms', '1%', '20mbit'. */

type Key = keyof Impairment;

const FIELDS: Readonly<
  Record<
    Key,
    { readonly word: string; readonly parse: (text: string) => number; readonly format: (value: number) => string }
  >
> = {
  delayMs: { word: 'delay', parse: parseMs, format: formatMs },
  jitterMs: { word: 'jitter', parse: parseMs, format: formatMs },
  loss: { word: 'loss', parse: parsePercent, format: formatPercent },
  duplicate: { word: 'duplicate', parse: parsePercent, format: formatPercent },
  reorder: { word: 'reorder', parse: parsePercent, format: formatPercent },
  corrupt: { word: 'corrupt', parse: parsePercent, format: formatPercent },
  rateKbit: { word: 'rate', parse: parseRateKbit, format: formatRate },
};

/** What each part is called: 'delay', 'jitter', ... */
export const IMPAIRMENT_WORDS: readonly string[] = Object.values(FIELDS).map(({ word }) => word);

/** {delay: '20ms', loss: '1%'} -> {delayMs: 20, loss: 0.01}. @throws SkerryError `invalid` that names the part */
export function parseImpairment(texts: Readonly<Record<string, string | undefined>>): Impairment {
  const impairment: Impairment = {};
  for (const [key, { word, parse }] of Object.entries(FIELDS)) {
    const text = texts[word];
    if (text === undefined) continue;
    const value = parsed(word, text, parse);
    if (parse === parsePercent && value > 1) {
      throw new SkerryError('invalid', `${word}: ${text} is more than all`, { remedy: 'Write 0% to 100%.' });
    }
    impairment[key as Key] = value;
  }
  return impairment;
}

/** {delayMs: 20, loss: 0.01} -> 'delay 20ms, loss 1%' */
export function formatImpairment(impairment: Impairment): string {
  const parts = Object.entries(FIELDS).flatMap(([key, { word, format }]) => {
    const value = impairment[key as Key];
    return value === undefined ? [] : [`${word} ${format(value)}`];
  });
  return parts.join(', ');
}

function parsed(word: string, text: string, parse: (text: string) => number): number {
  try {
    return parse(text);
  } catch (error) {
    const { code, message, remedy } = SkerryError.from(error);
    throw new SkerryError(code, `${word}: ${message}`, { remedy });
  }
}

/** A bare number is milliseconds, as with tc(8) of a user who means them. */
function parseMs(text: string): number {
  return /^\d+(?:\.\d+)?$/.test(text.trim()) ? Number(text) : parseDurationMs(text);
}

function formatMs(ms: number): string {
  return `${ms}ms`;
}

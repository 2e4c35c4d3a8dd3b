import { boolean, fail, integer, list, object, optional, text } from './config-checks.ts';
import type { PortImpairment, SegmentImpairment, SegmentPort } from './config.ts';

/** Checks of what happens to frames on their way. */

const MIN_RATE_KBIT = 8;
const MAX_RATE_KBIT = 100_000_000;
const MAX_DELAY_MS = 60_000;
const MAX_IMPAIRMENTS = 64;

export function parsePortImpairments(
  raw: Record<string, unknown>,
  at: string,
): Pick<SegmentPort, 'rateKbit' | 'impairments' | 'seedName'> {
  const impairments = optional(raw, 'impairments', at, list(parseImpairment));
  // Each costs every frame of the port its time.
  if (impairments !== undefined && impairments.length > MAX_IMPAIRMENTS) {
    fail(`${at}.impairments`, `are more than ${MAX_IMPAIRMENTS}`);
  }
  return {
    rateKbit: optional(raw, 'rateKbit', at, rateKbit),
    impairments,
    seedName: optional(raw, 'seedName', at, text),
  };
}

function parseImpairment(value: unknown, at: string): PortImpairment {
  const raw = object(value, at);
  return {
    out: optional(raw, 'out', at, parseDirection),
    in: optional(raw, 'in', at, parseDirection),
    down: optional(raw, 'down', at, boolean),
    seed: integer(raw['seed'], 0, 0xffff_ffff, `${at}.seed`),
    untilMs: optional(raw, 'untilMs', at, (item, place) => integer(item, 0, Number.MAX_SAFE_INTEGER, place)),
  };
}

function parseDirection(value: unknown, at: string): SegmentImpairment {
  const raw = object(value, at);
  return {
    delayMs: optional(raw, 'delayMs', at, delay),
    jitterMs: optional(raw, 'jitterMs', at, delay),
    loss: optional(raw, 'loss', at, share),
    duplicate: optional(raw, 'duplicate', at, share),
    reorder: optional(raw, 'reorder', at, share),
    corrupt: optional(raw, 'corrupt', at, share),
    rateKbit: optional(raw, 'rateKbit', at, rateKbit),
  };
}

function rateKbit(value: unknown, at: string): number {
  return integer(value, MIN_RATE_KBIT, MAX_RATE_KBIT, at);
}

function delay(value: unknown, at: string): number {
  return between(value, MAX_DELAY_MS, at);
}

function share(value: unknown, at: string): number {
  return between(value, 1, at);
}

/** Not necessarily whole. */
function between(value: unknown, most: number, at: string): number {
  return typeof value === 'number' && value >= 0 && value <= most ? value : fail(at, `is not from 0 to ${most}`);
}

import { SkerryError } from './errors.ts';
import { formatDuration, formatPercent, parseDurationMs, parsePercent } from './units.ts';

/** What the amount of a VM's fault is: in which unit, within which limits, and how it is written. */

export type AmountKind = 'cpu' | 'memory' | 'clock' | 'disk-error' | 'disk-latency';

interface AmountRule {
  readonly what: string;
  /** Undefined: all that the VM has. */
  readonly standard: number | undefined;
  readonly min: number;
  readonly max: number;
  readonly example: string;
  readonly parse: (text: string) => number;
  readonly format: (amount: number) => string;
}

const DAY_S = 86_400;

export const AMOUNTS: Readonly<Record<AmountKind, AmountRule>> = {
  cpu: {
    what: 'a share of one CPU',
    standard: undefined,
    min: 0.01,
    max: 64,
    example: '50%, or 200% for two CPUs',
    parse: parsePercent,
    format: formatPercent,
  },
  memory: {
    what: "a share of the guest's memory",
    standard: 0.8,
    min: 0.01,
    max: 1,
    example: '80%',
    parse: parsePercent,
    format: formatPercent,
  },
  clock: {
    what: 'seconds that the clock is set on, or back',
    standard: 3600,
    min: -3650 * DAY_S,
    max: 3650 * DAY_S,
    example: '3600, 2h or -30s',
    parse: parseOffsetS,
    format: formatOffset,
  },
  'disk-error': {
    what: 'a share of the blocks of the disk',
    standard: 1,
    min: 0.000001,
    max: 1,
    example: '100%, or 0.1%',
    parse: parsePercent,
    format: formatPercent,
  },
  'disk-latency': {
    what: 'milliseconds for each request',
    standard: 100,
    min: 1,
    max: 60_000,
    example: '100ms',
    parse: parseLatencyMs,
    format: formatDuration,
  },
};

export function hasAmount(kind: string): kind is AmountKind {
  return kind in AMOUNTS;
}

/** '80%' of `memory` -> 0.8. @throws SkerryError `invalid` */
export function parseAmount(kind: string, text: string): number {
  if (!hasAmount(kind)) throw noAmount(kind);
  try {
    return AMOUNTS[kind].parse(text);
  } catch (error) {
    const { what, example } = AMOUNTS[kind];
    throw new SkerryError('invalid', `'${text}' is not ${what}`, { remedy: `Write ${example}.`, cause: error });
  }
}

/** 0.8 of `memory` -> '80%'; undefined of what has no amount. */
export function formatAmount(kind: string, amount: number | undefined): string | undefined {
  return amount === undefined || !hasAmount(kind) ? undefined : AMOUNTS[kind].format(amount);
}

/**
 * The amount that is meant, within its limits.
 * @param cpus of the VM
 * @throws SkerryError `invalid`
 */
export function amountOf(kind: string, asked: number | undefined, cpus: number): number | undefined {
  if (!hasAmount(kind)) {
    if (asked !== undefined) throw noAmount(kind);
    return undefined;
  }
  const { what, standard, min, max, example, format } = AMOUNTS[kind];
  const amount = asked ?? standard ?? cpus;
  if (amount >= min && amount <= max && amount !== 0) return amount;
  throw new SkerryError(
    'invalid',
    `The amount of ${kind} is ${what}: ${format(min)} to ${format(max)}, not ${format(amount)}`,
    {
      remedy: `For example --amount ${example}.`,
    },
  );
}

function noAmount(kind: string): SkerryError {
  return new SkerryError('invalid', `A fault of the kind ${kind} has no amount`, { remedy: 'Leave --amount out.' });
}

function parseOffsetS(text: string): number {
  const back = text.trim().startsWith('-');
  const ms = parseDurationMs(text.trim().replace(/^[-+]/, ''));
  return (back ? -ms : ms) / 1000;
}

function formatOffset(seconds: number): string {
  return `${seconds < 0 ? '-' : '+'}${formatDuration(Math.abs(seconds) * 1000)}`;
}

function parseLatencyMs(text: string): number {
  return /^\d+$/.test(text.trim()) ? Number(text) : parseDurationMs(text);
}

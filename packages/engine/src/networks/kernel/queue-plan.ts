import { createHash } from 'node:crypto';
import type { Impairment } from '@skerry/api';
import type { PortImpairment } from '@skerry/switch';

/**
 * What becomes of frames that leave an interface: its queue, as tc(8) is told and as it tells of it. A rate alone is a token
 * bucket; everything else is one netem, for of two in a row newer kernels take only some (Linux 6.16, check_netem_in_tree). Pure.
 */

export type Queue = Bucket | Netem;

export interface Bucket {
  readonly kind: 'tbf';
  readonly rateKbit: number;
}

export interface Netem {
  readonly kind: 'netem';
  /** Frames that it holds. */
  readonly limit: number;
  readonly delayUs: number;
  readonly jitterUs: number;
  /** Shares of the frames, from 0 to 1. */
  readonly loss: number;
  readonly duplicate: number;
  readonly corrupt: number;
  /** Those that do not wait. */
  readonly reorder: number;
  readonly rateKbit: number;
  /** Absent: the kernel draws by itself. */
  readonly seed?: number | undefined;
}

/** What is to happen to a NIC's frames in one direction. */
export interface QueueWish {
  /** Of the NIC. */
  readonly rateKbit?: number | undefined;
  readonly impairments: readonly PortImpairment[];
  /** `in`: what the guest gets. */
  readonly direction: 'in' | 'out';
  /** As with the switch: the same name and seed give the same again. */
  readonly seedName: string;
  /** Whether the kernel takes a seed (Linux 6.6, iproute2 6.6). */
  readonly seeds: boolean;
}

/** A cable that is out is no queue: `down` is not looked at. */
export function queueOf({ rateKbit, impairments, direction, seedName, seeds }: QueueWish): Queue | undefined {
  const own = impairments.filter((each) => each[direction] !== undefined);
  const all = own.map((each) => each[direction] ?? {});
  const rates = [rateKbit, ...all.map((each) => each.rateKbit)].filter((rate) => rate !== undefined);
  const rate = rates.length === 0 ? undefined : Math.min(...rates);
  if (!all.some(needsNetem)) return rate === undefined ? undefined : { kind: 'tbf', rateKbit: rate };
  const seed = seedFor(`${direction} ${seedName} ${own.map((each) => each.seed).join(' ')}`);
  return { ...netemOf(all, rate), ...(seeds ? { seed } : {}) };
}

/** A rate is to be had without. */
export function needsNetem({ rateKbit: _, ...rest }: Impairment): boolean {
  return Object.values(rest).some((value = 0) => value > 0);
}

/** As the switch has it (packages/switch/src/line.ts): without a delay, those out of order wait this long, and no others. */
const REORDER_US = 10_000;

function netemOf(all: readonly Impairment[], rateKbit: number | undefined): Netem {
  const sumUs = (field: 'delayMs' | 'jitterMs'): number =>
    Math.round(all.reduce((total, each) => total + (each[field] ?? 0), 0) * 1000);
  /** Of independent shares, one after the other. */
  const share = (field: 'loss' | 'duplicate' | 'corrupt' | 'reorder'): number =>
    1 - all.reduce((left, each) => left * (1 - (each[field] ?? 0)), 1);
  const [askedUs, jitterUs, reorder] = [sumUs('delayMs'), sumUs('jitterMs'), share('reorder')];
  const waits = askedUs === 0 && reorder > 0;
  const delayUs = waits ? REORDER_US : askedUs;
  return {
    kind: 'netem',
    limit: limitFor((delayUs + jitterUs) / 1000, rateKbit),
    delayUs,
    jitterUs,
    loss: share('loss'),
    duplicate: share('duplicate'),
    corrupt: share('corrupt'),
    reorder: waits ? 1 - reorder : reorder,
    // Without a rate a frame with less jitter overtakes those before it; with one it never does (sch_netem.c, netem_enqueue).
    rateKbit: rateKbit ?? NO_RATE_KBIT,
  };
}

/** The most that may be asked for: it delays a frame by 0.1 us. */
const NO_RATE_KBIT = 100_000_000;
const FRAME_BYTES = 1514;
/** What a line without a rate is taken to carry at most. */
const LINE_KBIT = 1_000_000;
/** As in the switch: what would wait longer for its turn is dropped. */
const MAX_QUEUE_MS = 200;
const MIN_FRAMES = 32;
const DEFAULT_FRAMES = 1000;
/** A guest may hand over 64 KiB at once, to be cut later: a quarter of a GiB at worst. */
const MAX_FRAMES = 4096;

/** netem drops silently what is more: half again as much as is under way at that rate. */
function limitFor(waitMs: number, rateKbit: number | undefined): number {
  const bits = (rateKbit ?? LINE_KBIT) * (waitMs + (rateKbit === undefined ? 0 : MAX_QUEUE_MS));
  const frames = Math.ceil((bits / 8 / FRAME_BYTES) * 1.5);
  return Math.min(MAX_FRAMES, Math.max(rateKbit === undefined ? DEFAULT_FRAMES : MIN_FRAMES, frames));
}

/** 48 bits: netem takes 64, but a number of JSON holds 53. */
function seedFor(text: string): number {
  return createHash('sha256').update(text).digest().readUIntBE(0, 6);
}

const LATENCY_MS = 50;
const MIN_BURST_BYTES = 16 * 1024;

/** Whole: what netem is not told again stays as it was. */
export function queueLine(name: string, queue: Queue): string {
  const replace = `qdisc replace dev ${name} root`;
  if (queue.kind === 'tbf') {
    // tc-tbf(8): the burst has to hold what comes in a tick of the kernel's, 10 ms at worst.
    const burst = Math.max(MIN_BURST_BYTES, Math.ceil((queue.rateKbit * 125) / 100));
    return `${replace} tbf rate ${queue.rateKbit}kbit burst ${burst} latency ${LATENCY_MS}ms`;
  }
  const { limit, delayUs, jitterUs, loss, duplicate, corrupt, reorder, rateKbit, seed } = queue;
  return [
    `${replace} netem limit ${limit} delay ${delayUs}us ${jitterUs}us`,
    ...Object.entries({ loss, duplicate, corrupt, reorder }).map(([word, value]) => `${word} ${percent(value)}`),
    `rate ${rateKbit}kbit`,
    ...(seed === undefined ? [] : [`seed ${seed}`]),
  ].join(' ');
}

/** Without an exponent, which tc(8) would not read. */
function percent(share: number): string {
  return `${Number((share * 100).toFixed(6))}%`;
}

interface TcOptions {
  readonly limit?: number;
  readonly delay?: { readonly delay?: number; readonly jitter?: number };
  readonly 'loss-random'?: { readonly loss?: number };
  readonly duplicate?: { readonly duplicate?: number };
  readonly corrupt?: { readonly corrupt?: number };
  readonly reorder?: { readonly reorder?: number };
  readonly rate?: number | { readonly rate?: number };
  readonly seed?: number;
}

/** Of `tc -j qdisc show`: seconds, shares, bytes a second. @returns undefined: of another kind than ours */
export function readQueue(kind: string, options: TcOptions = {}): Queue | undefined {
  const { rate, delay, seed } = options;
  const rateKbit = Math.round(((typeof rate === 'object' ? rate.rate : rate) ?? 0) / 125);
  if (kind === 'tbf') return { kind, rateKbit };
  if (kind !== 'netem') return undefined;
  return {
    kind,
    limit: options.limit ?? 0,
    delayUs: (delay?.delay ?? 0) * 1e6,
    jitterUs: (delay?.jitter ?? 0) * 1e6,
    loss: options['loss-random']?.loss ?? 0,
    duplicate: options.duplicate?.duplicate ?? 0,
    corrupt: options.corrupt?.corrupt ?? 0,
    reorder: options.reorder?.reorder ?? 0,
    rateKbit,
    ...(seed === undefined ? {} : { seed }),
  };
}

/** Shares are 32 bits in the kernel, times are told with six digits. */
export function isQueue(wanted: Queue | undefined, found: Queue | undefined): boolean {
  if (wanted === undefined || found === undefined) return wanted === found;
  if (wanted.kind !== 'netem' || found.kind !== 'netem')
    return wanted.kind === found.kind && wanted.rateKbit === found.rateKbit;
  const isNear = (a: number, b: number, least: number): boolean => Math.abs(a - b) <= Math.max(least, a * 1e-5);
  return (
    wanted.limit === found.limit &&
    wanted.rateKbit === found.rateKbit &&
    (wanted.seed === undefined || wanted.seed === found.seed) &&
    (['delayUs', 'jitterUs'] as const).every((field) => isNear(wanted[field], found[field], 1)) &&
    (['loss', 'duplicate', 'corrupt', 'reorder'] as const).every((field) => isNear(wanted[field], found[field], 1e-6))
  );
}

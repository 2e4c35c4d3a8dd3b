import type { SegmentImpairment } from './config.ts';
import type { Prng } from './prng.ts';

/** What an impairment does to one frame. */
export interface Fate {
  readonly lost: boolean;
  readonly duplicated: boolean;
  /** The bit of the frame that is turned over; -1: none. */
  readonly corruptBit: number;
  /** It goes before those that came earlier. */
  readonly reordered: boolean;
  /** After it has left. */
  readonly delayMs: number;
}

/**
 * Draws fates. Every frame takes six numbers from the generator whatever becomes of it: the same seed loses the same
 * frames, also when the jitter is another.
 */
export class FateSource {
  readonly #what: SegmentImpairment;
  readonly #random: Prng;
  readonly #isRandom: boolean;
  readonly #always: Fate;

  constructor(what: SegmentImpairment, random: Prng) {
    const { jitterMs = 0, loss = 0, duplicate = 0, reorder = 0, corrupt = 0, delayMs = 0 } = what;
    this.#what = what;
    this.#random = random;
    this.#isRandom = jitterMs + loss + duplicate + reorder + corrupt > 0;
    this.#always = { lost: false, duplicated: false, corruptBit: -1, reordered: false, delayMs };
  }

  draw(bytes: number): Fate {
    if (!this.#isRandom) return this.#always;
    const { delayMs = 0, jitterMs = 0, loss = 0, duplicate = 0, reorder = 0, corrupt = 0 } = this.#what;
    const random = this.#random;
    const lost = random.share() < loss;
    const duplicated = random.share() < duplicate;
    const corrupted = random.share() < corrupt;
    const bit = Math.floor(random.share() * bytes * 8);
    const reordered = random.share() < reorder;
    // Uniform around the delay, as netem's is without a table (tc-netem(8), DELAY).
    const jitter = (random.share() * 2 - 1) * jitterMs;
    return {
      lost,
      duplicated,
      corruptBit: corrupted && bytes > 0 ? bit : -1,
      reordered,
      delayMs: Math.max(0, delayMs + jitter),
    };
  }
}

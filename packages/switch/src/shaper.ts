/** How long a rate may hold a frame back: a router's buffer. More would only be delay (RFC 8290 section 1). */
const MAX_WAIT_MS = 200;
/** But so many full frames find room at any rate, or a slow link would lose every burst. */
const MIN_FRAMES = 10;
const FULL_FRAME_BYTES = 1514;

/**
 * A rate, as the time at which each frame has left: the next one begins when the last one is out. It has no burst: over
 * any time no more bits leave than the rate allows. Pure: time is told.
 */
export class Shaper {
  /** Bits a millisecond. */
  readonly #rateKbit: number;
  readonly #maxWaitMs: number;
  #freeAtMs = -Infinity;

  constructor(rateKbit: number) {
    this.#rateKbit = rateKbit;
    this.#maxWaitMs = Math.max(MAX_WAIT_MS, (MIN_FRAMES * FULL_FRAME_BYTES * 8) / rateKbit);
  }

  /** @returns when a frame that comes now has left; undefined: there are too many before it */
  depart(nowMs: number, bytes: number): number | undefined {
    const startMs = Math.max(nowMs, this.#freeAtMs);
    if (startMs - nowMs > this.#maxWaitMs) return undefined;
    this.#freeAtMs = startMs + (bytes * 8) / this.#rateKbit;
    return this.#freeAtMs;
  }

  /** Time has stood still. */
  postpone(ms: number): void {
    this.#freeAtMs += ms;
  }
}

/** How far the monotonic clock may be off before it is taken for a step of the wall's. Date.now() has whole milliseconds. */
const MAX_OFF_MS = 10;
const COMPARE_INTERVAL_MS = 1000;

export interface Clocks {
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
}

const HOST: Clocks = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

/**
 * Wall time that never goes back, in nanoseconds: the monotonic clock from where the wall's stood. It follows a clock that
 * is set forward, and a host that slept; when the clock is set back it stands still until that time comes again.
 * One of them serves all captures of a switch, so that frames can be compared across ports.
 */
export class WallTime {
  seconds = 0;
  nanoseconds = 0;
  readonly #clocks: Clocks;
  #originMs = 0;
  #compareAtMs = -Infinity;

  constructor(clocks: Clocks = HOST) {
    this.#clocks = clocks;
  }

  /** Sets `seconds` and `nanoseconds`. */
  read(): this {
    const monotonicMs = this.#clocks.monotonicMs();
    if (monotonicMs >= this.#compareAtMs) this.#compare(monotonicMs);
    // The origin is in whole milliseconds: the sum would have room for no more than a quarter of a microsecond.
    const originSeconds = Math.floor(this.#originMs / 1000);
    const restMs = this.#originMs - originSeconds * 1000 + monotonicMs;
    const restSeconds = Math.floor(restMs / 1000);
    const seconds = originSeconds + restSeconds;
    const nanoseconds = Math.floor((restMs - restSeconds * 1000) * 1e6);
    if (seconds > this.seconds || (seconds === this.seconds && nanoseconds > this.nanoseconds)) {
      this.seconds = seconds;
      this.nanoseconds = nanoseconds;
    }
    return this;
  }

  #compare(monotonicMs: number): void {
    this.#compareAtMs = monotonicMs + COMPARE_INTERVAL_MS;
    const originMs = this.#clocks.wallMs() - Math.floor(monotonicMs);
    if (Math.abs(originMs - this.#originMs) > MAX_OFF_MS) this.#originMs = originMs;
  }
}

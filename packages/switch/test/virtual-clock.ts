import type { Clock } from '../src/schedule.ts';

/** Time that goes on only when it is told to, without waiting. */
export class VirtualClock implements Clock {
  #nowMs = 1000;
  #sleeper: { readonly atMs: number; readonly body: () => void } | undefined;
  /** How late every timer is. */
  lateMs = 0;
  wakes = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  wake(delayMs: number, body: () => void): () => void {
    if (this.#sleeper !== undefined) throw new Error('a second timer');
    const sleeper = { atMs: this.#nowMs + Math.max(0, delayMs) + this.lateMs, body };
    this.#sleeper = sleeper;
    return () => {
      if (this.#sleeper === sleeper) this.#sleeper = undefined;
    };
  }

  /** Runs what is due on the way. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let next = this.#sleeper; next !== undefined && next.atMs <= endMs; next = this.#sleeper) {
      this.#sleeper = undefined;
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      this.wakes += 1;
      next.body();
    }
    this.#nowMs = endMs;
  }
}

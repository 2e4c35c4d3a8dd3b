import type { StartReport } from '@skerry/api';

type Phase = StartReport['phases'][number];

/** Where the time of a start went. Phases follow each other without a gap, so they sum to the whole. */
export class Waterfall {
  readonly #startedAtMs = performance.now();
  readonly #at = new Date().toISOString();
  readonly #phases: Phase[] = [];
  #markedAtMs = this.#startedAtMs;

  /** Ends the phase that has run since the last mark. */
  mark(name: string): void {
    const nowMs = performance.now();
    this.#phases.push({ name, ms: round(nowMs - this.#markedAtMs) });
    this.#markedAtMs = nowMs;
  }

  report(how: Omit<StartReport, 'at' | 'totalMs' | 'phases'>): StartReport {
    return { at: this.#at, totalMs: round(this.#markedAtMs - this.#startedAtMs), phases: this.#phases, ...how };
  }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

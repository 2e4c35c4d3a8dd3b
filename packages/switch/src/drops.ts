import { DROP_REASONS, type DropReason } from './verdict.ts';

/** Dropped frames of one port by reason; it outlives the tables. */
export class Drops {
  readonly #counts = new Float64Array(DROP_REASONS.length);

  /** @param index into DROP_REASONS */
  count(index: number): void {
    this.#counts[index]! += 1;
  }

  /** The reasons that occurred. */
  toJSON(): Partial<Record<DropReason, number>> {
    const counts = DROP_REASONS.map((reason, i) => [reason, this.#counts[i]!] as const);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }
}

/**
 * A map whose keys also come in order, both ways, from anywhere. Keys lie in sorted runs of bounded length, so an
 * insert moves at most one run, however many keys there are; `get` is a hash look-up.
 */
const MAX_RUN = 512;

export class OrderedMap<V> {
  readonly #values = new Map<string, V>();
  readonly #runs: string[][] = [];

  get size(): number {
    return this.#values.size;
  }

  get(key: string): V | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: V): void {
    if (!this.#values.has(key)) this.#insert(key);
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    const at = this.#runOf(key);
    const run = this.#runs[at];
    if (run === undefined) return true;
    run.splice(lowerBound(run, key), 1);
    if (run.length === 0) this.#runs.splice(at, 1);
    return true;
  }

  /** Values under a prefix, in key order; `after` leaves out keys up to it in the direction of travel. */
  *under(prefix: string, options: { after?: string | undefined; reverse?: boolean | undefined } = {}): Generator<V> {
    for (const key of options.reverse === true ? this.#down(prefix, options.after) : this.#up(prefix, options.after)) {
      if (!key.startsWith(prefix)) return;
      const value = this.#values.get(key);
      if (value !== undefined) yield value;
    }
  }

  *#up(prefix: string, after: string | undefined): Generator<string> {
    const from = after !== undefined && after >= prefix ? after : prefix;
    let at = this.#runOf(from);
    let index = lowerBound(this.#runs[at] ?? [], from);
    for (let run = this.#runs[at]; run !== undefined; run = this.#runs[(at += 1)], index = 0) {
      for (; index < run.length; index += 1) {
        const key = run[index] as string;
        if (key !== after) yield key;
      }
    }
  }

  *#down(prefix: string, after: string | undefined): Generator<string> {
    // Keys are ASCII (checks.ts): U+FFFF sorts behind all that share the prefix.
    const end = `${prefix}\uffff`;
    const below = after !== undefined && after < end ? after : end;
    let at = this.#runOf(below);
    let index = lowerBound(this.#runs[at] ?? [], below) - 1;
    for (let run = this.#runs[at]; run !== undefined; run = this.#runs[(at -= 1)], index = (run?.length ?? 0) - 1) {
      for (; index >= 0; index -= 1) yield run[index] as string;
    }
  }

  #insert(key: string): void {
    const at = this.#runOf(key);
    const run = this.#runs[at];
    if (run === undefined) {
      this.#runs.push([key]);
      return;
    }
    run.splice(lowerBound(run, key), 0, key);
    if (run.length > MAX_RUN) this.#runs.splice(at + 1, 0, run.splice(MAX_RUN / 2));
  }

  /** The last run that starts at or before the key; the first one if none does. */
  #runOf(key: string): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#runs[middle]?.[0] ?? '') <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

/** Index of the first key that is not below the given one. */
function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

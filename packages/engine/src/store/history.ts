import type { SkerryError } from '@skerry/api';
import { StoreCompactedError, type StoreEvent, type WatchQuery } from './port.ts';

/**
 * The latest changes, kept once for all watchers: a watcher is a position in it. So a slow one costs no memory, and the
 * bound on the history is the bound on everybody's buffer.
 */
export interface HistoryLimits {
  readonly maxEvents: number;
  /** Of keys and values together. */
  readonly maxChars: number;
}

interface Waiter {
  readonly prefix: string;
  /** Where the watcher goes on; moved past changes that are not its own, so that they never cost it its place. */
  position: number;
  readonly wake: () => void;
}

export class History {
  readonly #limits: HistoryLimits;
  readonly #waiters = new Set<Waiter>();
  #events: StoreEvent[] = [];
  /** Position of #events[0]; positions count changes since the store was opened. */
  #first = 0;
  #chars = 0;
  #compactRevision: number;
  #closed: SkerryError | undefined;

  /** @param revision what the store is at: older changes are not known */
  constructor(revision: number, limits: HistoryLimits) {
    this.#compactRevision = revision;
    this.#limits = limits;
  }

  append(events: readonly StoreEvent[]): void {
    for (const event of events) {
      this.#events.push(event);
      this.#chars += chars(event);
    }
    this.#trim();
    const end = this.#first + this.#events.length;
    for (const waiter of this.#waiters) {
      if (events.some((event) => event.key.startsWith(waiter.prefix))) waiter.wake();
      else waiter.position = end;
    }
  }

  compact(revision: number): void {
    this.#drop(this.#indexOf(revision + 1));
    this.#compactRevision = Math.max(this.#compactRevision, revision);
  }

  /** Ends every watch with an error. */
  close(error: SkerryError): void {
    this.#closed = error;
    for (const waiter of this.#waiters) waiter.wake();
  }

  async *watch({ prefix, fromRevision, signal }: WatchQuery): AsyncGenerator<StoreEvent, void, void> {
    if (isAborted(signal)) return;
    if (fromRevision <= this.#compactRevision) throw new StoreCompactedError(this.#compactRevision);
    let position = this.#first + this.#indexOf(fromRevision);
    for (;;) {
      if (this.#closed !== undefined) throw this.#closed;
      if (position < this.#first) throw new StoreCompactedError(this.#compactRevision);
      const event = this.#events[position - this.#first];
      if (event === undefined) {
        position = await this.#next(prefix, position, signal);
      } else {
        position += 1;
        if (event.revision >= fromRevision && event.key.startsWith(prefix)) yield event;
      }
      if (isAborted(signal)) return;
    }
  }

  #next(prefix: string, position: number, signal: AbortSignal | undefined): Promise<number> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        this.#waiters.delete(waiter);
        resolve(waiter.position);
      };
      const waiter: Waiter = { prefix, position, wake };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', wake);
    });
  }

  /** Index of the first change at or after a revision. */
  #indexOf(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle]?.revision ?? 0) < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trim(): void {
    if (this.#events.length <= this.#limits.maxEvents && this.#chars <= this.#limits.maxChars) return;
    // A tenth at a time: the array is moved once per many changes, not at each.
    let index = 0;
    let left = this.#chars;
    const keepEvents = Math.floor(this.#limits.maxEvents * 0.9);
    while (index < this.#events.length) {
      if (this.#events.length - index <= keepEvents && left <= this.#limits.maxChars * 0.9) break;
      left -= chars(this.#events[index] as StoreEvent);
      index += 1;
    }
    this.#drop(index);
  }

  #drop(count: number): void {
    for (const event of this.#events.splice(0, count)) {
      this.#chars -= chars(event);
      this.#compactRevision = event.revision;
    }
    this.#first += count;
  }
}

function chars(event: StoreEvent): number {
  return event.key.length + (event.type === 'put' ? event.entry.value.length : 0);
}

/** A call, as the compiler takes a look at the property to hold across an await. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

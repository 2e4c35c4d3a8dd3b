import { SkerryError } from '@skerry/api';
import { StoreCompactedError, type Store, type StoreEntry, type StoreOp } from './port.ts';

/**
 * A bounded, append-only sequence in the store, numbered 1, 2, 3, ... without a hole. Numbers come in the order of
 * commits even with several writers: each append requires that its first number is free, so the loser takes the next.
 */
export interface JournalOptions {
  /** Keys are the prefix and the number in 12 digits; it ends in '/'. */
  readonly prefix: string;
  /** Items kept; older ones go as new ones come. */
  readonly keep: number;
}

export interface JournalItem<T> {
  readonly id: number;
  readonly item: T;
}

interface Pending {
  readonly value: string;
  readonly resolve: (id: number) => void;
  readonly reject: (error: SkerryError) => void;
}

/** A put and a delete each stay below the store's bound of 128 operations. */
const MAX_BATCH = 60;
const PAGE = 500;
/** A store that takes nothing must not cost the process its memory. */
const MAX_PENDING = 10_000;

export class Journal<T> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #keep: number;
  #pending: Pending[] = [];
  #writing: Promise<void> | undefined;
  /** First and last number in the store, once read. */
  #bounds: { first: number; last: number } | undefined;

  constructor(store: Store, { prefix, keep }: JournalOptions) {
    this.#store = store;
    this.#prefix = prefix;
    this.#keep = keep;
  }

  /**
   * Resolves with the item's number once it is on disk. Nobody has to wait for it, and it never throws at once.
   * @throws SkerryError what the store throws; `unavailable` if it takes nothing for long
   */
  append(item: T): Promise<number> {
    const appended = this.#append(item);
    // A caller that does not wait must not end the process with an unhandled rejection.
    appended.catch(() => undefined);
    return appended;
  }

  /** Resolves once all that was appended is on disk, or was refused. */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** Items past `after`, or else the newest ones (below `before`, if given); always oldest first. */
  async list(
    query: { after?: number | undefined; before?: number | undefined; limit?: number | undefined } = {},
  ): Promise<JournalItem<T>[]> {
    const reverse = query.after === undefined;
    const edge = query.after ?? query.before;
    const after = edge === undefined ? undefined : this.#key(edge);
    const { entries } = await this.#store.range({ prefix: this.#prefix, limit: query.limit ?? PAGE, reverse, after });
    const items = entries.map((entry) => this.#decode(entry));
    return reverse ? items.reverse() : items;
  }

  /**
   * Every item from a number on (default: those to come), as they come; ends with the signal. A reader so slow that what
   * it wants is no longer kept goes on with the oldest there is: the numbers show the hole.
   */
  async *follow(
    query: { fromId?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<JournalItem<T>, void, void> {
    const isAborted = (): boolean => query.signal?.aborted === true;
    let last = query.fromId === undefined ? await this.#last() : query.fromId - 1;
    while (!isAborted()) {
      const page = await this.#store.range({ prefix: this.#prefix, limit: PAGE, after: this.#key(last) });
      for (const entry of page.entries) {
        if (isAborted()) return;
        const item = this.#decode(entry);
        last = item.id;
        yield item;
      }
      if (page.more) continue;
      try {
        const next = { prefix: this.#prefix, fromRevision: page.revision + 1, signal: query.signal };
        for await (const event of this.#store.watch(next)) {
          if (event.type !== 'put') continue;
          const item = this.#decode(event.entry);
          if (item.id <= last) continue;
          last = item.id;
          yield item;
        }
      } catch (error) {
        // Too slow for the watch: what it missed is still in the store.
        if (!(error instanceof StoreCompactedError)) throw error;
      }
    }
  }

  async #append(item: T): Promise<number> {
    if (this.#pending.length >= MAX_PENDING) {
      throw new SkerryError('unavailable', 'The log can not keep up', {
        remedy: 'Check the disk: `skerry host doctor`.',
      });
    }
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#pending.push({ value: JSON.stringify(item), resolve, reject });
    this.#writing ??= this.#writeAll();
    return promise;
  }

  async #writeAll(): Promise<void> {
    // Let the caller's turn end: what it appends goes together.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const batch = this.#pending.splice(0, MAX_BATCH);
      try {
        const firstId = await this.#write(batch.map((pending) => pending.value));
        for (const [index, pending] of batch.entries()) pending.resolve(firstId + index);
      } catch (error) {
        this.#bounds = undefined;
        for (const pending of batch) pending.reject(SkerryError.from(error));
      }
    }
    this.#writing = undefined;
  }

  async #write(values: readonly string[]): Promise<number> {
    for (;;) {
      const { first, last } = (this.#bounds ??= await this.#readBounds());
      const newLast = last + values.length;
      // As many go as come; more while there are too many, as the bound may have been lowered since.
      const newFirst = Math.min(Math.max(first, newLast - this.#keep + 1), first + MAX_BATCH, last + 1);
      const ops: StoreOp[] = values.map((value, index) => ({ type: 'put', key: this.#key(last + 1 + index), value }));
      for (let id = first; id < newFirst; id += 1) ops.push({ type: 'delete', key: this.#key(id) });
      const txn = await this.#store.txn({ compare: [{ key: this.#key(last + 1), exists: false }], then: ops });
      this.#bounds = txn.succeeded ? { first: newFirst, last: newLast } : undefined;
      if (txn.succeeded) return last + 1;
    }
  }

  async #readBounds(): Promise<{ first: number; last: number }> {
    const { entries } = await this.#store.range({ prefix: this.#prefix, limit: 1, keysOnly: true });
    const last = await this.#last();
    return { first: entries[0] === undefined ? last + 1 : this.#idOf(entries[0].key), last };
  }

  async #last(): Promise<number> {
    const { entries } = await this.#store.range({ prefix: this.#prefix, limit: 1, keysOnly: true, reverse: true });
    return entries[0] === undefined ? 0 : this.#idOf(entries[0].key);
  }

  #key(id: number): string {
    return this.#prefix + String(Math.max(0, id)).padStart(12, '0');
  }

  #idOf(key: string): number {
    return Number(key.slice(this.#prefix.length));
  }

  #decode(entry: StoreEntry): JournalItem<T> {
    return { id: this.#idOf(entry.key), item: JSON.parse(entry.value) as T };
  }
}

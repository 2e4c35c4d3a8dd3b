import { SkerryError } from '@skerry/api';

/**
 * The store every concern keeps its state in: one ordered keyspace with etcd's semantics
 * (etcd.io/docs/v3.5/learning/api), small enough that etcd and an embedded database can both be it.
 *
 * Each transaction that changes something raises the store's revision by one; all its changes carry that revision.
 */
export interface Store extends AsyncDisposable {
  get(key: string): Promise<StoreEntry | undefined>;

  /** Entries in key order, as of `revision` of the result. */
  range(query: RangeQuery): Promise<RangeResult>;

  /**
   * All comparisons hold: the operations of `then`, else those of `else`, in order, all or none. It resolves once the
   * changes are on disk; every later read of this store sees them.
   * @throws SkerryError `invalid` (a key twice, too many operations, a value too large), `not-found` (no such lease),
   * `no-space` (nothing was changed), `unavailable` (closed)
   */
  txn(txn: Txn): Promise<TxnResult>;

  /**
   * Every change under a prefix from a revision on: in order, no gap, no repeat. All of one revision come before any of
   * the next. An aborted signal ends the iteration without an error. A reader that is too slow loses its place rather
   * than the store its memory: it gets StoreCompactedError, and lists again.
   * @throws StoreCompactedError, SkerryError `unavailable` (closed)
   */
  watch(query: WatchQuery): AsyncIterable<StoreEvent>;

  /** Forgets history up to and including a revision. @throws SkerryError `invalid` (a revision yet to come) */
  compact(revision: number): Promise<void>;

  /** Keys put with the lease vanish `ttlMs` after the last keep-alive. A store may grant longer than asked. */
  grantLease(ttlMs: number): Promise<Lease>;
  /** @throws SkerryError `not-found` (it ran out) */
  keepLeaseAlive(leaseId: string): Promise<Lease>;
  /** Ends a lease: its keys vanish in one revision. @throws SkerryError `not-found` */
  revokeLease(leaseId: string): Promise<void>;

  /** Resolves once every write that was begun is on disk; watches end with `unavailable`. */
  close(): Promise<void>;
}

export interface StoreEntry {
  readonly key: string;
  /** JSON by convention; the store does not look inside. */
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Puts since it was created; 1 at first. */
  readonly version: number;
  readonly leaseId?: string | undefined;
}

export interface RangeQuery {
  /** '' is every key. */
  readonly prefix: string;
  readonly limit?: number | undefined;
  /** Only keys past this one, in the direction of the range. */
  readonly after?: string | undefined;
  /** From the last key to the first. */
  readonly reverse?: boolean | undefined;
  /** Values come as ''. */
  readonly keysOnly?: boolean | undefined;
}

export interface RangeResult {
  readonly entries: readonly StoreEntry[];
  /** The limit left some out: go on `after` the last key. */
  readonly more: boolean;
  /** Of the whole store: a watch from `revision + 1` misses nothing and repeats nothing. */
  readonly revision: number;
}

/** `modRevision` 0 means absent. A comparison with the value of an absent key does not hold. */
export type Compare =
  | { readonly key: string; readonly modRevision: number }
  | { readonly key: string; readonly exists: boolean }
  | { readonly key: string; readonly value: string };

export type StoreOp =
  | { readonly type: 'put'; readonly key: string; readonly value: string; readonly leaseId?: string | undefined }
  | { readonly type: 'delete'; readonly key: string }
  /** Every key under a prefix; not ''. */
  | { readonly type: 'deletePrefix'; readonly prefix: string }
  | { readonly type: 'get'; readonly key: string };

/** Within a branch a key may be put only once, and not be deleted as well (as in etcd: ErrDuplicateKey). */
export interface Txn {
  readonly compare?: readonly Compare[] | undefined;
  readonly then: readonly StoreOp[];
  readonly else?: readonly StoreOp[] | undefined;
}

/** One per operation of the branch that was taken. `get` sees the operations before it. */
export type OpResult =
  | { readonly type: 'put' }
  | { readonly type: 'delete'; readonly deleted: number }
  | { readonly type: 'get'; readonly entry: StoreEntry | undefined };

export interface TxnResult {
  /** The comparisons held. */
  readonly succeeded: boolean;
  /** Of the store after it: the changes' own, if there were any. */
  readonly revision: number;
  readonly results: readonly OpResult[];
}

export interface WatchQuery {
  readonly prefix: string;
  /** The first revision wanted. */
  readonly fromRevision: number;
  readonly signal?: AbortSignal | undefined;
}

export type StoreEvent =
  | { readonly type: 'put'; readonly key: string; readonly revision: number; readonly entry: StoreEntry }
  | { readonly type: 'delete'; readonly key: string; readonly revision: number };

export interface Lease {
  readonly id: string;
  readonly ttlMs: number;
}

/** History before the wanted revision is gone: range again, and watch from that result's revision + 1. */
export class StoreCompactedError extends SkerryError {
  readonly compactRevision: number;

  constructor(compactRevision: number) {
    super('unavailable', `The changes up to revision ${compactRevision} are no longer kept`, {
      remedy: 'Read the present state again, and go on from its revision.',
      details: { compactRevision },
    });
    this.compactRevision = compactRevision;
  }
}

/**
 * A transaction that must not lose its race.
 * @throws SkerryError `conflict`, and all that `Store.txn` throws
 */
export async function commit(store: Store, txn: Omit<Txn, 'else'>): Promise<TxnResult> {
  const result = await store.txn(txn);
  if (!result.succeeded) {
    throw new SkerryError('conflict', 'It was changed by someone else meanwhile', {
      remedy: 'Look at it again, then repeat the change if it is still wanted.',
      details: { keys: (txn.compare ?? []).map((compare) => compare.key) },
    });
  }
  return result;
}

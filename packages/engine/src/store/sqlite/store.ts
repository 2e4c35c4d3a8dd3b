import { randomUUID } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SkerryError, type ErrorBody } from '@skerry/api';
import { checkLeaseTtl, checkTxn } from '../checks.ts';
import { History, type HistoryLimits } from '../history.ts';
import { LeaseClock } from '../leases.ts';
import { OrderedMap } from '../ordered-map.ts';
import type {
  Lease,
  RangeQuery,
  RangeResult,
  Store,
  StoreEntry,
  StoreEvent,
  Txn,
  TxnResult,
  WatchQuery,
} from '../port.ts';
import { Connection, type Loaded } from './connection.ts';
import { refuse } from './faults.ts';

export interface SqliteStoreOptions {
  /** The database file; its directory is made if it is missing, for its owner only. */
  readonly path: string;
  /** Past this the store is full, rather than the disk. Default 1024. */
  readonly maxSizeMib?: number | undefined;
  /** How far back watches can start. In memory: from the opening on. Default 10,000 changes, 16 Mi characters. */
  readonly history?: Partial<HistoryLimits> | undefined;
}

/** The embedded store can do more than the port: it is one file. */
export interface FileStore extends Store {
  /**
   * Writes a copy of its file, consistent, while everything else goes on. Only its owner can read it.
   * @param to a path where there is nothing
   * @throws SkerryError `conflict` (there is a file), `no-space`, `refused`, `unavailable` (closed)
   */
  copyTo(to: string): Promise<void>;
}

const LEASE_RETRY_MS = 1000;

/**
 * The embedded store: node:sqlite in a thread of its own, reads from memory.
 * @throws SkerryError `in-use` (open in another process), `unsupported` (of a newer Skerry), `failed` (damaged),
 * `refused` (rights, or not our file)
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<FileStore> {
  await prepareFile(options.path);
  const store = new SqliteStore(options);
  await store.load();
  return store;
}

/** SQLite gives its other files the rights of this one; specs may hold secrets. */
async function prepareFile(path: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    // Never opened if it exists: closing any descriptor of a file drops all of the process's locks on it, and with them
    // those of a store that has it open (fcntl(2), sqlite.org/howtocorrupt.html section 2.2).
    await (await open(path, 'ax', 0o600)).close();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const body = code === 'ENOSPC' ? refuse.full(path) : refuse.unreadable(path, String(code));
    throw asError(body, error);
  }
}

function asError({ code, message, remedy, details }: ErrorBody, cause: unknown): SkerryError {
  return new SkerryError(code, message, { remedy, details, cause });
}

class SqliteStore implements FileStore {
  readonly #connection: Connection;
  /** What is on disk: changes come in after their commit, in its order. */
  readonly #entries = new OrderedMap<StoreEntry>();
  readonly #leases = new LeaseClock((lease) => void this.#expire(lease));
  readonly #historyLimits: HistoryLimits;
  #history: History;
  #revision = 0;
  #closed: SkerryError | undefined;

  constructor({ path, maxSizeMib = 1024, history }: SqliteStoreOptions) {
    this.#historyLimits = { maxEvents: 10_000, maxChars: 16 * 2 ** 20, ...history };
    this.#history = new History(0, this.#historyLimits);
    this.#connection = new Connection(
      { path, maxSizeMib },
      {
        onEntries: (entries) => {
          for (const entry of entries) this.#entries.set(entry.key, entry);
        },
        onCommitted: (revision, events) => this.#apply(revision, events),
        onBroken: (error) => this.#end(error),
      },
    );
  }

  async load(): Promise<void> {
    const { revision, leases }: Loaded = await this.#connection.loaded;
    this.#revision = revision;
    this.#history = new History(revision, this.#historyLimits);
    for (const lease of leases) this.#leases.start(lease);
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    this.#assertOpen();
    return this.#entries.get(key);
  }

  async range({ prefix, limit = Infinity, after, reverse, keysOnly }: RangeQuery): Promise<RangeResult> {
    this.#assertOpen();
    const entries: StoreEntry[] = [];
    let more = false;
    for (const entry of this.#entries.under(prefix, { after, reverse })) {
      more = entries.length >= limit;
      if (more) break;
      entries.push(keysOnly === true ? { ...entry, value: '' } : entry);
    }
    return { entries, more, revision: this.#revision };
  }

  async txn(txn: Txn): Promise<TxnResult> {
    this.#assertOpen();
    checkTxn(txn);
    return this.#connection.submit({ type: 'txn', txn });
  }

  async *watch(query: WatchQuery): AsyncGenerator<StoreEvent, void, void> {
    this.#assertOpen();
    yield* this.#history.watch(query);
  }

  async compact(revision: number): Promise<void> {
    this.#assertOpen();
    if (revision > this.#revision) {
      throw new SkerryError('invalid', `Revision ${revision} is yet to come: the store is at ${this.#revision}`, {
        remedy: `Compact up to ${this.#revision} at most.`,
      });
    }
    this.#history.compact(revision);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    this.#assertOpen();
    checkLeaseTtl(ttlMs);
    const lease = { id: randomUUID(), ttlMs };
    await this.#connection.submit({ type: 'grantLease', lease });
    this.#leases.start(lease);
    return lease;
  }

  async keepLeaseAlive(leaseId: string): Promise<Lease> {
    this.#assertOpen();
    const lease = this.#leases.refresh(leaseId);
    if (lease !== undefined) return lease;
    throw new SkerryError('not-found', `There is no lease ${leaseId}: it ran out`, {
      remedy: 'Take a new one, and put what it held again.',
    });
  }

  async revokeLease(leaseId: string): Promise<void> {
    this.#assertOpen();
    await this.#connection.submit({ type: 'revokeLease', leaseId });
    this.#leases.stop(leaseId);
  }

  async copyTo(to: string): Promise<void> {
    this.#assertOpen();
    // Made here for its rights: SQLite writes into an empty file as it is.
    await open(to, 'wx', 0o600)
      .then((file) => file.close())
      .catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw asError(refuse.unreadable(to, String(error.code)), error);
        throw new SkerryError('conflict', `${to} is there already`, { remedy: 'Choose another name.' });
      });
    await this.#connection.copy(to);
  }

  async close(): Promise<void> {
    this.#leases.stopAll();
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #apply(revision: number, events: readonly StoreEvent[]): void {
    this.#revision = revision;
    if (events.length === 0) return;
    for (const event of events) {
      if (event.type === 'put') this.#entries.set(event.key, event.entry);
      else this.#entries.delete(event.key);
    }
    this.#history.append(events);
  }

  async #expire(lease: Lease): Promise<void> {
    try {
      await this.#connection.submit({ type: 'revokeLease', leaseId: lease.id });
    } catch (error) {
      // A full disk has no room to delete either; once closed, or revoked meanwhile, there is nothing left to do.
      const isFull = SkerryError.from(error).code === 'no-space';
      if (isFull) setTimeout(() => void this.#expire(lease), LEASE_RETRY_MS).unref();
    }
  }

  #end(error: SkerryError): void {
    this.#closed ??= error;
    this.#leases.stopAll();
    this.#history.close(this.#closed);
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw this.#closed;
  }
}

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Compare, Lease, OpResult, StoreEntry, StoreEvent, StoreOp, Txn } from '../port.ts';
import { faultOf, isFull } from './faults.ts';
import type { Command, Outcome } from './messages.ts';

const COLUMNS = `key, value, create_revision AS createRevision, mod_revision AS modRevision, version, lease_id AS leaseId`;

/** The one writer: carries out commands in order, many in one commit. */
export class Writer {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly #statements: ReturnType<typeof prepare>;
  #revision: number;

  constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
    this.#statements = prepare(db);
    this.#revision = Number(db.prepare('SELECT revision FROM store').get()?.['revision']);
  }

  get revision(): number {
    return this.#revision;
  }

  leases(): Lease[] {
    return this.#db
      .prepare('SELECT id, ttl_ms AS ttlMs FROM lease')
      .all()
      .map((row) => ({ id: String(row['id']), ttlMs: Number(row['ttlMs']) }));
  }

  *entries(): Generator<StoreEntry> {
    for (const row of this.#db.prepare(`SELECT ${COLUMNS} FROM entry ORDER BY key`).iterate()) yield entryOf(row);
  }

  /**
   * What comes back as ok is on disk. A full disk refuses only the commands that do not fit.
   * @throws whatever else SQLite says: the file can't be trusted then, as after a failed fsync
   */
  commit(commands: readonly Command[]): Outcome[] {
    try {
      return this.#commitTogether(commands);
    } catch (error) {
      if (!isFull(error)) throw error;
      if (commands.length === 1) return [{ ok: false, error: faultOf(error, this.#path) }];
      return commands.flatMap((command) => this.commit([command]));
    }
  }

  #commitTogether(commands: readonly Command[]): Outcome[] {
    const before = this.#revision;
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const outcomes = commands.map((command) => this.#apply(command));
      if (this.#revision !== before) this.#statements.setRevision.run(this.#revision);
      this.#db.exec('COMMIT');
      return outcomes;
    } catch (error) {
      this.#revision = before;
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  #apply(command: Command): Outcome {
    switch (command.type) {
      case 'txn':
        return this.#applyTxn(command.txn);
      case 'grantLease':
        this.#statements.putLease.run(command.lease.id, command.lease.ttlMs);
        return { ok: true, result: { succeeded: true, revision: this.#revision, results: [] }, events: [] };
      case 'revokeLease':
        return this.#revoke(command.leaseId);
    }
  }

  #applyTxn(txn: Txn): Outcome {
    const succeeded = (txn.compare ?? []).every((compare) => this.#holds(compare));
    const ops = succeeded ? txn.then : (txn.else ?? []);
    // Before the first write: a refused command leaves nothing behind in the commit it shares with others.
    for (const op of ops) {
      if (op.type === 'put' && op.leaseId !== undefined && !this.#hasLease(op.leaseId)) return noLease(op.leaseId);
    }
    const events: StoreEvent[] = [];
    const results = ops.map((op) => this.#applyOp(op, events));
    return this.#changed(events, succeeded, results);
  }

  #applyOp(op: StoreOp, events: StoreEvent[]): OpResult {
    const revision = this.#revision + 1;
    switch (op.type) {
      case 'get':
        return { type: 'get', entry: this.#get(op.key) };
      case 'put': {
        const old = this.#get(op.key);
        const entry: StoreEntry = {
          key: op.key,
          value: op.value,
          createRevision: old?.createRevision ?? revision,
          modRevision: revision,
          version: (old?.version ?? 0) + 1,
          ...(op.leaseId === undefined ? {} : { leaseId: op.leaseId }),
        };
        const { key, value, createRevision, modRevision, version } = entry;
        this.#statements.put.run(key, value, createRevision, modRevision, version, op.leaseId ?? null);
        events.push({ type: 'put', key, revision, entry });
        return { type: 'put' };
      }
      case 'delete':
        return { type: 'delete', deleted: this.#delete([op.key], events) };
      case 'deletePrefix': {
        // '\x7f' sorts behind every character a key may have.
        const rows = this.#statements.keysBetween.all(op.prefix, `${op.prefix}\x7f`);
        return { type: 'delete', deleted: this.#delete(keysOf(rows), events) };
      }
    }
  }

  #revoke(leaseId: string): Outcome {
    if (!this.#hasLease(leaseId)) return noLease(leaseId);
    const events: StoreEvent[] = [];
    this.#delete(keysOf(this.#statements.keysOfLease.all(leaseId)), events);
    this.#statements.deleteLease.run(leaseId);
    return this.#changed(events, true, []);
  }

  #changed(events: StoreEvent[], succeeded: boolean, results: OpResult[]): Outcome {
    if (events.length > 0) this.#revision += 1;
    return { ok: true, result: { succeeded, revision: this.#revision, results }, events };
  }

  #delete(keys: readonly string[], events: StoreEvent[]): number {
    let deleted = 0;
    for (const key of keys) {
      if (this.#statements.delete.run(key).changes === 0) continue;
      deleted += 1;
      events.push({ type: 'delete', key, revision: this.#revision + 1 });
    }
    return deleted;
  }

  #holds(compare: Compare): boolean {
    const entry = this.#get(compare.key);
    if ('modRevision' in compare) return (entry?.modRevision ?? 0) === compare.modRevision;
    if ('exists' in compare) return (entry !== undefined) === compare.exists;
    return entry?.value === compare.value;
  }

  #get(key: string): StoreEntry | undefined {
    const row = this.#statements.get.get(key);
    return row === undefined ? undefined : entryOf(row);
  }

  #hasLease(leaseId: string): boolean {
    return this.#statements.getLease.get(leaseId) !== undefined;
  }
}

function prepare(db: DatabaseSync) {
  return {
    get: db.prepare(`SELECT ${COLUMNS} FROM entry WHERE key = ?`),
    put: db.prepare('INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)'),
    delete: db.prepare('DELETE FROM entry WHERE key = ?'),
    keysBetween: db.prepare('SELECT key FROM entry WHERE key >= ? AND key < ? ORDER BY key'),
    keysOfLease: db.prepare('SELECT key FROM entry WHERE lease_id = ? ORDER BY key'),
    getLease: db.prepare('SELECT 1 FROM lease WHERE id = ?'),
    putLease: db.prepare('INSERT INTO lease VALUES (?, ?)'),
    deleteLease: db.prepare('DELETE FROM lease WHERE id = ?'),
    setRevision: db.prepare('UPDATE store SET revision = ?'),
  } satisfies Record<string, StatementSync>;
}

type Row = NonNullable<ReturnType<StatementSync['get']>>;

function keysOf(rows: readonly Row[]): string[] {
  return rows.map((row) => String(row['key']));
}

function entryOf(row: Row): StoreEntry {
  return {
    key: String(row['key']),
    value: String(row['value']),
    createRevision: Number(row['createRevision']),
    modRevision: Number(row['modRevision']),
    version: Number(row['version']),
    ...(row['leaseId'] === null ? {} : { leaseId: String(row['leaseId']) }),
  };
}

function noLease(leaseId: string): Outcome {
  const remedy = 'Take a new one, and put what it held again.';
  return { ok: false, error: { code: 'not-found', message: `There is no lease ${leaseId}: it ran out`, remedy } };
}

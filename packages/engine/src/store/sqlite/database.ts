import { DatabaseSync } from 'node:sqlite';
import { Refusal, refuse } from './faults.ts';

/** Opens the file: alone, durable, checked, and in this version's schema. */

/** 'Skry', big-endian: tells our file from any other SQLite database (sqlite.org/pragma.html#pragma_application_id). */
const APPLICATION_ID = 0x536b7279;

/** In order; the file's user_version says how many it has seen. Never change one that was released: add one. */
export const MIGRATIONS: readonly string[] = [
  `CREATE TABLE entry (
     key TEXT PRIMARY KEY NOT NULL,
     value TEXT NOT NULL,
     create_revision INTEGER NOT NULL,
     mod_revision INTEGER NOT NULL,
     version INTEGER NOT NULL,
     lease_id TEXT
   ) STRICT;
   CREATE INDEX entry_by_lease ON entry (lease_id) WHERE lease_id IS NOT NULL;
   CREATE TABLE lease (id TEXT PRIMARY KEY NOT NULL, ttl_ms INTEGER NOT NULL) STRICT;
   CREATE TABLE store (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL) STRICT;
   INSERT INTO store VALUES (1, 1);`,
];

/** The newest format of the file that this Skerry knows. */
export const STORE_VERSION = MIGRATIONS.length;

export function openDatabase(path: string, maxSizeMib: number): DatabaseSync {
  const db = new DatabaseSync(path);
  try {
    // EXCLUSIVE before the first access: keeps others out and needs no shared-memory file (sqlite.org/wal.html#noshm).
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    db.exec('BEGIN EXCLUSIVE; COMMIT;');
    assertReadable(db, path);
    migrate(db);
    db.exec(`PRAGMA max_page_count = ${Math.ceil((maxSizeMib * 2 ** 20) / pragma(db, 'page_size'))};`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function assertReadable(db: DatabaseSync, path: string): void {
  const isNew = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (!isNew && pragma(db, 'application_id') !== APPLICATION_ID) throw new Refusal(refuse.foreign(path));
  const version = pragma(db, 'user_version');
  if (version > MIGRATIONS.length) throw new Refusal(refuse.newer(path, version, MIGRATIONS.length));
  const problem = db.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (problem !== 'ok') throw new Refusal(refuse.corrupt(path, String(problem)));
}

function migrate(db: DatabaseSync): void {
  const version = pragma(db, 'user_version');
  if (version === MIGRATIONS.length) return;
  // One transaction, pragmas included: a crash leaves the old version or the new one.
  db.exec('BEGIN IMMEDIATE');
  try {
    for (const step of MIGRATIONS.slice(version)) db.exec(step);
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}; COMMIT;`);
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function pragma(db: DatabaseSync, name: 'application_id' | 'user_version' | 'page_size'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}

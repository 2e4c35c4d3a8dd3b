import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { ErrorBody } from '@skerry/api';
import type { StoreEntry } from '../port.ts';
import { openDatabase } from './database.ts';
import { faultOf } from './faults.ts';
import type { FromWorker, ToWorker, WorkerOptions } from './messages.ts';
import { Writer } from './writer.ts';

/**
 * The thread that owns the file: its calls block, and block nobody. It must not import @skerry/api: a thread does not
 * inherit the condition under which the workspace's packages are found unbuilt.
 */
const { path, maxSizeMib } = workerData as WorkerOptions;
/** Small enough that taking them in never holds the main thread up. */
const ENTRIES_PER_MESSAGE = 500;

function send(message: FromWorker): void {
  parentPort?.postMessage(message);
}

function orBreak<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    send({ type: 'broken', error: faultOf(error, path) });
    parentPort?.close();
    return undefined;
  }
}

/** Consistent, without what was deleted, and with our marks (sqlite.org/lang_vacuum.html). A failure harms the copy only. */
function copy(db: DatabaseSync, to: string): ErrorBody | undefined {
  try {
    db.prepare('VACUUM INTO ?').run(to);
    return undefined;
  } catch (error) {
    return faultOf(error, to);
  }
}

function serve(): void {
  const db = openDatabase(path, maxSizeMib);
  const writer = new Writer(db, path);
  let entries: StoreEntry[] = [];
  for (const entry of writer.entries()) {
    if (entries.push(entry) < ENTRIES_PER_MESSAGE) continue;
    send({ type: 'entries', entries });
    entries = [];
  }
  send({ type: 'entries', entries });
  send({ type: 'opened', revision: writer.revision, leases: writer.leases() });
  parentPort?.on('message', (message: ToWorker) => {
    if (message.type === 'close') {
      orBreak(() => db.close());
      parentPort?.close();
      return;
    }
    if (message.type === 'copy') {
      send({ type: 'copied', error: copy(db, message.to) });
      return;
    }
    const outcomes = orBreak(() => writer.commit(message.commands));
    if (outcomes === undefined) db.close();
    else send({ type: 'committed', outcomes });
  });
}

orBreak(serve);

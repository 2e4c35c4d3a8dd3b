import type { ErrorBody } from '@skerry/api';

/** What SQLite's result codes (sqlite.org/rescode.html) mean to a reader. Bodies, not errors: they cross a thread. */

const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** Thrown in the store's thread only. */
export class Refusal extends Error {
  readonly body: ErrorBody;

  constructor(body: ErrorBody) {
    super(body.message);
    this.body = body;
  }
}

export const refuse = {
  corrupt: (path: string, problem: string): ErrorBody => ({
    code: 'failed',
    message: `The store ${path} is damaged: ${problem}`,
    remedy: `Put a backup in its place, or move ${path} and ${path}-wal away to start empty; VMs are not touched.`,
    details: { path, problem },
  }),
  foreign: (path: string): ErrorBody => ({
    code: 'refused',
    message: `${path} is a database, but not one of Skerry's`,
    remedy: 'Move it away, or set SKERRY_DATA_DIR to another directory.',
    details: { path },
  }),
  newer: (path: string, version: number, known: number): ErrorBody => ({
    code: 'unsupported',
    message: `The store ${path} has format ${version}; this Skerry knows formats up to ${known}`,
    remedy: 'Run the newer Skerry that wrote it, or set SKERRY_DATA_DIR to another directory.',
    details: { path, version, known },
  }),
  inUse: (path: string): ErrorBody => ({
    code: 'in-use',
    message: `The store ${path} is open in another process`,
    remedy: 'Stop the other daemon (`skerry daemon stop`), or set SKERRY_DATA_DIR to another directory.',
    details: { path },
  }),
  full: (path: string): ErrorBody => ({
    code: 'no-space',
    message: `The store ${path} has no room for the change; nothing was changed`,
    remedy: 'Free some space on its disk, then repeat the change.',
    details: { path },
  }),
  unreadable: (path: string, problem: string): ErrorBody => ({
    code: 'refused',
    message: `The store ${path} can not be opened for writing: ${problem}`,
    remedy: 'Check who owns the file and its directory, and that the disk is not mounted read-only.',
    details: { path },
  }),
} as const;

/** Primary result code, or undefined if SQLite did not throw it. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

export function isFull(error: unknown): boolean {
  return resultCode(error) === SQLITE_FULL;
}

export function faultOf(error: unknown, path: string): ErrorBody {
  if (error instanceof Refusal) return error.body;
  const problem = error instanceof Error ? error.message : String(error);
  switch (resultCode(error)) {
    case SQLITE_BUSY:
      return refuse.inUse(path);
    case SQLITE_FULL:
      return refuse.full(path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return refuse.corrupt(path, problem);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return refuse.unreadable(path, problem);
    default:
      return {
        code: 'failed',
        message: `The store ${path} does not work: ${problem}`,
        remedy: 'Look for errors of the disk in `dmesg`, then start the daemon again.',
        details: { path },
      };
  }
}

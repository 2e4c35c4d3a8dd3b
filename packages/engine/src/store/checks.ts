import { SkerryError } from '@skerry/api';
import type { StoreOp, Txn } from './port.ts';

/** What every adapter refuses before anything happens, so that all refuse the same. */

export const MAX_KEY_LENGTH = 1024;
/** etcd takes requests of 1.5 MiB (`--max-request-bytes`); one value stays below that. */
export const MAX_VALUE_BYTES = 1024 * 1024;
/** etcd's default of `--max-txn-ops`. */
export const MAX_TXN_OPS = 128;
export const MAX_LEASE_TTL_MS = 24 * 3_600_000;

/** Printable ASCII: the order of bytes (etcd, SQLite) and of UTF-16 units (JavaScript) is then the same. */
const KEY = /^[\x21-\x7e]+$/;

function invalid(message: string, remedy: string): SkerryError {
  return new SkerryError('invalid', message, { remedy });
}

export function checkKey(key: string): void {
  if (key.length > MAX_KEY_LENGTH || !KEY.test(key)) {
    throw invalid(
      `Not a key of the store: ${JSON.stringify(key.slice(0, 80))}`,
      `Use 1 to ${MAX_KEY_LENGTH} printable ASCII characters without blanks.`,
    );
  }
}

/** @throws SkerryError `invalid` */
export function checkTxn(txn: Txn): void {
  for (const compare of txn.compare ?? []) checkKey(compare.key);
  checkBranch(txn.then);
  checkBranch(txn.else ?? []);
  if ((txn.compare?.length ?? 0) > MAX_TXN_OPS) {
    throw invalid('Too many comparisons in one transaction', `Use at most ${MAX_TXN_OPS}.`);
  }
}

function checkBranch(ops: readonly StoreOp[]): void {
  if (ops.length > MAX_TXN_OPS) {
    throw invalid(`A transaction of ${ops.length} operations is too large`, `Split it: at most ${MAX_TXN_OPS} each.`);
  }
  const puts = new Set<string>();
  const deletedPrefixes: string[] = [];
  const deletedKeys = new Set<string>();
  for (const op of ops) {
    if (op.type === 'deletePrefix') {
      checkKey(op.prefix);
      deletedPrefixes.push(op.prefix);
      continue;
    }
    checkKey(op.key);
    if (op.type === 'delete') deletedKeys.add(op.key);
    if (op.type !== 'put') continue;
    if (puts.has(op.key)) throw twice(op.key);
    puts.add(op.key);
    if (Buffer.byteLength(op.value) > MAX_VALUE_BYTES) {
      throw invalid(
        `The value of ${op.key} is too large`,
        `It may have ${MAX_VALUE_BYTES} bytes: keep large files in an image or a volume.`,
      );
    }
  }
  for (const key of puts) {
    if (deletedKeys.has(key) || deletedPrefixes.some((prefix) => key.startsWith(prefix))) throw twice(key);
  }
}

function twice(key: string): SkerryError {
  return invalid(`The key ${key} is changed twice in one transaction`, 'Change it once.');
}

export function checkLeaseTtl(ttlMs: number): void {
  if (!Number.isInteger(ttlMs) || ttlMs < 1 || ttlMs > MAX_LEASE_TTL_MS) {
    throw invalid(`Not a time to live: ${ttlMs} ms`, `Use 1 to ${MAX_LEASE_TTL_MS} ms.`);
  }
}

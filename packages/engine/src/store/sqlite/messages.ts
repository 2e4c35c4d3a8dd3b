import type { ErrorBody } from '@skerry/api';
import type { Lease, StoreEntry, StoreEvent, Txn, TxnResult } from '../port.ts';

/** What the store's thread and the main thread say to each other. Errors travel as bodies: classes do not survive. */

export interface WorkerOptions {
  readonly path: string;
  readonly maxSizeMib: number;
}

export type Command =
  | { readonly type: 'txn'; readonly txn: Txn }
  | { readonly type: 'grantLease'; readonly lease: Lease }
  | { readonly type: 'revokeLease'; readonly leaseId: string };

export type Outcome =
  | { readonly ok: true; readonly result: TxnResult; readonly events: readonly StoreEvent[] }
  | { readonly ok: false; readonly error: ErrorBody };

export type ToWorker =
  | { readonly type: 'batch'; readonly commands: readonly Command[] }
  /** Writes a copy of the file as it is after the batches before. */
  | { readonly type: 'copy'; readonly to: string }
  | { readonly type: 'close' };

export type FromWorker =
  | { readonly type: 'entries'; readonly entries: readonly StoreEntry[] }
  | { readonly type: 'opened'; readonly revision: number; readonly leases: readonly Lease[] }
  /** One outcome per command of the batch; what was ok is on disk. */
  | { readonly type: 'committed'; readonly outcomes: readonly Outcome[] }
  /** One per copy, in their order. */
  | { readonly type: 'copied'; readonly error: ErrorBody | undefined }
  /** It could not be opened, or can't be trusted any more: nothing else will come. */
  | { readonly type: 'broken'; readonly error: ErrorBody };

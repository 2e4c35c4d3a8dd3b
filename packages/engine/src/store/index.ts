export { MAX_KEY_LENGTH, MAX_LEASE_TTL_MS, MAX_TXN_OPS, MAX_VALUE_BYTES } from './checks.ts';
export { MapFile, type MapFileOptions } from './map-file.ts';
export { Journal, type JournalItem, type JournalOptions } from './journal.ts';
export {
  commit,
  StoreCompactedError,
  type Compare,
  type Lease,
  type OpResult,
  type RangeQuery,
  type RangeResult,
  type Store,
  type StoreEntry,
  type StoreEvent,
  type StoreOp,
  type Txn,
  type TxnResult,
  type WatchQuery,
} from './port.ts';
export {
  refOf,
  Resources,
  type NewResource,
  type Precondition,
  type ResourceChange,
  type ResourceEvent,
  type ResourceKind,
  type ResourceList,
} from './resources.ts';
export { STORE_VERSION } from './sqlite/database.ts';
export { openSqliteStore, type FileStore, type SqliteStoreOptions } from './sqlite/store.ts';
export { upgradeResources, type Upgrade } from './upgrade.ts';
export { uuidv7 } from './uuid.ts';

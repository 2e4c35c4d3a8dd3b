import * as fc from './properties.ts';
import type { Compare, OpResult, StoreEntry, StoreEvent, StoreOp, Txn, TxnResult } from '@skerry/engine';

/** The store's semantics written as plainly as can be, for the contract's property. */

export interface Model {
  revision: number;
  readonly entries: Map<string, StoreEntry>;
  readonly events: StoreEvent[];
}

/** Keys get the run's prefix; a comparison may want the model's present revision of a key. */
export type RelativeTxn = (prefix: string, model: Model) => Txn;

const keyName = fc.constantFrom('a', 'b', 'c', 'd/1', 'd/2', 'd/2/x');
const value = fc.constantFrom('1', '2', '3');

const compareArbitrary: fc.Arbitrary<(prefix: string, model: Model) => Compare> = fc.oneof(
  fc.record({ key: keyName, exists: fc.boolean() }).map(({ key, exists }) => (prefix: string) => ({
    key: prefix + key,
    exists,
  })),
  fc
    .record({ key: keyName, value })
    .map((compare) => (prefix: string) => ({ key: prefix + compare.key, value: compare.value })),
  fc.record({ key: keyName, isRight: fc.boolean() }).map(({ key, isRight }) => (prefix: string, model: Model) => ({
    key: prefix + key,
    modRevision: (model.entries.get(prefix + key)?.modRevision ?? 0) + (isRight ? 0 : 1),
  })),
);

const opArbitrary: fc.Arbitrary<(prefix: string) => StoreOp> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .record({ key: keyName, value })
      .map((op) => (prefix: string) => ({ type: 'put' as const, key: prefix + op.key, value: op.value })),
  },
  { weight: 2, arbitrary: keyName.map((key) => (prefix: string) => ({ type: 'delete' as const, key: prefix + key })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('d/', 'd/2', 'a')
      .map((key) => (prefix: string) => ({ type: 'deletePrefix' as const, prefix: prefix + key })),
  },
  { weight: 1, arbitrary: keyName.map((key) => (prefix: string) => ({ type: 'get' as const, key: prefix + key })) },
);

export const opsArbitrary: fc.Arbitrary<RelativeTxn> = fc
  .record({
    compare: fc.array(compareArbitrary, { maxLength: 2 }),
    then: fc.array(opArbitrary, { maxLength: 4 }),
    else: fc.array(opArbitrary, { maxLength: 2 }),
  })
  .map((txn) => (prefix: string, model: Model) => ({
    compare: txn.compare.map((compare) => compare(prefix, model)),
    then: withoutOverlap(txn.then.map((op) => op(prefix))),
    else: withoutOverlap(txn.else.map((op) => op(prefix))),
  }));

/** Leaves out what the port refuses: a key changed twice where one of the changes is a put. */
function withoutOverlap(ops: readonly StoreOp[]): StoreOp[] {
  const kept: StoreOp[] = [];
  for (const op of ops) {
    if (op.type === 'get' || !kept.some((other) => clash(op, other) || clash(other, op))) kept.push(op);
  }
  return kept;
}

function clash(one: StoreOp, other: StoreOp): boolean {
  if (one.type !== 'put') return false;
  if (other.type === 'put' || other.type === 'delete') return one.key === other.key;
  return other.type === 'deletePrefix' && one.key.startsWith(other.prefix);
}

export function applyToModel(model: Model, txn: Txn): TxnResult {
  const succeeded = (txn.compare ?? []).every((compare) => {
    const entry = model.entries.get(compare.key);
    if ('modRevision' in compare) return (entry?.modRevision ?? 0) === compare.modRevision;
    if ('exists' in compare) return (entry !== undefined) === compare.exists;
    return entry !== undefined && entry.value === compare.value;
  });
  const revision = model.revision + 1;
  const events: StoreEvent[] = [];
  const results = (succeeded ? txn.then : (txn.else ?? [])).map((op): OpResult => {
    if (op.type === 'get') return { type: 'get', entry: model.entries.get(op.key) };
    if (op.type === 'put') {
      const old = model.entries.get(op.key);
      const createRevision = old?.createRevision ?? revision;
      const version = (old?.version ?? 0) + 1;
      const entry = { key: op.key, value: op.value, createRevision, modRevision: revision, version };
      model.entries.set(op.key, entry);
      events.push({ type: 'put', key: op.key, revision, entry });
      return { type: 'put' };
    }
    const isDoomed = (key: string): boolean => (op.type === 'delete' ? key === op.key : key.startsWith(op.prefix));
    const doomed = [...model.entries.keys()].filter(isDoomed).sort();
    for (const key of doomed) {
      model.entries.delete(key);
      events.push({ type: 'delete', key, revision });
    }
    return { type: 'delete', deleted: doomed.length };
  });
  model.events.push(...events);
  if (events.length > 0) model.revision = revision;
  return { succeeded, revision: model.revision, results };
}

export function modelRange(model: Model, prefix: string): StoreEntry[] {
  const entries = [...model.entries.values()].filter((entry) => entry.key.startsWith(prefix));
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
}

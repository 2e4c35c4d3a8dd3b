import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { OrderedMap } from '../../src/store/ordered-map.ts';

test('behaves as a sorted list, both ways, from anywhere', () => {
  const key = fc.string({ unit: fc.constantFrom('a', 'b', '/', '~'), minLength: 1, maxLength: 3 });
  const change = fc.record({ key, isDelete: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 60 }),
      key,
      fc.option(key, { nil: undefined }),
      (changes, prefix, after) => {
        const map = new OrderedMap<string>();
        const model = new Set<string>();
        for (const { key: name, isDelete } of changes) {
          if (isDelete) expect(map.delete(name)).toBe(model.delete(name));
          else {
            map.set(name, name);
            model.add(name);
          }
        }
        const sorted = [...model].filter((name) => name.startsWith(prefix)).sort();
        expect(map.size).toBe(model.size);
        expect([...map.under('')]).toEqual([...model].sort());
        expect([...map.under(prefix, { after })]).toEqual(sorted.filter((name) => after === undefined || name > after));
        expect([...map.under(prefix, { after, reverse: true })]).toEqual(
          sorted.filter((name) => after === undefined || name < after).toReversed(),
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('stays in order over many runs, and when they empty', () => {
  const map = new OrderedMap<number>();
  const count = 5000;
  // 3331 and 5000 have no common factor: every key once, in scattered order.
  const keys = Array.from({ length: count }, (_, index) => `k${String((index * 3331) % count).padStart(5, '0')}`);
  for (const [index, key] of keys.entries()) map.set(key, index);
  expect([...map.under('k')].map((index) => keys[index])).toEqual(keys.toSorted());
  for (const key of keys.slice(0, 4900)) map.delete(key);
  const left = keys.slice(4900).toSorted();
  expect([...map.under('k')].map((index) => keys[index])).toEqual(left);
  expect([...map.under('k', { reverse: true })].map((index) => keys[index])).toEqual(left.toReversed());
  for (const key of left) map.delete(key);
  expect([...map.under('')]).toEqual([]);
});

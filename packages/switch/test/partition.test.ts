import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { parsePartition, Partitions } from '../src/partition.ts';

const ports = ['a', 'b', 'c', 'd', 'e'];
const separate = (partitions: Partitions): string[] =>
  ports.flatMap((from, i) => ports.flatMap((to, k) => (i < k && partitions.separate(i, k) ? [from + to] : [])));

test('ports of two groups do not reach each other; those of none reach all', () => {
  const partition = new Partitions([{ groups: [['a', 'b'], ['c'], ['d']] }], ports);
  expect(separate(partition)).toEqual(['ac', 'ad', 'bc', 'bd', 'cd']);
  expect(partition.active).toHaveLength(1);
  expect(separate(new Partitions([], ports))).toEqual([]);
});

test('several count all, each until its time', async () => {
  const soon = Date.now() + 30;
  const both = new Partitions([{ groups: [['a'], ['b']] }, { groups: [['c'], ['d']], untilMs: soon }], ports);
  expect(separate(both)).toEqual(['ab', 'cd']);
  await expect.poll(() => separate(both), { timeout: 2000 }).toEqual(['ab']);
  expect(both.active).toEqual([{ groups: [['a'], ['b']] }]);
  expect(separate(new Partitions([{ groups: [['a'], ['b']], untilMs: Date.now() - 1 }], ports))).toEqual([]);
});

test('it is the same in both directions', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1, max: 3 }), { minLength: 5, maxLength: 5 }), (groupOf) => {
      const groups = [0, 1, 2, 3].map((group) => ports.filter((_, index) => groupOf[index] === group));
      const partition = new Partitions([{ groups }], ports);
      for (let i = 0; i < 5; i += 1) {
        for (let k = 0; k < 5; k += 1) {
          const apart = groupOf[i] !== groupOf[k] && groupOf[i] !== -1 && groupOf[k] !== -1;
          expect(partition.separate(i, k)).toBe(apart);
        }
      }
    }),
  );
});

test('what comes over the control socket is checked', () => {
  expect(parsePartition({ groups: [['a'], ['b']], untilMs: 5 }, 'p')).toEqual({ groups: [['a'], ['b']], untilMs: 5 });
  for (const bad of [
    {},
    { groups: 'a' },
    { groups: [['a'], ['a']] },
    { groups: [[1]] },
    { groups: [], untilMs: 'x' },
  ]) {
    expect(() => parsePartition(bad, 'p')).toThrow(/^p/);
  }
});

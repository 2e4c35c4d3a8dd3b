import { expect, test } from 'vitest';
import { Prng, streamOf } from '../src/prng.ts';

const draws = (random: Prng, count: number) => Array.from({ length: count }, () => random.uint32());

test('it is xoshiro128** 1.1: the numbers that the reference implementation gives for the state 1, 2, 3, 4', () => {
  expect(draws(Prng.ofState([1, 2, 3, 4]), 10)).toEqual([
    11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
  ]);
});

test('a seed is a sequence; another seed or stream is another', () => {
  expect(draws(new Prng(7), 100)).toEqual(draws(new Prng(7), 100));
  const first = [new Prng(7), new Prng(8), new Prng(7, 1), new Prng(7, 2), new Prng(0)].map((one) => one.uint32());
  expect(new Set(first).size).toBe(5);
});

test('shares are spread evenly', () => {
  const random = new Prng(42);
  const buckets = Array.from({ length: 20 }, () => 0);
  for (let n = 0; n < 100_000; n += 1) buckets[Math.floor(random.share() * 20)]! += 1;
  // 5,000 each, give or take six standard deviations.
  for (const count of buckets) expect(Math.abs(count - 5000)).toBeLessThan(6 * Math.sqrt(5000 * 0.95));
});

test('the name of a stream: the published values of FNV-1a', () => {
  expect(['', 'a', 'foobar'].map((name) => streamOf(name))).toEqual([0x811c9dc5, 0xe40c292c, 0xbf9cf968]);
});

import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { Shaper } from '../src/shaper.ts';

test('frames leave one after the other, each taking its time', () => {
  const shaper = new Shaper(8); // a byte a millisecond
  expect(shaper.depart(0, 100)).toBe(100);
  expect(shaper.depart(50, 100)).toBe(200);
  expect(shaper.depart(1000, 10)).toBe(1010);
  shaper.postpone(500);
  expect(shaper.depart(1100, 10)).toBe(1520);
});

test('what would wait longer than 200 ms is refused; ten full frames find room at any rate', () => {
  const fast = new Shaper(20_000);
  let frames = 0;
  while (fast.depart(0, 1514) !== undefined) frames += 1;
  expect(frames).toBe(Math.floor((200 * 20_000) / (1514 * 8)) + 1);
  const slow = new Shaper(8);
  for (let n = 0; n < 10; n += 1) expect(slow.depart(0, 1514)).toBeDefined();
  expect(slow.depart(0, 1514)).toBeDefined(); // the last one begins when the ten are out
  expect(slow.depart(0, 1514)).toBeUndefined();
});

test('however frames come, what has left never exceeds the rate, and the line is not idle while one waits', () => {
  const steps = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.integer({ min: 1, max: 1514 })), { maxLength: 200 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 8, max: 100_000 }), (arrivals, rateKbit) => {
      const shaper = new Shaper(rateKbit);
      let nowMs = 0;
      let freeMs = 0;
      for (const [gapMs, bytes] of arrivals) {
        nowMs += gapMs;
        const departsMs = shaper.depart(nowMs, bytes);
        if (departsMs === undefined) continue;
        expect(departsMs).toBeCloseTo(Math.max(nowMs, freeMs) + (bytes * 8) / rateKbit, 6);
        freeMs = departsMs;
      }
    }),
  );
});

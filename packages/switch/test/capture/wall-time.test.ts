import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { WallTime } from '../../src/capture/wall-time.ts';

function timeOf() {
  const clocks = { wall: 1_763_745_000_123, monotonic: 5_000_000.25 };
  const time = new WallTime({ wallMs: () => Math.floor(clocks.wall), monotonicMs: () => clocks.monotonic });
  const pass = (ms: number) => {
    clocks.wall += ms;
    clocks.monotonic += ms;
  };
  return { clocks, pass, readNs: () => BigInt(time.read().seconds) * 1_000_000_000n + BigInt(time.nanoseconds) };
}

test('it is the time of the wall to the millisecond, and differences are exact to the microsecond', () => {
  const { clocks, pass, readNs } = timeOf();
  const first = readNs();
  expect(Math.abs(Number(first / 1_000_000n) - clocks.wall)).toBeLessThanOrEqual(1);
  pass(0.025);
  expect(Math.abs(Number(readNs() - first) - 25_000)).toBeLessThan(1000);
  pass(86_400_000);
  expect(Math.abs(Number(readNs() - first) - 86_400_000_025_000)).toBeLessThan(1000);
});

test('it follows a clock that is set forward, and waits for one that is set back', () => {
  const { clocks, pass, readNs } = timeOf();
  const first = readNs();
  clocks.wall += 3_600_000;
  pass(1000);
  expect(Math.abs(Number(readNs() - first) / 1e6 - 3_601_000)).toBeLessThanOrEqual(2);
  const before = readNs();
  clocks.wall -= 5000;
  pass(1000);
  expect(readNs()).toBe(before);
  pass(4100);
  expect(Math.abs(Number(readNs() - before) / 1e6 - 100)).toBeLessThanOrEqual(2);
});

test('it never goes back, whatever the clock does', () => {
  const step = fc.record({
    setMs: fc.integer({ min: -5000, max: 5000 }),
    passMs: fc.double({ min: 0, max: 2000, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const { clocks, pass, readNs } = timeOf();
      let last = readNs();
      for (const { setMs, passMs } of steps) {
        clocks.wall += setMs;
        pass(passMs);
        const now = readNs();
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
      }
    }),
  );
});

import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import type { PortImpairment } from '../src/config.ts';
import { withLength } from '../src/framing.ts';
import { Impairments, type Direction } from '../src/impair.ts';
import { noCounts } from '../src/line.ts';
import { Schedule } from '../src/schedule.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A port's impairments on a virtual clock: numbers go in, and come out with their time. */
function impaired() {
  const clock = new VirtualClock();
  const schedule = new Schedule(clock, (error) => {
    throw error;
  });
  const got: Record<Direction, [n: number, atMs: number][]> = { out: [], in: [] };
  const end = (direction: Direction) => ({
    pass(buffer: Buffer, start: number, stop: number) {
      for (let at = start; at < stop; at += 8) got[direction].push([buffer.readUInt32BE(at + 4), clock.nowMs() - 1000]);
    },
    flush() {},
  });
  const ends = { out: end('out'), in: end('in') };
  const target = new Impairments(schedule, ends);
  const send = (direction: Direction, ...numbers: number[]) => {
    for (const n of numbers) {
      const frame = Buffer.alloc(4);
      frame.writeUInt32BE(n, 0);
      const framed = withLength(frame);
      (target[direction] ?? ends[direction]).pass(framed, 0, framed.length, 1);
    }
  };
  return { clock, target, send, got, numbers: (direction: Direction) => got[direction].map(([n]) => n) };
}

const range = (count: number) => Array.from({ length: count }, (_, n) => n);
const delay = (delayMs: number, more: Partial<PortImpairment> = {}): PortImpairment => ({
  out: { delayMs },
  seed: 1,
  ...more,
});

test('each direction has its own, and without any there is nothing in the way', () => {
  const { clock, target, send, got } = impaired();
  expect([target.out, target.in]).toEqual([undefined, undefined]);
  target.set([{ out: { delayMs: 10 }, in: { delayMs: 30 }, seed: 1 }], undefined, 'web');
  send('out', 1);
  send('in', 2);
  clock.advance(50);
  expect(got).toEqual({ out: [[1, 10]], in: [[2, 30]] });
  target.set([delay(10)], undefined, 'web');
  expect([target.out === undefined, target.in]).toEqual([false, undefined]);
  target.set([], undefined, 'web');
  expect([target.out, target.in]).toEqual([undefined, undefined]);
});

test('several at once: delays add up, each loses its own, the least rate counts', () => {
  const { clock, target, send, got, numbers } = impaired();
  target.set([delay(10), delay(7, { seed: 2 })], undefined, 'web');
  send('out', 1);
  clock.advance(20);
  expect(got.out).toEqual([[1, 17]]);
  const losses = [1, 2].map((seed): PortImpairment => ({ in: { loss: 0.3 }, seed }));
  target.set(losses, undefined, 'web');
  send('in', ...range(10_000));
  expect(numbers('in').length / 10_000).toBeCloseTo(0.49, 1);
  expect(numbers('in').length + target.counts.in.lost).toBe(10_000);
  // 4 bytes each: one millisecond by the NIC's rate, half of one by the impairment's.
  target.set([{ out: { rateKbit: 64 }, seed: 1 }], 32, 'web');
  got.out.length = 0;
  send('out', ...range(4));
  const startMs = clock.nowMs() - 1000;
  clock.advance(20);
  expect(got.out.map(([n, atMs]) => [n, atMs - startMs])).toEqual([
    [0, 1.5],
    [1, 2.5],
    [2, 3.5],
    [3, 4.5],
  ]);
});

test('the same again goes on: with its generator, with what is under way, and with its end', () => {
  const impairment: PortImpairment = { out: { loss: 0.5, delayMs: 10 }, seed: 3 };
  const sent = (again: boolean) => {
    const { clock, target, send, numbers } = impaired();
    target.set([impairment], undefined, 'web');
    for (let round = 0; round < 20; round += 1) {
      send('out', ...range(10).map((n) => round * 10 + n));
      clock.advance(3);
      if (again) target.set([{ ...impairment, out: { ...impairment.out } }], undefined, 'web');
      if (again && round === 10) target.set([impairment, { in: { loss: 1 }, seed: 1 }], undefined, 'web');
    }
    expect(numbers('out').length).toBeLessThan(200 - 60 / 2); // some are under way
    clock.advance(10);
    return numbers('out');
  };
  expect(sent(true)).toEqual(sent(false));
});

test('one that is taken away, or another in its place, lets go of what it delayed, in order', () => {
  const { clock, target, send, numbers } = impaired();
  target.set([delay(50), delay(20, { seed: 2 })], 100_000, 'web');
  send('out', ...range(10));
  clock.advance(60); // in the second one now
  send('out', 10, 11);
  target.set([delay(100)], undefined, 'web');
  send('out', 12);
  clock.advance(1000);
  send('out', 13);
  target.set([], undefined, 'web');
  expect(numbers('out')).toEqual(range(14));
});

test('it ends by itself, to the millisecond, and one that has ended already never begins', () => {
  const { clock, target, send, got, numbers } = impaired();
  const untilMs = Date.now() + 5000;
  target.set([delay(20, { untilMs }), { down: true, seed: 1, untilMs: Date.now() - 1 }], undefined, 'web');
  expect(target.active).toEqual([delay(20, { untilMs })]);
  clock.advance(4900);
  expect(target.active).toHaveLength(1);
  clock.advance(90);
  send('out', 1);
  clock.advance(11);
  send('out', 2);
  expect([target.active, target.out]).toEqual([[], undefined]);
  expect(numbers('out')).toEqual([1, 2]);
  expect(got.out[0]![1]).toBeLessThanOrEqual(5000);
  expect(got.out[0]![1]).toBeGreaterThan(4990);
});

test('a link that is down lets nothing through in either direction, and counts it', () => {
  const { target, send, numbers } = impaired();
  target.set([{ down: true, seed: 1 }], undefined, 'web');
  send('out', 1, 2);
  send('in', 3);
  expect([numbers('out'), numbers('in')]).toEqual([[], []]);
  expect([target.counts.out.downDrops, target.counts.in.downDrops]).toEqual([2, 1]);
  target.set([], undefined, 'web');
  send('in', 4);
  expect(numbers('in')).toEqual([4]);
});

test('while time stands still nothing changes, ends or goes on; afterwards all of it does', () => {
  const { clock, target, send, numbers } = impaired();
  target.set([delay(20, { untilMs: Date.now() + 100 })], undefined, 'web');
  send('out', 1, 2);
  clock.advance(10);
  target.hold();
  clock.advance(5000);
  target.set([{ in: { loss: 1 }, seed: 1 }], undefined, 'web');
  expect(target.waiting('out').map((frame) => frame.readUInt32BE(4))).toEqual([1, 2]);
  expect(numbers('out')).toEqual([]);
  expect(target.active).toHaveLength(1);
  target.release();
  expect(numbers('out')).toEqual([1, 2]);
  expect(target.active).toEqual([{ in: { loss: 1 }, seed: 1 }]);
});

test('whatever comes and goes, nothing is lost, doubled or reordered unless that is asked', () => {
  const harmless = fc.record({
    delayMs: fc.nat({ max: 30 }),
    jitterMs: fc.nat({ max: 30 }),
    rateKbit: fc.integer({ min: 1000, max: 100_000 }),
  });
  const step = fc.oneof(
    fc.record({ send: fc.integer({ min: 1, max: 20 }), waitMs: fc.nat({ max: 20 }) }),
    fc.record({ impairments: fc.array(harmless, { maxLength: 3 }), rateKbit: fc.option(fc.constant(5000)) }),
    fc.record({ heldMs: fc.nat({ max: 200 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { clock, target, send, numbers } = impaired();
      let count = 0;
      for (const each of steps) {
        if ('send' in each) {
          const next = range(each.send).map((n) => count + n);
          count += each.send;
          send('out', ...next);
          send('in', ...next);
          clock.advance(each.waitMs);
        } else if ('heldMs' in each) {
          target.hold();
          clock.advance(each.heldMs);
          target.release();
        } else {
          const impairments = each.impairments.map((what): PortImpairment => ({ out: what, in: what, seed: 1 }));
          target.set(impairments, each.rateKbit ?? undefined, 'web');
        }
      }
      clock.advance(10_000);
      expect(numbers('out')).toEqual(range(count));
      expect(numbers('in')).toEqual(range(count));
      expect(target.counts.out).toEqual({ ...noCounts(), delayed: target.counts.out.delayed });
    }),
  );
});

test('one seed: each port and direction loses frames of its own, and the same ones every time', () => {
  const lost = (name: string, direction: Direction, seed = 5) => {
    const { target, send, numbers } = impaired();
    target.set([{ out: { loss: 0.1 }, in: { loss: 0.1 }, seed }], undefined, name);
    send(direction, ...range(2000));
    const got = new Set(numbers(direction));
    return range(2000).filter((n) => !got.has(n));
  };
  const all = [lost('web', 'out'), lost('web', 'in'), lost('db', 'out'), lost('web', 'out', 6), lost('web/1', 'out')];
  for (const [i, one] of all.entries()) {
    expect(one.length).toBeGreaterThan(120);
    for (const other of all.slice(i + 1)) {
      // Chance alone: one in ten of a tenth.
      expect(one.filter((n) => other.includes(n)).length).toBeLessThan(60);
    }
  }
  expect(lost('web', 'out')).toEqual(all[0]);
  expect(lost('db', 'out')).toEqual(all[2]);
  // As an independent program reckons them: a later version of the switch has to give the same again.
  expect(all[0]!.slice(0, 8)).toEqual([10, 18, 24, 33, 75, 79, 80, 82]);
});

import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import type { SegmentImpairment } from '../src/config.ts';
import { withLength } from '../src/framing.ts';
import { Line, noCounts } from '../src/line.ts';
import { Prng } from '../src/prng.ts';
import { Schedule } from '../src/schedule.ts';
import { VirtualClock } from './virtual-clock.ts';

interface Arrival {
  readonly n: number;
  readonly atMs: number;
  readonly bytes: Buffer;
}

/** A line, what goes in and what comes out: frames that begin with their number. */
function lineOf(what: SegmentImpairment & { down?: boolean }, seed = 1) {
  const clock = new VirtualClock();
  const schedule = new Schedule(clock, (error) => {
    throw error;
  });
  const counts = noCounts();
  const line = new Line(what, new Prng(seed), counts, schedule);
  const arrivals: Arrival[] = [];
  line.next = {
    pass(buffer, start, end, frames) {
      let count = 0;
      for (let at = start; at < end; count += 1) {
        const next = at + 4 + buffer.readUInt32BE(at);
        const bytes = Buffer.from(buffer.subarray(at + 4, next));
        arrivals.push({ n: bytes.readUInt32BE(0), atMs: clock.nowMs() - 1000, bytes });
        at = next;
      }
      if (count !== frames) throw new Error(`${count} frames were said to be ${frames}`);
    },
    flush() {},
  };
  const send = (...frames: Buffer[]) => {
    const buffer = Buffer.concat(frames.map((each) => withLength(each)));
    const before = Buffer.from(buffer);
    line.pass(buffer, 0, buffer.length, frames.length);
    line.flush();
    if (!buffer.equals(before)) throw new Error('others may have got this buffer, and it was written to');
  };
  return { clock, line, counts, arrivals, send, numbers: () => arrivals.map(({ n }) => n) };
}

function frame(n: number, bytes = 100): Buffer {
  const buffer = Buffer.alloc(bytes, n & 255);
  buffer.writeUInt32BE(n, 0);
  return buffer;
}

const many = (count: number) => Array.from({ length: count }, (_, n) => frame(n));

/** Frames of different sizes at different times, and an impairment without loss. */
const traffic = fc.array(fc.record({ gapMs: fc.nat({ max: 12 }), sizes: fc.array(fc.integer({ min: 4, max: 200 })) }), {
  maxLength: 30,
});

describe('a delay', () => {
  test('holds every frame back by as much, neither more nor less', () => {
    const { clock, send, arrivals, counts } = lineOf({ delayMs: 20 });
    send(frame(0), frame(1));
    clock.advance(7);
    send(frame(2));
    clock.advance(12.9);
    expect(arrivals).toEqual([]);
    clock.advance(50);
    expect(arrivals.map(({ n, atMs }) => [n, atMs])).toEqual([
      [0, 20],
      [1, 20],
      [2, 27],
    ]);
    expect(counts).toEqual({ ...noCounts(), delayed: 3 });
  });

  test('with jitter keeps the order, and stays within the jitter', () => {
    const { clock, send, arrivals, numbers } = lineOf({ delayMs: 20, jitterMs: 5 });
    for (let n = 0; n < 500; n += 1) {
      send(frame(n));
      clock.advance(1);
    }
    clock.advance(30);
    expect(numbers()).toEqual(Array.from({ length: 500 }, (_, n) => n));
    const delays = arrivals.map(({ n, atMs }) => atMs - n);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(15);
    expect(Math.max(...delays)).toBeLessThanOrEqual(25);
    expect(new Set(delays).size).toBeGreaterThan(50);
  });

  test('with jitter keeps the order also when the timer is late and the next frame has no delay at all', () => {
    const { clock, send, numbers } = lineOf({ jitterMs: 10 });
    clock.lateMs = 8;
    for (let n = 0; n < 2000; n += 1) {
      send(frame(n));
      clock.advance(4);
    }
    clock.advance(100);
    expect(numbers()).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  });

  test('of any traffic loses nothing, doubles nothing, keeps order and bytes', () => {
    const impairment = fc.record({
      delayMs: fc.double({ min: 0, max: 50, noNaN: true }),
      jitterMs: fc.double({ min: 0, max: 50, noNaN: true }),
    });
    fc.assert(
      fc.property(traffic, impairment, fc.boolean(), (steps, what, late) => {
        const { clock, send, arrivals } = lineOf(what);
        clock.lateMs = late ? 3 : 0;
        const sent: Buffer[] = [];
        for (const { gapMs, sizes } of steps) {
          clock.advance(gapMs);
          const frames = sizes.map((bytes, i) => frame(sent.length + i, bytes));
          if (frames.length > 0) send(...frames);
          sent.push(...frames);
        }
        clock.advance(1000);
        expect(arrivals.map(({ bytes }) => bytes)).toEqual(sent);
      }),
    );
  });

  test('takes a megabyte at once in several turns, and wakes up no more often than needed', () => {
    const { clock, send, arrivals } = lineOf({ delayMs: 20 });
    for (let n = 0; n < 20; n += 1) send(...Array.from({ length: 40 }, () => frame(n, 1514)));
    clock.advance(25);
    expect(arrivals).toHaveLength(800);
    expect(clock.wakes).toBeGreaterThan(3);
    expect(clock.wakes).toBeLessThan(10);
  });

  test('holds 16 MiB, and drops what comes then', () => {
    const { clock, send, arrivals, counts } = lineOf({ delayMs: 1000 });
    for (let n = 0; n < 300; n += 1) send(frame(n, 65_000));
    expect(counts.queueDrops).toBeGreaterThan(30);
    clock.advance(1100);
    expect(arrivals.length + counts.queueDrops).toBe(300);
    send(frame(1));
    clock.advance(1100);
    expect(arrivals.length + counts.queueDrops).toBe(301);
  });
});

describe('chance', () => {
  test('the same seed loses the same frames, whatever the jitter is; another one loses others', () => {
    const lost = (what: SegmentImpairment, seed: number) => {
      const { clock, send, numbers } = lineOf({ loss: 0.1, ...what }, seed);
      send(...many(1000));
      clock.advance(100);
      return numbers();
    };
    expect(lost({}, 5)).toEqual(lost({}, 5));
    expect(lost({}, 5)).toEqual(lost({ delayMs: 10, jitterMs: 5 }, 5));
    expect(lost({}, 5)).not.toEqual(lost({}, 6));
  });

  test.each([0.01, 0.1, 0.5])('a share of %d is that share', (share) => {
    const { clock, send, counts } = lineOf({ loss: share, duplicate: share, corrupt: share, reorder: share });
    const count = 20_000;
    for (let n = 0; n < count; n += 100) send(...many(100));
    clock.advance(100);
    const within = (value: number, of: number) =>
      expect(Math.abs(value - of * share)).toBeLessThan(6 * Math.sqrt(of * share));
    within(counts.lost, count);
    for (const value of [counts.duplicated, counts.corrupted, counts.reordered]) within(value, count - counts.lost);
  });

  test('all is lost by 1, and nothing by 0', () => {
    const all = lineOf({ loss: 1, duplicate: 1 });
    all.send(...many(100));
    expect([all.arrivals.length, all.counts.lost]).toEqual([0, 100]);
    const none = lineOf({ loss: 0 });
    none.send(...many(100));
    expect(none.numbers()).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  test('a duplicate comes after its frame, a damaged frame has one bit turned over in a copy', () => {
    const twice = lineOf({ duplicate: 1, delayMs: 5 });
    twice.send(frame(1), frame(2));
    twice.clock.advance(5);
    expect(twice.numbers()).toEqual([1, 1, 2, 2]);
    const damaged = lineOf({ corrupt: 1 });
    const sent = many(200);
    const before = sent.map((each) => Buffer.from(each));
    damaged.send(...sent);
    expect(sent).toEqual(before);
    const bits = damaged.arrivals.map(({ bytes }, n) =>
      bytes.reduce((sum, byte, i) => sum + (byte ^ before[n]![i]!).toString(2).replaceAll('0', '').length, 0),
    );
    expect(new Set(bits)).toEqual(new Set([1]));
  });

  test('a reordered frame overtakes those that are delayed; without a delay the next ones overtake it', () => {
    const delayed = lineOf({ delayMs: 20, reorder: 0.2 });
    delayed.send(...many(50));
    delayed.clock.advance(30);
    const [early, late] = [delayed.arrivals.filter((a) => a.atMs === 0), delayed.arrivals.filter((a) => a.atMs === 20)];
    expect(early).toHaveLength(delayed.counts.reordered);
    expect(early.length + late.length).toBe(50);
    expect(early.length).toBeGreaterThan(2);
    const plain = lineOf({ reorder: 0.2 });
    plain.send(...many(50));
    expect(plain.arrivals).toHaveLength(50 - plain.counts.reordered);
    plain.clock.advance(10);
    expect(plain.numbers().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => n));
    expect(plain.numbers()).not.toEqual(plain.numbers().toSorted((a, b) => a - b));
  });
});

describe('a rate', () => {
  test('lets as much through as it says, and drops what its queue has no room for', () => {
    const { clock, send, arrivals, counts } = lineOf({ rateKbit: 20_000 });
    for (let ms = 0; ms < 1000; ms += 1) {
      send(...Array.from({ length: 5 }, () => frame(ms, 1514))); // 60 Mbit/s
      clock.advance(1);
    }
    const kbit = (arrivals.filter(({ atMs }) => atMs <= 1000).length * 1514 * 8) / 1000;
    expect(kbit).toBeGreaterThan(19_900);
    expect(kbit).toBeLessThanOrEqual(20_000);
    clock.advance(300);
    expect(arrivals.length + counts.queueDrops).toBe(5000);
    const waits = arrivals.map(({ n, atMs }) => atMs - n);
    expect(Math.max(...waits)).toBeLessThan(202);
  });

  test('comes before the delay', () => {
    const { clock, send, arrivals } = lineOf({ rateKbit: 800, delayMs: 20 }); // 100 bytes a millisecond
    send(frame(0), frame(1), frame(2));
    clock.advance(100);
    expect(arrivals.map(({ atMs }) => atMs)).toEqual([21, 22, 23]);
  });
});

describe('time stands still', () => {
  test('nothing comes out while it does, what comes in waits, and all goes on where it was', () => {
    const { clock, line, send, arrivals } = lineOf({ delayMs: 20 });
    send(frame(0));
    clock.advance(5);
    send(frame(1));
    line.hold();
    clock.advance(500);
    send(frame(2));
    clock.advance(500);
    expect(arrivals).toEqual([]);
    expect(line.waiting().map((each) => each.readUInt32BE(4))).toEqual([0, 1, 2]);
    line.release();
    clock.advance(100);
    expect(arrivals.map(({ n, atMs }) => [n, atMs])).toEqual([
      [0, 1020],
      [1, 1025],
      [2, 1025],
    ]);
  });

  test('an end lets all go at once, in order; a closed line lets nothing go', () => {
    const ended = lineOf({ delayMs: 20, jitterMs: 10 });
    ended.send(...many(20));
    ended.line.end();
    expect(ended.numbers()).toEqual(Array.from({ length: 20 }, (_, n) => n));
    const closed = lineOf({ delayMs: 20 });
    closed.send(...many(20));
    closed.line.close();
    closed.clock.advance(100);
    expect([closed.arrivals.length, ended.arrivals.length]).toEqual([0, 20]);
  });
});

test('a link that is down lets nothing through, and counts it', () => {
  const { clock, send, arrivals, counts } = lineOf({ down: true, delayMs: 1, duplicate: 1 });
  send(...many(10));
  clock.advance(10);
  expect(arrivals).toEqual([]);
  expect(counts).toEqual({ ...noCounts(), downDrops: 10 });
});

test('all lines together hold 256 MiB, and one that goes makes room', () => {
  // What waits keeps the whole chunk it came in: 4 MiB each, two of them in turn.
  const chunks = [0, 1].map(() => Buffer.concat([withLength(frame(1)), Buffer.alloc(4 * 1024 * 1024)]));
  const lines = Array.from({ length: 30 }, () => lineOf({ delayMs: 1000 }));
  for (const { line } of lines) for (const n of [0, 1, 0]) line.pass(chunks[n]!, 0, 104, 1);
  const drops = () => lines.reduce((sum, { counts }) => sum + counts.queueDrops, 0);
  expect(drops()).toBe(90 - 63);
  lines[0]!.line.close();
  for (const n of [0, 1, 0, 1]) lines.at(-1)!.line.pass(chunks[n]!, 0, 104, 1);
  expect(drops()).toBe(90 - 63 + 1);
  for (const { line } of lines) line.close();
});

import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import type { PortImpairment, SegmentImpairment } from '../src/config.ts';
import { FrameReader, withLength } from '../src/framing.ts';
import { Impairments, type Direction } from '../src/impair.ts';
import { Schedule } from '../src/schedule.ts';
import { damagedBits } from './support.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Any frames through any impairments: nothing throws, and nothing comes out that did not go in. */

const share = fc.oneof(fc.constantFrom(undefined, 0, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const impairment: fc.Arbitrary<SegmentImpairment> = fc.record({
  delayMs: fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }),
  jitterMs: fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }),
  loss: share,
  duplicate: share,
  reorder: share,
  corrupt: share,
  rateKbit: fc.option(fc.integer({ min: 8, max: 100_000 }), { nil: undefined }),
});
const impairments: fc.Arbitrary<PortImpairment[]> = fc.array(
  fc.record({
    out: fc.option(impairment, { nil: undefined }),
    in: fc.option(impairment, { nil: undefined }),
    down: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, fc.boolean()),
    seed: fc.nat({ max: 0xffff_ffff }),
  }),
  { maxLength: 3 },
);
const frames = fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 12 });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ frames, direction: fc.constantFrom<Direction>('out', 'in'), waitMs: fc.nat(50) }),
  },
  { weight: 2, arbitrary: fc.record({ impairments, rateKbit: fc.option(fc.integer({ min: 8, max: 100_000 })) }) },
  { weight: 1, arbitrary: fc.record({ heldMs: fc.nat({ max: 100 }) }) },
);

test('any frames through any impairments that come and go: each copy is of one that was sent, and all are accounted for', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const clock = new VirtualClock();
      const schedule = new Schedule(clock, (error) => {
        throw error;
      });
      const [sent, got] = [
        { out: [] as Buffer[], in: [] as Buffer[] },
        { out: [] as Buffer[], in: [] as Buffer[] },
      ];
      const end = (direction: Direction) => {
        const frame = (buffer: Buffer, start: number, stop: number) => {
          got[direction].push(Buffer.from(buffer.subarray(start + 4, stop)));
        };
        const reader = new FrameReader({ frame });
        return { pass: (b: Buffer, from: number, to: number) => void reader.push(b.subarray(from, to)), flush() {} };
      };
      const ends = { out: end('out'), in: end('in') };
      const target = new Impairments(schedule, ends);
      let damages = 0;
      for (const each of steps) {
        if ('frames' in each) {
          const buffers = each.frames.map((bytes) => Buffer.from(bytes));
          sent[each.direction].push(...buffers);
          const run = Buffer.concat(buffers.map((buffer) => withLength(buffer)));
          (target[each.direction] ?? ends[each.direction]).pass(run, 0, run.length, buffers.length);
          clock.advance(each.waitMs);
        } else if ('heldMs' in each) {
          target.hold();
          clock.advance(each.heldMs);
          target.release();
        } else {
          target.set(each.impairments, each.rateKbit ?? undefined, 'web');
          damages += each.impairments.length;
        }
      }
      target.set([], undefined, 'web');
      clock.advance(100_000);
      for (const direction of ['out', 'in'] as const) {
        const { lost, duplicated, queueDrops, downDrops } = target.counts[direction];
        expect(got[direction].length).toBe(sent[direction].length - lost - queueDrops - downDrops + duplicated);
        for (const frame of got[direction]) {
          const bits = Math.min(...sent[direction].map((one) => damagedBits(one, frame)));
          expect(bits).toBeLessThanOrEqual(damages);
        }
      }
    }),
    { numRuns: 300 },
  );
});

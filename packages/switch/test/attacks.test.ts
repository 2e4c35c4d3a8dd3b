import { expect, test } from 'vitest';
import { decide } from '../src/decide.ts';
import { isNeighbourTraffic } from '../src/decide6.ts';
import { Filter, PASS } from '../src/filter.ts';
import { compileSegment } from '../src/table.ts';
import { dropIndex, DROP_REASONS, VERDICT } from '../src/verdict.ts';
import { attacks } from './attacks.ts';
import { CAST, castSegment } from './cast.ts';

const segment = castSegment();
const table = compileSegment(segment);

/** Where the frame of Eve gets, or why it does not. As SegmentFlow asks: first what it is, then the ACL. */
function judge(filter: Filter, frame: Buffer): string {
  const eve = table.ports[0]!;
  const verdict = decide(table, eve, frame, 0, frame.length);
  if (dropIndex(verdict) >= 0) return DROP_REASONS[dropIndex(verdict)]!;
  // Only who has used the forward is answered there, and nobody has.
  if (verdict === VERDICT.forward) return 'host';
  const asked = frame.readUInt16BE(12) !== 0x0806 && !isNeighbourTraffic(frame, 0, frame.length);
  const to = verdict >= 0 || verdict === VERDICT.flood ? filter.numberOf('victim') : 0;
  if (asked && verdict >= VERDICT.egress) {
    const passed = filter.decide(filter.numberOf('eve'), to, frame, 0, frame.length);
    if (passed !== PASS) return DROP_REASONS[dropIndex(passed)]!;
  }
  if (verdict === 1 || verdict === VERDICT.flood) return 'victim';
  return verdict === VERDICT.egress ? 'outside' : verdict >= 0 ? table.ports[verdict]!.id : 'answer';
}

test.each(attacks(CAST))('$name', ({ reason, frames, control, reaches }) => {
  const filter = new Filter(() => 0);
  filter.update(segment);
  expect(frames.map((frame) => judge(filter, frame))).toEqual(frames.map(() => reason));
  expect(control.map((frame) => judge(filter, frame))).toEqual(control.map(() => reaches));
});

test('each has a name of its own', () => {
  const names = attacks(CAST).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(60);
});

import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { Schedule, TimeHeap, type Task } from '../src/schedule.ts';
import { VirtualClock } from './virtual-clock.ts';

test('a heap gives the earliest first, and of equals the first that came', () => {
  fc.assert(
    fc.property(fc.array(fc.record({ dueMs: fc.nat({ max: 20 }), pops: fc.nat({ max: 2 }) })), (steps) => {
      const heap = new TimeHeap<{ dueMs: number; order: number }>();
      let model: { dueMs: number; order: number }[] = [];
      for (const [order, { dueMs, pops }] of steps.entries()) {
        heap.push({ dueMs, order });
        model = [...model, { dueMs, order }].toSorted((a, b) => a.dueMs - b.dueMs || a.order - b.order);
        for (let n = 0; n < pops; n += 1) expect(heap.pop()).toEqual(model.shift());
        expect([heap.size, heap.peek()]).toEqual([model.length, model[0]]);
      }
      expect(heap.drain()).toEqual(model);
    }),
  );
});

test('tasks run at their time on one timer; the earlier of two times counts; one that was forgotten does not run', () => {
  const clock = new VirtualClock();
  const schedule = new Schedule(clock, () => {});
  const ran: string[] = [];
  const task = (name: string, again = Infinity): Task => ({
    run: (nowMs) => {
      ran.push(`${name} ${nowMs - 1000}`);
      return nowMs + again;
    },
  });
  const [a, b, c, d] = [task('a'), task('b', 30), task('c'), task('d')];
  schedule.at(a, 1020);
  schedule.at(b, 1010);
  schedule.at(c, 1050);
  schedule.at(c, 1015);
  schedule.at(c, 1060);
  schedule.at(d, 1012);
  schedule.forget(d);
  clock.advance(75);
  expect(ran).toEqual(['b 10', 'c 15', 'a 20', 'b 40', 'b 70']);
  schedule.close();
  clock.advance(1000);
  expect(ran).toHaveLength(5);
});

test('a task that fails is reported, and costs no other its turn', () => {
  const clock = new VirtualClock();
  const errors: unknown[] = [];
  const schedule = new Schedule(clock, (error) => void errors.push(error));
  let ran = 0;
  schedule.at({ run: () => expect.unreachable() }, 1005);
  schedule.at({ run: () => (ran += 1) && Infinity }, 1005);
  clock.advance(10);
  expect([errors.length, ran]).toEqual([1, 1]);
});

test('a task that is never done leaves time for others', () => {
  const clock = new VirtualClock();
  clock.lateMs = 0.1; // what lies between two turns
  const schedule = new Schedule(clock, () => {});
  let turns = 0;
  schedule.at({ run: (nowMs) => ((turns += 1), nowMs) }, 1000);
  clock.advance(10);
  expect(turns).toBeGreaterThan(90);
  expect(turns).toBeLessThan(110);
});

import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { Connections } from '../src/connections.ts';
import { KEY_WORDS, KIND } from '../src/flow.ts';

const UDP = 17 | (4 << 8);
const TCP = 6 | (4 << 8);
const NOTHING_NEW = { opens: false, closes: false };

function keyOf(number: number, kind = UDP): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  key[3] = number;
  key[KIND] = kind;
  return key;
}

test('it is a map whose entries end, whatever is done in whatever order', () => {
  const step = fc.record({
    verb: fc.constantFrom('add', 'touch', 'forget', 'wait'),
    key: fc.nat({ max: 400 }),
    seconds: fc.nat({ max: 40 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600, size: 'max' }), (steps) => {
      const table = new Connections();
      const model = new Map<number, number>();
      let now = 2;
      for (const { verb, key, seconds } of steps) {
        if (verb === 'wait') now += seconds;
        const at = table.find(keyOf(key), now);
        expect(at >= 0).toBe((model.get(key) ?? 0) > now);
        if (verb === 'add' && at < 0) {
          expect(table.add(keyOf(key), key, now)).toBe(true);
          model.set(key, now + 30);
        } else if (at >= 0 && verb === 'touch') {
          table.touch(at, NOTHING_NEW, true, now);
          expect(table.peer(at)).toBe(key);
          model.set(key, now + 120);
        } else if (at >= 0 && verb === 'forget') {
          table.forget(at);
          model.delete(key);
        }
      }
      expect(table.count(now)).toBe([...model.values()].filter((until) => until > now).length);
    }),
    { numRuns: 60 },
  );
});

test('one that is full takes nothing more, keeps what it has, and goes on once that is over', () => {
  const table = new Connections();
  let number = 0;
  while (table.add(keyOf(number), 1, 2)) number += 1;
  expect(number).toBe(6144);
  for (let known = 0; known < number; known += 1) expect(table.find(keyOf(known), 31)).toBeGreaterThanOrEqual(0);
  expect(table.add(keyOf(number), 1, 31)).toBe(false);
  expect(table.add(keyOf(number), 1, 33)).toBe(true);
});

test('TCP lives for two hours once it was answered, four minutes after its end, and anew with a SYN', () => {
  const table = new Connections();
  table.add(keyOf(1, TCP), 1, 2);
  const lives = (now: number) => table.find(keyOf(1, TCP), now) >= 0;
  const touch = (now: number, flow = NOTHING_NEW) => table.touch(table.find(keyOf(1, TCP), now), flow, true, now);
  expect([lives(61), lives(62)]).toEqual([true, false]);
  touch(61);
  expect([lives(61 + 7439), lives(61 + 7440)]).toEqual([true, false]);
  touch(100, { opens: false, closes: true });
  touch(200);
  expect([lives(439), lives(440)]).toEqual([true, false]);
  touch(300, { opens: true, closes: false });
  expect(lives(7000)).toBe(true);
});

test('a review forgets what is refused, and all pieces of datagrams', () => {
  const table = new Connections();
  for (let number = 0; number < 40; number += 1) table.add(keyOf(number), number, 2);
  table.add(keyOf(99, UDP | 0x1_0000), 1, 2);
  table.review((key, peer) => key[3]! % 2 === 0 && peer < 20, 3);
  expect(table.count(3)).toBe(10);
  for (let number = 0; number < 20; number += 1) expect(table.find(keyOf(number), 3) >= 0).toBe(number % 2 === 0);
});

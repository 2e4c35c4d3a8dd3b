import * as fc from '@skerry/testkit/properties';
import { describe, expect, test } from 'vitest';
import { LogLines, mergeLines, withoutStamps } from '../../src/vms/log-lines.ts';

const stamp = (ms: number): string => `\u001E${ms}\u001F`;
const LOG = `old\n${stamp(1000)}one\ntwo\n${stamp(2000)}three ${stamp(2001)}half\nend`;

function read(pieces: readonly Uint8Array[]) {
  const lines = new LogLines();
  return [...pieces.flatMap((piece) => lines.take(piece)), ...lines.end()];
}

/** A text cut at some places. */
const cuts = (text: string) =>
  fc.array(fc.nat(Buffer.byteLength(text)), { maxLength: 8 }).map((places) => {
    const bytes = Buffer.from(text);
    const edges = [0, ...places.toSorted((a, b) => a - b), bytes.length];
    return edges.slice(1).map((end, index) => bytes.subarray(edges[index], end));
  });

test('lines get the time of the stamp before them', () => {
  expect(read([Buffer.from(LOG)])).toEqual([
    { atMs: undefined, text: 'old' },
    { atMs: 1000, text: 'one' },
    { atMs: 1000, text: 'two' },
    { atMs: 2000, text: 'three half' },
    { atMs: 2001, text: 'end' },
  ]);
});

test('however it is cut, the lines are the same, and so is the text without stamps', async () => {
  const text = `${stamp(5)}zwölf 日本\n${LOG}${stamp(9)}\u001E12 no stamp\u001E`;
  await fc.assert(
    fc.asyncProperty(cuts(text), async (pieces) => {
      expect(read(pieces)).toEqual(read([Buffer.from(text)]));
      const shown: Buffer[] = [];
      for await (const piece of withoutStamps(pieces as unknown as AsyncIterable<Uint8Array>)) shown.push(piece);
      expect(Buffer.concat(shown).toString()).toBe('zwölf 日本\nold\none\ntwo\nthree half\nend\u001E12 no stamp\u001E');
    }),
  );
});

test('a line without an end is given out in parts, and no number is too large for a date', () => {
  const lines = new LogLines();
  expect(lines.take(Buffer.alloc(100_000, 'x')).map(({ text }) => text.length)).toEqual([100_000]);
  const [line] = new LogLines().take(Buffer.from(`${stamp(999_999_999_999_999)}x\n`));
  expect(() => new Date(line?.atMs ?? 0).toISOString()).not.toThrow();
});

describe('mergeLines', () => {
  const line = (atMs: number | undefined, text: string) => ({ atMs, text });
  const logs = new Map([
    ['web', [line(undefined, 'a'), line(10, 'b'), line(30, 'd')]],
    ['db', [line(20, 'c'), line(5, 'back'), line(40, 'e')]],
  ]);

  test('by time, each in its own order even where its clock went back', () => {
    expect(mergeLines(logs, {}).map(({ text }) => text)).toEqual(['a', 'b', 'c', 'back', 'd', 'e']);
  });

  test('tail is of each, since leaves out what is older or of no known time', () => {
    expect(mergeLines(logs, { tail: 1 }).map(({ text }) => text)).toEqual(['d', 'e']);
    expect(mergeLines(logs, { tail: 0 })).toEqual([]);
    expect(mergeLines(logs, { sinceMs: 20 }).map(({ vm, text }) => `${vm} ${text}`)).toEqual(['db c', 'web d', 'db e']);
  });
});

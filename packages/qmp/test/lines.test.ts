import * as fc from '@skerry/testkit/properties';
import { describe, expect, it } from 'vitest';
import { LineSplitter, LineTooLongError } from '@skerry/qmp';

/** `bytes` in pieces, cut at the given places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

describe('LineSplitter', () => {
  it('gives the same lines however the bytes are cut', () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''));
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat()), (lines, places) => {
        const splitter = new LineSplitter(1_000_000);
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
        const got = cut(bytes, places).flatMap((chunk) => [...splitter.push(chunk)]);
        expect(got).toEqual(lines);
      }),
    );
  });

  it('keeps an unfinished line for later', () => {
    const splitter = new LineSplitter(100);
    expect([...splitter.push(Buffer.from('one\ntw'))]).toEqual(['one']);
    expect([...splitter.push(Buffer.from('o\n'))]).toEqual(['two']);
  });

  it('refuses a line past the limit before it ends, at any cut', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(fc.nat()), (maxBytes, places) => {
        const push = (bytes: number) => {
          const splitter = new LineSplitter(maxBytes);
          return cut(Buffer.alloc(bytes, 'x'), places).flatMap((chunk) => [...splitter.push(chunk)]);
        };
        expect(push(maxBytes)).toEqual([]);
        expect(() => push(maxBytes + 1)).toThrow(LineTooLongError);
      }),
    );
  });
});

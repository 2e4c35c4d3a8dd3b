import * as fc from '@skerry/testkit/properties';
import { expect, test } from 'vitest';
import { FrameReader, withLength } from '../src/framing.ts';

function readAll(chunks: readonly Buffer[]): { frames: Buffer[]; sound: boolean } {
  const frames: Buffer[] = [];
  const reader = new FrameReader({
    frame: (buffer, start, end) => {
      expect(buffer.readUInt32BE(start)).toBe(end - start - 4);
      frames.push(Buffer.from(buffer.subarray(start + 4, end)));
    },
  });
  return { sound: chunks.every((chunk) => reader.push(chunk)), frames };
}

test('frames come out as they went in, however the stream is cut', () => {
  const frame = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 20 }), fc.array(fc.nat({ max: 1400 })), (frames, places) => {
      const stream = Buffer.concat(frames.map((one) => withLength(one)));
      const cuts = [...places.filter((place) => place < stream.length), 0, stream.length].sort((a, b) => a - b);
      const chunks = cuts.slice(1).map((cut, i) => Buffer.from(stream.subarray(cuts[i], cut)));
      expect(readAll(chunks)).toEqual({ frames, sound: true });
    }),
  );
});

test('an impossible length ends the stream, whole or cut', () => {
  const bad = Buffer.from('00020000', 'hex');
  expect(readAll([bad]).sound).toBe(false);
  expect(readAll([bad.subarray(0, 2), bad.subarray(2)]).sound).toBe(false);
  expect(readAll([withLength(Buffer.alloc(65_549))]).frames).toHaveLength(1);
});

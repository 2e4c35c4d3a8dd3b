import { MAX_FRAME_BYTES, readUint32 } from './packets/ethernet.ts';

/** Frames on a stream: u32 big endian length, then the frame (QEMU, net/stream.c). */

export const LENGTH_BYTES = 4;

export interface FrameSink {
  /** `buffer[start..end)` is the length prefix and the frame. The buffer is never reused: it may be kept. */
  frame(buffer: Buffer, start: number, end: number): void;
}

/** Where runs of whole framed frames, `buffer[start..end)`, go on. */
export interface Passage {
  pass(buffer: Buffer, start: number, end: number, frames: number): void;
  /** Ends a batch: nothing of it may be held back any longer. */
  flush(): void;
}

/** Cuts the chunks of one connection into frames, in place; only a frame that lies across chunks is copied. */
export class FrameReader {
  readonly #sink: FrameSink;
  /** The frame that the last chunk ended in: its prefix alone until that is whole, then all of its room. */
  #partial: Buffer | undefined;
  #filled = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** @returns false when a length is impossible: the stream has lost its step and can only be closed */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (this.#partial !== undefined) {
      const taken = Math.min(this.#partial.length - this.#filled, chunk.length - at);
      chunk.copy(this.#partial, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled < this.#partial.length) return true;
      const frameEnd = LENGTH_BYTES + readUint32(this.#partial, 0);
      if (frameEnd > LENGTH_BYTES + MAX_FRAME_BYTES) return false;
      if (this.#partial.length < frameEnd) {
        const whole = Buffer.allocUnsafe(frameEnd);
        this.#partial.copy(whole);
        this.#partial = whole;
      } else {
        const whole = this.#partial;
        this.#partial = undefined;
        this.#sink.frame(whole, 0, frameEnd);
      }
    }
    while (chunk.length - at >= LENGTH_BYTES) {
      const length = readUint32(chunk, at);
      if (length > MAX_FRAME_BYTES) return false;
      const end = at + LENGTH_BYTES + length;
      if (end > chunk.length) return this.#keep(chunk, at, LENGTH_BYTES + length);
      this.#sink.frame(chunk, at, end);
      at = end;
    }
    return at === chunk.length || this.#keep(chunk, at, LENGTH_BYTES);
  }

  #keep(chunk: Buffer, at: number, room: number): true {
    this.#partial = Buffer.allocUnsafe(room);
    this.#filled = chunk.copy(this.#partial, 0, at);
    return true;
  }
}

/** @returns the frame with its length before it */
export function withLength(frame: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(LENGTH_BYTES + frame.length);
  framed.writeUInt32BE(frame.length, 0);
  frame.copy(framed, LENGTH_BYTES);
  return framed;
}

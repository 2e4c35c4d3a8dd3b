import { protocolError } from './errors.ts';
import { FRAME, FRAME_MAX, FRAME_OVERHEAD, MAGIC, NONCE_BYTES } from './protocol.ts';

/** Frames, without I/O: u32 length of the rest, u8 type, u32 stream, body, a zero byte; all big-endian. */

export interface Frame {
  readonly type: number;
  readonly stream: number;
  /** A view into what arrived: copy it to keep it. */
  readonly body: Buffer;
}

const HEAD_BYTES = 9;
/** Most that a body may have. */
export const BODY_MAX = FRAME_MAX - FRAME_OVERHEAD;
/** Most data of one DATA frame: a body less its channel byte. */
export const DATA_MAX = BODY_MAX - 1;

export function encodeFrame(type: number, stream: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + body.length + 1);
  frame.writeUInt32BE(body.length + FRAME_OVERHEAD, 0);
  frame[4] = type;
  frame.writeUInt32BE(stream, 5);
  frame.set(body, HEAD_BYTES);
  frame[frame.length - 1] = 0;
  return frame;
}

/** What goes before and after `length` bytes of data, so that the data itself is not copied. */
export function dataFrameHead(stream: number, channel: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES + 1);
  head.writeUInt32BE(length + 1 + FRAME_OVERHEAD, 0);
  head[4] = FRAME.DATA;
  head.writeUInt32BE(stream, 5);
  head[HEAD_BYTES] = channel;
  return head;
}
export const FRAME_TAIL = Buffer.alloc(1);

/**
 * How much of `data` may go into one frame. The agent takes MAGIC for a new session wherever it appears (the rest of a
 * frame never comes after a kill -9), so data that has it (the agent's own binary does) is cut through its middle.
 */
export function safeLength(data: Buffer): number {
  const at = data.indexOf(MAGIC);
  return at === -1 ? data.length : at + MAGIC.length / 2;
}

/**
 * Turns what arrives, cut anywhere, into frames. Skips all until MAGIC and the session's nonce: the first bytes may
 * belong to a session before ours. Holds at most one frame, and copies each byte at most once: a guest that sends byte
 * by byte costs it no more memory than one frame.
 */
export class FrameDecoder {
  #greeting: Buffer;
  #synced = false;
  /** The start of a frame (or of the greeting); grows by doubling up to the longest frame. */
  #held: Buffer = Buffer.allocUnsafe(256);
  #heldBytes = 0;

  constructor(nonce: Buffer) {
    if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce has ${NONCE_BYTES} bytes`);
    this.#greeting = Buffer.concat([MAGIC, nonce]);
  }

  /** Waits for the answer to another greeting; an answer to the last one is skipped like all else. */
  expect(nonce: Buffer): void {
    if (!this.#synced) this.#greeting = Buffer.concat([MAGIC, nonce]);
  }

  get synced(): boolean {
    return this.#synced;
  }

  /** Memory held between calls. */
  get capacityBytes(): number {
    return this.#held.length;
  }

  /**
   * The frames that are complete now.
   * @throws SkerryError `failed`: not a frame; the decoder is of no use any more
   */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    let data = chunk;
    if (!this.#synced) {
      data = Buffer.concat([this.#held.subarray(0, this.#heldBytes), data]);
      this.#heldBytes = 0;
      const at = data.indexOf(this.#greeting);
      if (at === -1) {
        this.#hold(data.subarray(Math.max(0, data.length - this.#greeting.length + 1)));
        return;
      }
      this.#synced = true;
      data = data.subarray(at + this.#greeting.length);
    }
    while (this.#heldBytes > 0 && data.length > 0) {
      const wanted = this.#heldBytes < 4 ? 4 : 4 + restOf(this.#held);
      const taken = data.subarray(0, wanted - this.#heldBytes);
      this.#hold(taken);
      data = data.subarray(taken.length);
      if (this.#heldBytes < 4 || this.#heldBytes < 4 + restOf(this.#held)) continue;
      const whole = Buffer.from(this.#held.subarray(0, this.#heldBytes));
      this.#heldBytes = 0;
      yield frameOf(whole);
    }
    while (data.length >= 4) {
      const end = 4 + restOf(data);
      if (data.length < end) break;
      const whole = data.subarray(0, end);
      data = data.subarray(end);
      yield frameOf(whole);
    }
    this.#hold(data);
  }

  #hold(data: Buffer): void {
    const total = this.#heldBytes + data.length;
    if (total > this.#held.length) {
      let capacity = this.#held.length;
      while (capacity < total) capacity *= 2;
      const grown = Buffer.allocUnsafe(capacity);
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    data.copy(this.#held, this.#heldBytes);
    this.#heldBytes = total;
  }
}

/** The length field, which is looked at before anything is kept for it. */
function restOf(data: Buffer): number {
  const rest = data.readUInt32BE(0);
  if (rest < FRAME_OVERHEAD || rest > FRAME_MAX) throw protocolError('a frame has an impossible length');
  return rest;
}

function frameOf(whole: Buffer): Frame {
  if (whole[whole.length - 1] !== 0) throw protocolError('a frame has no end');
  return { type: whole.readUInt8(4), stream: whole.readUInt32BE(5), body: whole.subarray(HEAD_BYTES, -1) };
}

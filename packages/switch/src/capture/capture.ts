import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { LENGTH_BYTES } from '../framing.ts';
import { readUint32 } from '../packets/ethernet.ts';
import { RECORD_HEADER_BYTES, writeRecordHeader } from './pcap.ts';
import type { CaptureSink } from './sink.ts';
import type { WallTime } from './wall-time.ts';

/** 30 ms of 2 Gbit/s: a disk that stands still longer costs frames of the capture, never of the guest. */
export const CAPTURE_QUEUE_BYTES = 8 * 1024 * 1024;
/** Written at once, unless a single record is longer. */
const BLOCK_BYTES = 64 * 1024;
/** Given to a disk or reader for what was taken before the end. */
const FLUSH_MS = 2000;

/** Records that are written together. */
interface Block {
  readonly buffer: Buffer;
  filled: number;
  frames: number;
  /** Of the frames on the wire. */
  bytes: number;
}

/** Copies frames into records, and has them written while the frames are long gone. */
export class Capture {
  /** Written. */
  frames = 0;
  bytes = 0;
  drops = 0;
  /** Settles at its end, whoever ended it; with the error if that was the reason. */
  readonly ended: Promise<Error | undefined>;
  readonly #sink: CaptureSink;
  readonly #snapBytes: number;
  readonly #time: WallTime;
  readonly #resolveEnded: (error: Error | undefined) => void;
  #taken = 0;
  /** The last one is being filled. */
  #blocks: Block[] = [];
  /** A block's memory to be used again: light traffic would make 64 KiB for each frame. */
  #spare: Buffer | undefined;
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #isOver = false;
  #finishing: Promise<void> | undefined;

  constructor(sink: CaptureSink, snapBytes: number, time: WallTime) {
    this.#sink = sink;
    this.#snapBytes = snapBytes;
    this.#time = time;
    ({ promise: this.ended, resolve: this.#resolveEnded } = Promise.withResolvers<Error | undefined>());
    void sink.gone?.then(() => this.#abandon(undefined));
  }

  get keptBytes(): number {
    return this.#sink.keptBytes;
  }

  /** @param buffer whole framed frames in `[start..end)`. It is read now and not kept. */
  take(buffer: Buffer, start: number, end: number): void {
    if (this.#isOver) return;
    const time = this.#time.read();
    for (let at = start; at < end;) {
      const bytes = readUint32(buffer, at);
      const next = at + LENGTH_BYTES + bytes;
      const keptBytes = Math.min(bytes, this.#snapBytes);
      const block = this.#room(RECORD_HEADER_BYTES + keptBytes);
      this.#taken += 1;
      if (block === undefined) {
        this.drops += 1;
      } else {
        writeRecordHeader(block.buffer, block.filled, time, keptBytes, bytes);
        const from = at + LENGTH_BYTES;
        buffer.copy(block.buffer, block.filled + RECORD_HEADER_BYTES, from, from + keptBytes);
        block.filled += RECORD_HEADER_BYTES + keptBytes;
        block.frames += 1;
        block.bytes += bytes;
      }
      at = next;
    }
    this.#writing ??= this.#write();
  }

  /** What was taken is written if that is possible in time; then its end is settled. */
  finish(): Promise<void> {
    this.#finishing ??= this.#finish();
    return this.#finishing;
  }

  async #finish(): Promise<void> {
    if (!this.#isOver) {
      this.#isOver = true;
      const enough = new AbortController();
      const written = (async () => {
        await this.#writing;
        await this.#sink.close();
      })().catch((error: unknown) => this.#abandon(error));
      await Promise.race([written, sleep(FLUSH_MS, undefined, { signal: enough.signal }).catch(() => {})]);
      enough.abort();
      this.#abandon(undefined);
    }
    await this.ended;
  }

  /** @returns undefined: the queue is full */
  #room(bytes: number): Block | undefined {
    if (this.#queuedBytes + bytes > CAPTURE_QUEUE_BYTES) return undefined;
    this.#queuedBytes += bytes;
    const last = this.#blocks.at(-1);
    if (last !== undefined && last.filled + bytes <= last.buffer.length) return last;
    const buffer = bytes > BLOCK_BYTES ? Buffer.allocUnsafe(bytes) : (this.#spare ?? Buffer.allocUnsafe(BLOCK_BYTES));
    if (buffer === this.#spare) this.#spare = undefined;
    const block = { buffer, filled: 0, frames: 0, bytes: 0 };
    this.#blocks.push(block);
    return block;
  }

  async #write(): Promise<void> {
    await turn(); // what this turn of the event loop brings is one block
    for (let block = this.#blocks.shift(); block !== undefined; block = this.#blocks.shift()) {
      try {
        await this.#sink.write(block.buffer.subarray(0, block.filled));
      } catch (error) {
        return this.#abandon(error);
      }
      this.frames += block.frames;
      this.bytes += block.bytes;
      this.#queuedBytes -= block.filled;
      if (block.buffer.length === BLOCK_BYTES) this.#spare = block.buffer;
    }
    this.#writing = undefined;
  }

  /** The end, with what is not written lost. */
  #abandon(error: unknown): void {
    this.#isOver = true;
    this.drops = this.#taken - this.frames;
    this.#blocks = [];
    this.#sink.abandon();
    this.#resolveEnded(
      error === undefined || error instanceof Error ? error : new Error('it can not be written', { cause: error }),
    );
  }
}

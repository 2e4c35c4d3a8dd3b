import { connect, type Socket } from 'node:net';
import { Drops } from './drops.ts';
import { FrameReader, LENGTH_BYTES, type FrameSink } from './framing.ts';
import { Impairments } from './impair.ts';
import { readUint32 } from './packets/ethernet.ts';
import type { Schedule } from './schedule.ts';

/** A place to put frames, and where frames come from: a connection to QEMU that is made again whenever it is lost. */

/** Gets the frames of a port. `flush` ends a batch: nothing of it may be held back any longer. */
export interface FrameHandler extends FrameSink {
  flush(): void;
}

/** Sees what passes between a port and its guest: whole framed frames in `buffer[start..end)`, not to be kept. */
export interface Tap {
  take(buffer: Buffer, start: number, end: number): void;
}

/**
 * Longer than what TCP needs in flight at 2 Gbit/s, short enough that 50 stuck guests hold 50 MiB. A write counts whole
 * until its last byte is out, so what fits lies between half of this and all of it.
 */
export const QUEUE_BYTES = 1024 * 1024;
/** What was on its way when a cut was made. */
export interface InFlight {
  /** From here, not yet taken in. */
  readonly held: readonly Buffer[];
  /** From here, under way to the switch. */
  readonly out: readonly Buffer[];
  /** Under way to here. */
  readonly in: readonly Buffer[];
}

const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 1000;

export class Port {
  readonly socketPath: string;
  /** For the log; the configuration may give the same connection to another. */
  id: string;
  handler: FrameHandler | undefined;
  /** What came from here and was not let through. */
  readonly drops = new Drops();
  readonly impairments: Impairments;
  receivedFrames = 0;
  receivedBytes = 0;
  sentFrames = 0;
  sentBytes = 0;
  /** Frames that came while the queue was full: the reader is too slow, or stands still. */
  queueDrops = 0;
  /** Frames that came while nothing was connected. */
  unconnectedDrops = 0;

  readonly #log: (line: string) => void;
  #socket: Socket | undefined;
  #connected = false;
  #corked = false;
  #retryMs = MIN_RETRY_MS;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #segmentId: string | undefined;
  /** Frames kept for a cut. */
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  /** Undefined: none, so that frames of a port without any cost no more for them than this look. */
  #taps: readonly Tap[] | undefined;

  constructor(id: string, socketPath: string, schedule: Schedule, log: (line: string) => void) {
    this.id = id;
    this.socketPath = socketPath;
    this.#log = log;
    this.impairments = new Impairments(schedule, {
      out: { pass: (buffer, start, end) => this.#passIn(buffer, start, end), flush: () => this.handler?.flush() },
      in: { pass: (buffer, start, end, frames) => this.#transmit(buffer, start, end, frames), flush: () => {} },
    });
    this.#connect();
  }

  get connected(): boolean {
    return this.#connected;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  attach(tap: Tap): void {
    this.#taps = [...(this.#taps ?? []), tap];
  }

  detach(tap: Tap): void {
    const others = this.#taps?.filter((each) => each !== tap) ?? [];
    this.#taps = others.length === 0 ? undefined : others;
  }

  /** What is under way in another segment does not get into this one. */
  join(segmentId: string): void {
    if (this.#segmentId !== undefined && this.#segmentId !== segmentId) this.impairments.close();
    this.#segmentId = segmentId;
  }

  /** Tries at once when it waits for its next attempt. */
  retryNow(): void {
    if (this.#retryTimer === undefined) return;
    clearTimeout(this.#retryTimer);
    this.#retryMs = MIN_RETRY_MS;
    this.#connect();
  }

  /** Sends whole framed frames, `buffer[start..end)`, to the guest: through its impairments, if there are any. */
  deliver(buffer: Buffer, start: number, end: number, frames: number): void {
    const impaired = this.impairments.in;
    if (impaired === undefined) this.#transmit(buffer, start, end, frames);
    else impaired.pass(buffer, start, end, frames);
  }

  /** Puts them at the end of the queue; those it has no room for are dropped, as by any switch. */
  #transmit(buffer: Buffer, start: number, end: number, frames: number): void {
    const socket = this.#socket;
    if (socket === undefined || !this.#connected) {
      this.unconnectedDrops += frames;
      return;
    }
    const room = QUEUE_BYTES - socket.writableLength;
    if (end - start > room) {
      let fitting = start;
      let count = 0;
      for (;;) {
        const next = fitting + LENGTH_BYTES + readUint32(buffer, fitting);
        if (next - start > room || next > end) break;
        fitting = next;
        count += 1;
      }
      this.queueDrops += frames - count;
      if (count === 0) return;
      end = fitting;
      frames = count;
    }
    if (!this.#corked) {
      // One writev for all that this turn of the event loop brings.
      this.#corked = true;
      socket.cork();
      process.nextTick(this.#uncork, socket);
    }
    if (this.#taps !== undefined) this.#tap(this.#taps, buffer, start, end);
    this.sentFrames += frames;
    this.sentBytes += end - start - frames * LENGTH_BYTES;
    socket.write(start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end));
  }

  /** Takes in nothing more: what is sent waits in the socket; what is under way stays where it is. */
  hold(): void {
    this.#socket?.pause();
    this.impairments.hold();
  }

  /** Takes in again, and keeps it instead of passing it on. */
  gather(): void {
    this.#held ??= [];
    this.#socket?.resume();
  }

  /** What is on its way now, each frame with its length. */
  inFlight(): InFlight {
    return {
      held: [...(this.#held ?? [])],
      out: this.impairments.waiting('out'),
      in: this.impairments.waiting('in'),
    };
  }

  /** Passes on what was kept, and from now on everything. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#heldBytes = 0;
    this.impairments.release();
    this.send(held);
    this.#socket?.resume();
  }

  /** As if the guest sent them now. */
  send(frames: readonly Buffer[]): void {
    for (const frame of frames) this.#takeIn(frame, 0, frame.length);
    this.handler?.flush();
  }

  /** As if the guest had sent them, and they had passed its impairments. */
  passOn(frames: readonly Buffer[]): void {
    for (const frame of frames) this.handler?.frame(frame, 0, frame.length);
    this.handler?.flush();
  }

  /** As if they had passed the impairments on their way to the guest. */
  arrive(frames: readonly Buffer[]): void {
    for (const frame of frames) this.#transmit(frame, 0, frame.length, 1);
  }

  #takeIn(buffer: Buffer, start: number, end: number): void {
    const impaired = this.impairments.out;
    if (impaired === undefined) this.handler?.frame(buffer, start, end);
    else impaired.pass(buffer, start, end, 1);
  }

  #passIn(buffer: Buffer, start: number, end: number): void {
    for (let at = start; at < end;) {
      const next = at + LENGTH_BYTES + readUint32(buffer, at);
      this.handler?.frame(buffer, at, next);
      at = next;
    }
  }

  #tap(taps: readonly Tap[], buffer: Buffer, start: number, end: number): void {
    for (const tap of taps) tap.take(buffer, start, end);
  }

  #keep(held: Buffer[], frame: Buffer): void {
    held.push(frame);
    this.#heldBytes += frame.length;
    // A guest that stands still sends no more than its socket holds; one that does not waits.
    if (this.#heldBytes > QUEUE_BYTES) this.#socket?.pause();
  }

  close(): void {
    this.#closed = true;
    this.handler = undefined;
    this.impairments.close();
    clearTimeout(this.#retryTimer);
    this.#socket?.destroy();
  }

  readonly #uncork = (socket: Socket): void => {
    if (socket === this.#socket) this.#corked = false;
    socket.uncork();
  };

  #connect(): void {
    this.#retryTimer = undefined;
    const socket = connect({ path: this.socketPath });
    const reader = new FrameReader({
      frame: (buffer, start, end) => {
        this.receivedFrames += 1;
        this.receivedBytes += end - start - LENGTH_BYTES;
        if (this.#taps !== undefined) this.#tap(this.#taps, buffer, start, end);
        if (this.#held === undefined) this.#takeIn(buffer, start, end);
        else this.#keep(this.#held, Buffer.from(buffer.subarray(start, end)));
      },
    });
    this.#socket = socket;
    this.#corked = false;
    let why = 'closed by the other side';
    socket.on('connect', () => {
      this.#connected = true;
      this.#retryMs = MIN_RETRY_MS;
      this.#log(`port ${this.id}: connected`);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        if (!reader.push(chunk)) {
          why = 'it sent an impossible frame length';
          socket.destroy();
        }
        this.handler?.flush();
      } catch (error) {
        // Our bug, reached by what this guest sent: it costs this guest its link for a moment, and no other.
        why = `internal error: ${error instanceof Error ? error.stack : String(error)}`;
        socket.destroy();
      }
    });
    socket.on('error', (error) => {
      why = error.message;
    });
    socket.on('close', () => {
      if (this.#connected) this.#log(`port ${this.id}: disconnected: ${why}`);
      this.#connected = false;
      this.#socket = undefined;
      if (this.#closed) return;
      this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs);
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
    });
  }
}

import type { SegmentImpairment } from './config.ts';
import { FateSource } from './fate.ts';
import { LENGTH_BYTES, type Passage } from './framing.ts';
import { readUint32 } from './packets/ethernet.ts';
import type { Prng } from './prng.ts';
import { TimeHeap, type Schedule, type Task } from './schedule.ts';
import { Shaper } from './shaper.ts';

/** How many frames were treated so on purpose. */
export interface LineCounts {
  lost: number;
  duplicated: number;
  corrupted: number;
  reordered: number;
  delayed: number;
  /** There was no room in the queue of a delay or a rate. */
  queueDrops: number;
  /** The link was down. */
  downDrops: number;
}

export function noCounts(): LineCounts {
  return { lost: 0, duplicated: 0, corrupted: 0, reordered: 0, delayed: 0, queueDrops: 0, downDrops: 0 };
}

/** Frames side by side in one buffer that are due at the same time. */
interface Run {
  readonly dueMs: number;
  readonly buffer: Buffer;
  readonly start: number;
  end: number;
  frames: number;
  /** What it is reckoned to hold in memory. */
  chargedBytes: number;
  isOut: boolean;
  readonly reordered: boolean;
}

/** 100 ms at 1.3 Gbit/s. A guest fills the queue of its own line, and no other's. */
const QUEUE_BYTES = 16 * 1024 * 1024;
/** Of all lines together: a thousand guests shall not fill the host. */
const ALL_QUEUES_BYTES = 256 * 1024 * 1024;
/** A run that waits is an object of its own. */
const RUN_BYTES = 160;
/** Passed on in one turn: a quarter of what a port's own queue holds, so that a late timer does not overflow it. */
const TURN_BYTES = 256 * 1024;
/** Without a delay there is nobody to overtake: the reordered frame itself is held back so long. */
const HELD_BACK_MS = 10;

let allQueuesBytes = 0;

const NOWHERE: Passage = { pass: () => {}, flush: () => {} };

/**
 * One impairment in one direction. First a frame is lost or not, then doubled, then damaged (both of a pair alike); then
 * it waits for its turn by the rate, and then for its delay. Jitter keeps the order: a frame that would overtake waits
 * for the one before it. Only reordered frames overtake: they skip the delay, as netem's do.
 */
export class Line implements Passage, Task {
  next: Passage = NOWHERE;
  readonly #counts: LineCounts;
  readonly #schedule: Schedule;
  readonly #down: boolean;
  readonly #fates: FateSource;
  readonly #hasDelay: boolean;
  readonly #shaper: Shaper | undefined;
  readonly #queue = new TimeHeap<Run>();
  #queuedBytes = 0;
  /** Runs that nobody else may overtake. */
  #inOrder = 0;
  /** The last one in order: the next may be a part of it. */
  #last: Run | undefined;
  #lastDueMs = -Infinity;
  #heldAtMs: number | undefined;

  constructor(
    what: SegmentImpairment & { readonly down?: boolean | undefined },
    random: Prng,
    counts: LineCounts,
    schedule: Schedule,
  ) {
    this.#counts = counts;
    this.#schedule = schedule;
    this.#down = what.down ?? false;
    this.#fates = new FateSource(what, random);
    this.#hasDelay = (what.delayMs ?? 0) + (what.jitterMs ?? 0) > 0;
    this.#shaper = what.rateKbit === undefined ? undefined : new Shaper(what.rateKbit);
  }

  pass(buffer: Buffer, start: number, end: number, frames: number): void {
    if (this.#down) {
      this.#counts.downDrops += frames;
      return;
    }
    const nowMs = this.#heldAtMs ?? this.#schedule.clock.nowMs();
    for (let at = start; at < end;) {
      const next = at + LENGTH_BYTES + readUint32(buffer, at);
      this.#take(buffer, at, next, nowMs);
      at = next;
    }
  }

  flush(): void {
    if (this.#heldAtMs === undefined) this.next.flush();
  }

  run(nowMs: number): number {
    if (this.#heldAtMs !== undefined) return Infinity;
    const endBytes = this.#queuedBytes - TURN_BYTES;
    let first = this.#queue.peek();
    while (first !== undefined && first.dueMs <= nowMs && this.#queuedBytes > endBytes) {
      this.#takeOut();
      this.next.pass(first.buffer, first.start, first.end, first.frames);
      first = this.#queue.peek();
    }
    this.next.flush();
    return first?.dueMs ?? Infinity;
  }

  /** Time stands still for what waits here. */
  hold(): void {
    this.#heldAtMs ??= this.#schedule.clock.nowMs();
  }

  release(): void {
    if (this.#heldAtMs === undefined) return;
    const pausedMs = this.#schedule.clock.nowMs() - this.#heldAtMs;
    this.#heldAtMs = undefined;
    this.#shaper?.postpone(pausedMs);
    this.#lastDueMs += pausedMs;
    this.#last = undefined;
    for (const run of this.#queue.drain()) this.#queue.push({ ...run, dueMs: run.dueMs + pausedMs });
    this.#wake();
  }

  /** What waits, in the order in which it would go. */
  waiting(): Buffer[] {
    const runs = this.#queue.drain();
    for (const run of runs) this.#queue.push(run);
    return runs.flatMap((run) => framesOf(run));
  }

  /** The impairment is over: what waits goes on at once, in order. */
  end(): void {
    const runs = this.#drain();
    for (const run of runs) this.next.pass(run.buffer, run.start, run.end, run.frames);
    if (runs.length > 0) this.next.flush();
  }

  /** The port is gone, and what waits with it. */
  close(): void {
    this.#drain();
  }

  #take(buffer: Buffer, start: number, end: number, nowMs: number): void {
    const bytes = end - start - LENGTH_BYTES;
    const fate = this.#fates.draw(bytes);
    if (fate.lost) {
      this.#counts.lost += 1;
      return;
    }
    if (fate.corruptBit >= 0) {
      // Others may get the same bytes.
      const copy = Buffer.from(buffer.subarray(start, end));
      const at = LENGTH_BYTES + (fate.corruptBit >>> 3);
      copy[at] = copy[at]! ^ (1 << (fate.corruptBit & 7));
      [buffer, start, end] = [copy, 0, copy.length];
      this.#counts.corrupted += 1;
    }
    if (fate.reordered) this.#counts.reordered += 1;
    this.#send(buffer, start, end, nowMs, fate.reordered, fate.delayMs);
    if (!fate.duplicated) return;
    this.#counts.duplicated += 1;
    this.#send(buffer, start, end, nowMs, fate.reordered, fate.delayMs);
  }

  #send(buffer: Buffer, start: number, end: number, nowMs: number, reordered: boolean, delayMs: number): void {
    const departsMs = this.#shaper === undefined ? nowMs : this.#shaper.depart(nowMs, end - start - LENGTH_BYTES);
    if (departsMs === undefined) {
      this.#counts.queueDrops += 1;
      return;
    }
    let dueMs: number;
    if (reordered) {
      dueMs = this.#hasDelay ? departsMs : departsMs + HELD_BACK_MS;
    } else {
      dueMs = Math.max(departsMs + delayMs, this.#lastDueMs);
      this.#lastDueMs = dueMs;
    }
    const overtakes = this.#inOrder === 0 || (reordered && this.#hasDelay);
    if (dueMs <= nowMs && overtakes && this.#heldAtMs === undefined) this.next.pass(buffer, start, end, 1);
    else this.#wait(buffer, start, end, dueMs, reordered);
  }

  #wait(buffer: Buffer, start: number, end: number, dueMs: number, reordered: boolean): void {
    const last = this.#last;
    const isMore = last?.buffer === buffer;
    // A frame keeps the whole chunk that it came in.
    const chargedBytes = (isMore ? 0 : buffer.length) + RUN_BYTES;
    if (this.#queuedBytes + chargedBytes > QUEUE_BYTES || allQueuesBytes + chargedBytes > ALL_QUEUES_BYTES) {
      this.#counts.queueDrops += 1;
      return;
    }
    this.#counts.delayed += 1;
    if (isMore && !last.isOut && last.end === start && last.dueMs === dueMs && !reordered) {
      last.end = end;
      last.frames += 1;
      return;
    }
    const run: Run = { dueMs, buffer, start, end, frames: 1, chargedBytes, isOut: false, reordered };
    this.#queue.push(run);
    this.#charge(chargedBytes);
    if (!reordered) {
      this.#last = run;
      this.#inOrder += 1;
    }
    this.#wake();
  }

  #takeOut(): Run | undefined {
    const run = this.#queue.pop();
    if (run === undefined) return undefined;
    run.isOut = true;
    if (!run.reordered) this.#inOrder -= 1;
    this.#charge(-run.chargedBytes);
    return run;
  }

  #drain(): Run[] {
    this.#schedule.forget(this);
    this.#heldAtMs = undefined;
    this.#last = undefined;
    return Array.from({ length: this.#queue.size }, () => this.#takeOut()!);
  }

  #charge(bytes: number): void {
    this.#queuedBytes += bytes;
    allQueuesBytes += bytes;
  }

  #wake(): void {
    const first = this.#queue.peek();
    if (first !== undefined && this.#heldAtMs === undefined) this.#schedule.at(this, first.dueMs);
  }
}

function framesOf({ buffer, start, end }: Run): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = start; at < end;) {
    const next = at + LENGTH_BYTES + readUint32(buffer, at);
    frames.push(buffer.subarray(at, next));
    at = next;
  }
  return frames;
}

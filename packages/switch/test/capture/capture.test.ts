import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { Capture, CAPTURE_QUEUE_BYTES } from '../../src/capture/capture.ts';
import { pcapHeader } from '../../src/capture/pcap.ts';
import type { CaptureSink } from '../../src/capture/sink.ts';
import { WallTime } from '../../src/capture/wall-time.ts';
import { withLength } from '../../src/framing.ts';
import { readPcap } from './pcap-reader.ts';

/** A disk in memory: it stands still while `stalled` is set. */
class MemoryDisk implements CaptureSink {
  readonly written: Buffer[] = [pcapHeader(65_549)];
  stalled: PromiseWithResolvers<void> | undefined;
  isLetGo = false;

  get keptBytes(): number {
    return this.written.reduce((sum, each) => sum + each.length, 0);
  }

  async write(records: Buffer): Promise<void> {
    await this.stalled?.promise;
    this.written.push(Buffer.from(records));
  }

  async close(): Promise<void> {}

  abandon(): void {
    this.isLetGo = true;
  }
}

const numbered = (n: number, bytes = 1000) => {
  const frame = Buffer.alloc(bytes, n & 255);
  frame.writeUInt32BE(n, 0);
  return frame;
};

function captureOf(snapBytes = 65_549) {
  const disk = new MemoryDisk();
  const capture = new Capture(disk, snapBytes, new WallTime());
  const take = (...frames: Buffer[]) => {
    const run = Buffer.concat(frames.map((frame) => withLength(frame)));
    capture.take(run, 0, run.length);
    run.fill(0); // nobody keeps it
  };
  return { disk, capture, take, pcap: () => readPcap(Buffer.concat(disk.written)) };
}

test('every frame is a record, in order, whatever the sizes; a snapshot length keeps the beginning', async () => {
  const sizes = [60, 1514, 65_549, 4, 14, 9000];
  const frames = Array.from({ length: 500 }, (_, n) => numbered(n, sizes[n % sizes.length]!));
  const whole = captureOf();
  const short = captureOf(20);
  for (let n = 0; n < frames.length; n += 10) {
    whole.take(...frames.slice(n, n + 10));
    short.take(...frames.slice(n, n + 10));
    if (n % 50 === 0) await sleep(1);
  }
  await Promise.all([whole.capture.finish(), short.capture.finish()]);
  // As one each: comparing megabytes element by element takes seconds.
  const kept = ({ pcap }: typeof whole) => Buffer.concat(pcap().records.map(({ bytes }) => bytes));
  expect(kept(whole).equals(Buffer.concat(frames))).toBe(true);
  expect(kept(short).equals(Buffer.concat(frames.map((frame) => frame.subarray(0, 20))))).toBe(true);
  const lengths = frames.map((frame) => frame.length);
  for (const { capture, pcap } of [whole, short]) {
    expect(pcap().records.map(({ length }) => length)).toEqual(lengths);
    expect(capture).toMatchObject({ frames: 500, bytes: lengths.reduce((sum, each) => sum + each), drops: 0 });
  }
});

test('a disk that stands still costs frames of the capture, counted, and no more memory than its queue', async () => {
  const { disk, capture, take, pcap } = captureOf();
  disk.stalled = Promise.withResolvers();
  const offered = 3 * Math.ceil(CAPTURE_QUEUE_BYTES / 1000);
  for (let n = 0; n < offered; n += 1) take(numbered(n));
  expect(capture.drops).toBeGreaterThan(offered / 2);
  disk.stalled.resolve();
  disk.stalled = undefined;
  await vi.waitFor(() => expect(capture.frames + capture.drops).toBe(offered));
  expect(disk.keptBytes).toBeLessThanOrEqual(CAPTURE_QUEUE_BYTES + 24);
  // Then it goes on.
  take(numbered(offered));
  await capture.finish();
  const numbers = pcap().records.map(({ bytes }) => bytes.readUInt32BE(0));
  expect(numbers).toEqual([...numbers.keys()].slice(0, -1).concat(offered));
});

test('an end waits two seconds for a disk that stands still, and says what is lost', async () => {
  const { disk, capture, take } = captureOf();
  take(numbered(1));
  await vi.waitFor(() => expect(capture.frames).toBe(1));
  disk.stalled = Promise.withResolvers();
  take(numbered(2), numbered(3));
  const startedAtMs = performance.now();
  await capture.finish();
  expect(performance.now() - startedAtMs).toBeLessThan(3000);
  expect(capture).toMatchObject({ frames: 1, drops: 2 });
  expect(disk.isLetGo).toBe(true);
  take(numbered(4));
  expect(capture.drops).toBe(2);
});

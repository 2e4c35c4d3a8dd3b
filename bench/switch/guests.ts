import { mkdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameReader, withLength } from '../../packages/switch/src/framing.ts';

/**
 * The guests of a measurement of the switch: plain sockets in a process of their own, so that nothing but their own traffic
 * makes them late. What is left of their lateness is in the figures: see the row without a delay.
 */

export type GuestsTask =
  | {
      readonly kind: 'times';
      readonly links: readonly Link[];
      /** Of each link in each direction. */
      readonly framesPerSecond: number;
      readonly seconds: number;
    }
  | { readonly kind: 'flow'; readonly link: Link; readonly windowBytes: number; readonly seconds: number };

/** Where its two ends listen. */
export type Link = readonly [a: string, b: string];

export interface Times {
  /** From a frame's writing to its reading. */
  readonly onTheWayMs: readonly number[];
  readonly sentFrames: number;
}

export interface Throughput {
  readonly gbitPerSecond: number;
}

export type GuestsMessage = 'listening' | 'measuring' | { readonly result: Times | Throughput };

const FRAME_BYTES = 1514;
const SMALL_FRAME_BYTES = 98;
const WARM_UP_MS = 500;
const BLOCK_FRAMES = 40;
/** When all that was under way was dropped, nothing settles it. */
const FORGET_AFTER_MS = 200;

process.once('message', (task: GuestsTask) => void main(task));

function say(message: GuestsMessage): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

async function main(task: GuestsTask): Promise<void> {
  const links = task.kind === 'times' ? task.links : [task.link];
  const connections = links.map((link) => link.map((path) => listen(path)));
  await Promise.all(connections.flat().map(({ listening }) => listening));
  await say('listening');
  const sockets = await Promise.all(connections.map((ends) => Promise.all(ends.map(({ socket }) => socket))));
  const result = task.kind === 'times' ? await times(sockets, task) : await flow(sockets[0]!, task);
  await say({ result });
  process.exit(0);
}

/** Frames that carry the time of their writing, spread evenly over time and links. */
async function times(links: readonly Socket[][], task: GuestsTask & { kind: 'times' }): Promise<Times> {
  const onTheWayMs: number[] = [];
  for (const socket of links.flat()) {
    const reader = new FrameReader({
      frame: (buffer, start) => void onTheWayMs.push(performance.now() - buffer.readDoubleBE(start + 4 + 14)),
    });
    socket.on('data', (chunk: Buffer) => reader.push(chunk));
  }
  const senders = links.flat();
  const perMs = (senders.length * task.framesPerSecond) / 1000;
  const run = async (ms: number): Promise<number> => {
    const startedAtMs = performance.now();
    let sent = 0;
    for (;;) {
      const elapsedMs = performance.now() - startedAtMs;
      if (elapsedMs >= ms) return sent;
      for (; sent < elapsedMs * perMs; sent += 1) {
        const framed = withLength(Buffer.alloc(SMALL_FRAME_BYTES));
        framed.writeDoubleBE(performance.now(), 4 + 14);
        senders[sent % senders.length]!.write(framed);
      }
      await sleep(1);
    }
  };
  await run(WARM_UP_MS);
  await sleep(WARM_UP_MS);
  onTheWayMs.length = 0;
  await say('measuring');
  const sentFrames = await run(task.seconds * 1000);
  await sleep(WARM_UP_MS);
  return { onTheWayMs, sentFrames };
}

/**
 * As much as there is room for in a window, as TCP would send it. Frames are numbered, all alike long and in order: one
 * that arrives settles all before it, also those that were dropped.
 */
async function flow(ends: readonly Socket[], task: GuestsTask & { kind: 'flow' }): Promise<Throughput> {
  const [source, sink] = [ends[0]!, ends[1]!];
  const framed = withLength(Buffer.alloc(FRAME_BYTES));
  const template = Buffer.concat(Array.from({ length: BLOCK_FRAMES }, () => framed));
  const windowFrames = Math.floor(task.windowBytes / framed.length);
  let sentFrames = 0;
  let settledFrames = 0;
  let receivedBytes = 0;
  let receivedAtMs = performance.now();
  const fill = (): void => {
    while (sentFrames - settledFrames + BLOCK_FRAMES <= windowFrames) {
      const block = Buffer.from(template);
      for (let n = 0; n < BLOCK_FRAMES; n += 1) block.writeUInt32BE(sentFrames++, n * framed.length + 4 + 14);
      source.write(block);
    }
  };
  sink.on('data', (chunk: Buffer) => {
    const intoFrame = receivedBytes % framed.length;
    receivedBytes += chunk.length;
    // The last frame whose number is in this chunk.
    const first = (intoFrame <= 18 ? 18 : 18 + framed.length) - intoFrame;
    const last = first + Math.floor((chunk.length - first - 4) / framed.length) * framed.length;
    if (last >= first) settledFrames = chunk.readUInt32BE(last);
    receivedAtMs = performance.now();
    fill();
  });
  const watch = setInterval(() => {
    if (performance.now() - receivedAtMs < FORGET_AFTER_MS) return;
    settledFrames = sentFrames;
    fill();
  }, FORGET_AFTER_MS / 4);
  fill();
  await sleep(WARM_UP_MS);
  await say('measuring');
  const before = { bytes: receivedBytes, atMs: performance.now() };
  await sleep(task.seconds * 1000);
  const frames = (receivedBytes - before.bytes) / framed.length;
  const gbitPerSecond = (frames * FRAME_BYTES * 8) / (performance.now() - before.atMs) / 1e6;
  clearInterval(watch);
  return { gbitPerSecond };
}

function listen(path: string): { listening: Promise<void>; socket: Promise<Socket> } {
  mkdirSync(dirname(path), { recursive: true });
  const server = createServer();
  const socket = new Promise<Socket>((resolve) => {
    server.once('connection', (connection) => {
      connection.on('error', () => {}); // the switch ends before we do
      resolve(connection);
    });
  });
  const listening = new Promise<void>((resolve) => server.listen(path, resolve));
  return { listening, socket };
}

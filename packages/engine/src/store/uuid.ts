import { randomFillSync } from 'node:crypto';

/**
 * UUID v7 that never goes back within a process (RFC 9562 sections 5.7 and 6.2 method 1: 12 bits of counter).
 * crypto.randomUUIDv7 came with Node 24.16 and does not order ids of the same millisecond.
 */
let lastMs = 0;
let counter = 0;
const random = new Uint8Array(9);

export function uuidv7(nowMs: number = Date.now()): string {
  randomFillSync(random);
  counter = nowMs > lastMs ? (random[8] as number) : counter + 1;
  lastMs = Math.max(lastMs, nowMs);
  if (counter > 0xfff) {
    lastMs += 1;
    counter = 0;
  }
  const time = lastMs.toString(16).padStart(12, '0');
  random[0] = 0x80 | ((random[0] as number) & 0x3f);
  const tail = Buffer.from(random.buffer, 0, 8).toString('hex');
  const count = counter.toString(16).padStart(3, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${tail.slice(0, 4)}-${tail.slice(4)}`;
}

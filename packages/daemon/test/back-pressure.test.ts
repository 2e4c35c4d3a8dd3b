import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { passOn } from '../src/http/back-pressure.ts';

test('a slow reader holds its socket each time, and nothing is left of the waits', async () => {
  const taken: Array<() => void> = [];
  const input = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void taken.push(done) });
  const socket = new PassThrough().resume();
  for (let turn = 0; turn < 20; turn += 1) {
    passOn(socket, input, Buffer.from('ab'));
    expect(socket.isPaused()).toBe(true);
    const drained = once(input, 'drain');
    taken.shift()?.();
    await drained;
    expect(socket.isPaused()).toBe(false);
  }
  expect(input.listenerCount('close') + input.listenerCount('drain')).toBe(0);
});

test('of a reader that has gone the socket goes on, and what comes is dropped', async () => {
  const input = new Writable({ highWaterMark: 1, write: () => undefined });
  const socket = new PassThrough().resume();
  passOn(socket, input, Buffer.from('ab'));
  input.destroy();
  await once(input, 'close');
  expect(socket.isPaused()).toBe(false);
  passOn(socket, input, Buffer.from('ab'));
  expect(socket.isPaused()).toBe(false);
});

import { Writable } from 'node:stream';
import { CHANNEL_STDIN } from '@skerry/api/base';
import WebSocket from 'ws';

/** Below every limit on the way; the agent's frames hold 64 KiB with their heads. */
const MAX_MESSAGE_BYTES = 32 * 1024;

/**
 * The process's standard input. A write is done once the kernel has taken it, so a slow process slows its writer. What
 * is written after the process has ended is dropped, as nobody can tell when it stopped reading.
 */
export function createStdin(socket: WebSocket): Writable {
  const opened = new Promise<void>((resolve) => {
    if (socket.readyState === WebSocket.OPEN) resolve();
    socket.once('open', () => resolve());
    socket.once('close', () => resolve());
  });
  // The request goes first: it is sent by a listener of 'open', and all of those run before a promise goes on.
  const send = async (data: Uint8Array): Promise<void> => {
    await opened;
    if (socket.readyState !== WebSocket.OPEN) return;
    const message = Buffer.allocUnsafe(data.length + 1);
    message[0] = CHANNEL_STDIN;
    message.set(data, 1);
    await new Promise<void>((resolve) => socket.send(message, () => resolve()));
  };
  return new Writable({
    decodeStrings: true,
    async write(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length; at += MAX_MESSAGE_BYTES)
        await send(chunk.subarray(at, at + MAX_MESSAGE_BYTES));
      done();
    },
    async final(done) {
      await send(Buffer.alloc(0));
      done();
    },
  });
}

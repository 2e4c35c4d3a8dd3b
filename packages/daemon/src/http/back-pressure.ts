import type { Writable } from 'node:stream';

/** Hands on what came; while its reader is slow, nothing more is read of the socket. */
export function passOn(socket: { pause(): void; resume(): void }, input: Writable, data: Buffer): void {
  if (!input.writable || input.write(data)) return;
  socket.pause();
  const go = (): void => {
    input.off('drain', go);
    input.off('close', go);
    socket.resume();
  };
  input.once('drain', go);
  input.once('close', go);
}

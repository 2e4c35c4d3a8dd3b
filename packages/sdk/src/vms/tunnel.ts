import { Duplex } from 'node:stream';
import { type ConnectReply, type ConnectRequestInput, SkerryError } from '@skerry/api/base';
import WebSocket from 'ws';
import type { OpenSocket } from './exec-process.ts';
import type { Tunnel } from './guest-stream.ts';

/** Below every limit on the way. */
const MAX_MESSAGE_BYTES = 64 * 1024;

/** Resolves once it is connected in the guest. */
export function openTunnel(open: OpenSocket, request: ConnectRequestInput, signal?: AbortSignal): Promise<Tunnel> {
  // Node 20 has no Promise.withResolvers.
  let resolve: (tunnel: Tunnel) => void = () => undefined;
  let reject: (error: SkerryError) => void = () => undefined;
  const promise = new Promise<Tunnel>((whenOpen, whenFailed) => {
    resolve = whenOpen;
    reject = whenFailed;
  });
  let failure: SkerryError | undefined;
  let isOpen = false;
  let hasEnded = false;
  const socket = open((error) => (failure = error));
  const stream = new Duplex({
    read: () => socket.resume(),
    // Done once the kernel has taken it: a guest that reads slowly slows its writer.
    async write(chunk: Buffer, _encoding, done) {
      for (let at = 0; at < chunk.length; at += MAX_MESSAGE_BYTES)
        await send(socket, chunk.subarray(at, at + MAX_MESSAGE_BYTES));
      done();
    },
    async final(done) {
      await send(socket, Buffer.alloc(0));
      done();
    },
    destroy(error, done) {
      signal?.removeEventListener('abort', abort);
      socket.terminate();
      done(error);
    },
  });
  const fail = (error: SkerryError): void => {
    reject(error);
    // Nobody has it yet who could listen for the error.
    if (isOpen) stream.destroy(error);
    else stream.destroy();
  };
  const abort = (): void => fail(new SkerryError('cancelled', 'The connection was cancelled'));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted === true) abort();
  socket.once('open', () => socket.send(JSON.stringify(request)));
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      hasEnded = data.length === 0;
      if (hasEnded) stream.push(null);
      else if (!stream.push(data)) socket.pause();
      return;
    }
    const reply = JSON.parse(data.toString()) as ConnectReply;
    if (reply.type === 'error') {
      fail(SkerryError.fromBody(reply.error));
    } else {
      isOpen = true;
      resolve({ stream, hostKeys: reply.hostKeys });
    }
  });
  socket.once('close', () => {
    // After the guest's end, nothing that is written goes anywhere: its writer learns that it is over.
    if (hasEnded) stream.end();
    else fail(failure ?? connectionLost());
  });
  return promise;
}

function send(socket: WebSocket, data: Uint8Array): Promise<void> {
  if (socket.readyState !== WebSocket.OPEN) return Promise.resolve();
  return new Promise((resolve) => socket.send(data, () => resolve()));
}

function connectionLost(): SkerryError {
  return new SkerryError('unavailable', 'The connection into the VM was lost', {
    remedy: 'See whether the VM still runs (`skerry list`), and `skerry daemon logs`.',
  });
}

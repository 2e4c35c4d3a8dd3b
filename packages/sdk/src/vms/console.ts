import { Duplex } from 'node:stream';
import { type ErrorBody, SkerryError } from '@skerry/api/base';
import WebSocket from 'ws';
import type { OpenSocket } from './exec-process.ts';

/** A VM's serial console as a stream: its past output first. Ending or destroying it detaches; the VM does not notice. */
export function openConsole(open: OpenSocket): Duplex {
  let failure: SkerryError | undefined;
  const socket = open((error) => (failure = error));
  const stream = new Duplex({
    read: () => socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      if (socket.readyState === WebSocket.CONNECTING) socket.once('open', () => socket.send(chunk, done));
      else if (socket.readyState === WebSocket.OPEN) socket.send(chunk, done);
      else done();
    },
    final(done) {
      socket.close();
      done();
    },
    destroy(error, done) {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) {
      if (!stream.push(data)) socket.pause();
      return;
    }
    const { error } = JSON.parse(data.toString()) as { error?: ErrorBody };
    if (error !== undefined) stream.destroy(SkerryError.fromBody(error));
  });
  socket.once('close', () => {
    if (failure !== undefined) stream.destroy(failure);
    else stream.push(null);
  });
  return stream;
}

import { Duplex } from 'node:stream';
import type { AgentConnection } from './connection.ts';
import { cancelled } from './errors.ts';
import { CONTROL, OP, TAG } from './protocol.ts';
import { TlvWriter } from './tlv.ts';

const INCOMING = 1;

/** A stream to a port inside the guest, with both halves closing by themselves. Emits `connect`. */
export function forwardTo(
  connection: AgentConnection,
  port: number,
  host: string | undefined,
  signal: AbortSignal | undefined,
): Duplex {
  const values = new TlvWriter().string(TAG.HOST, host).u32(TAG.PORT, port);
  const what = `connect to ${host ?? 'localhost'}:${port} in the guest`;
  const stream = connection.open(OP.FORWARD, values, [INCOMING], {
    what,
    signal,
    onControl: (kind) => {
      if (kind === CONTROL.CONNECTED) duplex.emit('connect');
    },
  });
  const from = stream.output(INCOMING);
  const duplex = new Duplex({
    allowHalfOpen: true,
    highWaterMark: 64 * 1024,
    read: () => {
      from.resume();
    },
    write: (chunk: Buffer, _encoding, done) => {
      if (stream.input.destroyed) done(cancelled(what));
      else stream.input.write(chunk, done);
    },
    final: (done) => {
      if (stream.input.destroyed) done();
      else stream.input.end(done);
    },
    destroy: (error, done) => {
      // Both directions over: it has ended by itself. Else this resets the guest's connection.
      stream.reset(error ?? cancelled(what));
      done(error);
    },
  });
  from.on('data', (data: Buffer) => {
    if (!duplex.push(data)) from.pause();
  });
  from.on('end', () => duplex.push(null));
  stream.result.catch((error: Error) => duplex.destroy(error));
  return duplex;
}

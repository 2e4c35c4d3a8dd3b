import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { SkerryError } from '@skerry/api';
import { connectionLost, protocolError } from './errors.ts';
import { BODY_MAX, dataFrameHead, encodeFrame, FRAME_TAIL, FrameDecoder } from './frames.ts';
import { FRAME, MAGIC, MAX_STREAMS, NONCE_BYTES } from './protocol.ts';
import { AgentStream, type StreamOptions } from './stream.ts';
import { Tlvs, type TlvWriter } from './tlv.ts';

const GREETING_MS = 3000;

interface ConnectionEvents {
  hello: [values: Tlvs];
  notify: [kind: number, values: Tlvs];
  /** Once; with the reason unless `close` was called. */
  close: [error: Error | undefined];
}

/**
 * The host's end of a session: streams over one socket. Nothing of the guest is believed: what breaks the protocol ends
 * the connection, and what a guest may make us hold is bounded by the windows.
 */
export class AgentConnection extends EventEmitter<ConnectionEvents> {
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;
  readonly #greeting: NodeJS.Timeout;
  readonly #streams = new Map<number, AgentStream>();
  #lastId = 0;
  #greeted = false;
  #closed = false;
  #congested = false;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    const nonce = newNonce();
    this.#decoder = new FrameDecoder(nonce);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => this.#end(connectionLost(error)));
    socket.on('close', () => this.#end(connectionLost()));
    // QEMU leaves it in the socket until the guest opens its port (virtio-console.c, chr_can_read).
    socket.write(Buffer.concat([MAGIC, nonce]));
    this.#greeting = setInterval(() => this.#greetAgain(), GREETING_MS).unref();
  }

  /**
   * The guest hears of "the host has gone" and "it is back" in a queue of their own. A busy one may hear the first after it
   * has answered a greeting, and drop the answer (seen once in 1,000 kills of the daemon).
   */
  #greetAgain(): void {
    if (this.#decoder.synced) {
      clearInterval(this.#greeting);
      return;
    }
    const nonce = newNonce();
    this.#decoder.expect(nonce);
    this.#socket.write(Buffer.concat([MAGIC, nonce]));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Starts an operation; `channels` are those on which the guest sends.
   * @throws SkerryError `unavailable` (connection gone, too many at once), `invalid` (arguments too long), `cancelled`
   */
  open(op: number, values: TlvWriter, channels: readonly number[], options: StreamOptions): AgentStream {
    if (this.#closed) throw connectionLost();
    if (options.signal?.aborted === true) {
      throw new SkerryError('cancelled', `${options.what} was cancelled`, { cause: options.signal.reason });
    }
    if (this.#streams.size >= MAX_STREAMS) {
      throw new SkerryError('unavailable', `${MAX_STREAMS} operations are under way in this VM already`, {
        remedy: 'Wait until some have ended.',
      });
    }
    const body = Buffer.concat([Buffer.from([op]), values.end()]);
    if (body.length > BODY_MAX || body.includes(MAGIC)) {
      throw new SkerryError('invalid', `${options.what}: its arguments are too long (${body.length} bytes)`, {
        remedy: `Keep arguments and environment under ${BODY_MAX} bytes; pass larger input by stdin or a file.`,
      });
    }
    const stream = new AgentStream(++this.#lastId, this.#port, channels, options);
    this.#streams.set(stream.id, stream);
    this.#write(encodeFrame(FRAME.OPEN, stream.id, body));
    return stream;
  }

  /** A frame of stream 0. */
  say(type: number, values: TlvWriter): void {
    this.#write(encodeFrame(type, 0, values.end()));
  }

  /** Ends the session; what is under way is stopped in the guest and rejected here. */
  close(error?: Error): void {
    this.#end(error);
  }

  readonly #port = {
    send: (type: number, stream: number, body: Uint8Array): void => this.#write(encodeFrame(type, stream, body)),
    sendData: (stream: number, channel: number, data: Buffer, done: () => void): boolean => {
      if (this.#closed) return false;
      this.#socket.cork();
      this.#socket.write(dataFrameHead(stream, channel, data.length));
      this.#socket.write(data);
      const room = this.#socket.write(FRAME_TAIL, () => done());
      this.#socket.uncork();
      this.#congested ||= !room;
      return !this.#congested;
    },
    forget: (stream: AgentStream): void => {
      this.#streams.delete(stream.id);
    },
  };

  #write(frame: Buffer): void {
    if (!this.#closed && !this.#socket.write(frame)) this.#congested = true;
  }

  #drained(): void {
    this.#congested = false;
    for (const stream of this.#streams.values()) {
      if (this.#congested) return;
      stream.resume();
    }
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#decoder.push(chunk)) {
        if (this.#closed) return;
        this.#take(frame.type, frame.stream, frame.body);
      }
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
      // Not ours to hide: a listener of the data has thrown.
      if (!(error instanceof SkerryError)) throw error;
    }
  }

  #take(type: number, id: number, body: Buffer): void {
    if (type === FRAME.HELLO) {
      if (this.#greeted || id !== 0) throw protocolError('a second hello');
      this.#greeted = true;
      this.emit('hello', Tlvs.parse(body));
      return;
    }
    if (!this.#greeted) throw protocolError('something before the hello');
    if (type === FRAME.NOTIFY) {
      if (body.length < 1 || id !== 0) throw protocolError('not a notification');
      const values = Tlvs.parse(body.subarray(1));
      // Later: one that came with the hello shall find the listeners of who waited for the hello.
      setImmediate(() => this.emit('notify', body.readUInt8(0), values));
      return;
    }
    const stream = this.#streams.get(id);
    if (stream !== undefined) stream.take(type, body);
    // It was reset here, and its last frames crossed that: no error. One that never was is.
    else if (id === 0 || id > this.#lastId) throw protocolError('a frame for no stream');
  }

  #end(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#greeting);
    this.#socket.destroy();
    for (const stream of [...this.#streams.values()]) stream.fail(error ?? connectionLost());
    setImmediate(() => this.emit('close', error));
  }
}

/** ASCII: a MAGIC that follows a session cut off in its nonce can't be taken for the rest of it. */
function newNonce(): Buffer {
  return randomBytes(NONCE_BYTES).map((byte) => byte & 0x7f) as Buffer;
}

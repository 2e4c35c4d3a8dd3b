import { Readable, Writable } from 'node:stream';
import { cancelled, guestError, protocolError } from './errors.ts';
import { DATA_MAX, safeLength } from './frames.ts';
import { FRAME, TAG, WINDOW_BYTES } from './protocol.ts';
import { TlvWriter, Tlvs } from './tlv.ts';

/** What a stream needs of its connection. */
export interface StreamPort {
  send(type: number, stream: number, body: Uint8Array): void;
  /** `done` when the bytes have been handed over. False: wait for `resume` of the stream. */
  sendData(stream: number, channel: number, data: Buffer, done: () => void): boolean;
  /** The stream will not be heard of again. */
  forget(stream: AgentStream): void;
}

export interface StreamOptions {
  /** For messages: what is being done. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
  /** Sees data before its reader does. */
  readonly onData?: ((channel: number, data: Buffer) => void) | undefined;
  readonly onControl?: ((kind: number) => void) | undefined;
  /** Runs before `result` resolves and the outputs end; what it throws becomes the stream's error. */
  readonly onResult?: ((values: Tlvs) => void) | undefined;
  /** Values that go with the end of the input, known only then (a checksum). */
  readonly endValues?: (() => Buffer) | undefined;
}

/** Credit goes back in steps of a quarter window: few frames, and the sender never runs dry meanwhile. */
const GRANT_STEP_BYTES = WINDOW_BYTES / 4;

/** The guest's data of one channel on its way to a reader who may be slow or absent. */
class Incoming {
  readonly readable: Readable;
  readonly #stream: AgentStream;
  readonly #channel: number;
  /** What the guest may still send. */
  #window = WINDOW_BYTES;
  #ungranted = 0;
  #queue: Buffer[] = [];
  #wanted = false;
  #ended = false;

  constructor(stream: AgentStream, channel: number) {
    this.#stream = stream;
    this.#channel = channel;
    this.readable = new Readable({
      highWaterMark: 16 * 1024,
      read: () => {
        this.#wanted = true;
        this.#deliver();
      },
      destroy: (error, done) => {
        // Nobody reads on: what is left is thrown away, and the guest's process goes on as with a closed pipe's reader.
        for (const data of this.#queue) this.#taken(data.length);
        this.#queue = [];
        done(error);
      },
    });
    // The error is told by the stream's result too, so a reader that nobody listens to must not end the program.
    this.readable.on('error', () => {});
  }

  take(data: Buffer): void {
    if (this.#ended) throw protocolError('data after its end');
    if (data.length > this.#window) throw protocolError('more data than was granted');
    this.#window -= data.length;
    if (this.readable.destroyed) {
      this.#taken(data.length);
      return;
    }
    if (this.#wanted && this.#queue.length === 0) {
      this.#wanted = this.readable.push(data);
      this.#taken(data.length);
      return;
    }
    // Small pieces are joined: else a guest that sends single bytes makes each cost an object.
    const last = this.#queue.at(-1);
    if (last !== undefined && last.length + data.length <= 8192) {
      this.#queue[this.#queue.length - 1] = Buffer.concat([last, data]);
    } else {
      this.#queue.push(Buffer.from(data));
    }
  }

  end(): void {
    this.#ended = true;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#wanted) {
      const data = this.#queue.shift();
      if (data === undefined) {
        if (this.#ended) {
          this.#wanted = false;
          this.readable.push(null);
        }
        return;
      }
      this.#wanted = this.readable.push(data);
      this.#taken(data.length);
    }
  }

  #taken(bytes: number): void {
    this.#ungranted += bytes;
    if (this.#ungranted < GRANT_STEP_BYTES || this.#stream.ended) return;
    const body = Buffer.allocUnsafe(5);
    body[0] = this.#channel;
    body.writeUInt32BE(this.#ungranted, 1);
    this.#window += this.#ungranted;
    this.#ungranted = 0;
    this.#stream.send(FRAME.CREDIT, body);
  }
}

/** One operation on a connection: its input, its outputs and its result. */
export class AgentStream {
  readonly id: number;
  /** Resolves with the values of the guest's CLOSE. */
  readonly result: Promise<Tlvs>;
  /** Channel 0, to the guest. Ending it is an end of file there. */
  readonly input: Writable;
  readonly #port: StreamPort;
  readonly #options: StreamOptions;
  readonly #incoming = new Map<number, Incoming>();
  readonly #settle: { resolve: (values: Tlvs) => void; reject: (error: Error) => void };
  #credit = WINDOW_BYTES;
  #writing: { data: Buffer; done: (error?: Error | null) => void } | undefined;
  #ended = false;

  constructor(id: number, port: StreamPort, channels: readonly number[], options: StreamOptions) {
    this.id = id;
    this.#port = port;
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<Tlvs>();
    promise.catch(() => {}); // Who only reads the output hears of the error there.
    this.result = promise;
    this.#settle = { resolve, reject };
    for (const channel of channels) this.#incoming.set(channel, new Incoming(this, channel));
    this.input = new Writable({
      highWaterMark: 64 * 1024,
      write: (chunk: Buffer, _encoding, done) => {
        this.#writing = { data: chunk, done };
        this.resume();
      },
      final: (done) => {
        const more = this.#options.endValues?.() ?? Buffer.alloc(0);
        this.send(FRAME.EOF, Buffer.concat([Buffer.from([0]), more]));
        done();
      },
      destroy: (error, done) => {
        const writing = this.#writing;
        this.#writing = undefined;
        writing?.done(error);
        done(error);
      },
    });
    this.input.on('error', () => {});
    if (options.signal !== undefined) {
      const { signal } = options;
      const abort = (): void => this.reset(cancelled(options.what, signal.reason));
      signal.addEventListener('abort', abort, { once: true });
      promise.finally(() => signal.removeEventListener('abort', abort)).catch(() => {});
    }
  }

  get ended(): boolean {
    return this.#ended;
  }

  output(channel: number): Readable {
    const incoming = this.#incoming.get(channel);
    if (incoming === undefined) throw new RangeError(`stream has no channel ${channel}`);
    return incoming.readable;
  }

  send(type: number, body: Uint8Array): void {
    if (!this.#ended) this.#port.send(type, this.id, body);
  }

  control(kind: number, values: TlvWriter): void {
    this.send(FRAME.CONTROL, Buffer.concat([Buffer.from([kind]), values.end()]));
  }

  /** Stops it in the guest, and here with `error`. */
  reset(error: Error): void {
    if (this.#ended) return;
    this.send(FRAME.RESET, Buffer.alloc(0));
    this.fail(error);
  }

  /** Sends on, if there is something to send and credit for it. */
  resume(): void {
    while (this.#writing !== undefined) {
      if (this.#ended || this.#writing.data.length === 0) {
        // The guest's command ended without reading all: like a closed pipe, minus the error.
        const { done } = this.#writing;
        this.#writing = undefined;
        done();
        return;
      }
      const { data, done } = this.#writing;
      const most = Math.min(data.length, this.#credit, DATA_MAX);
      if (most === 0) return;
      const length = safeLength(data.subarray(0, most));
      const last = length === data.length;
      this.#credit -= length;
      this.#writing = last ? undefined : { data: data.subarray(length), done };
      if (!this.#port.sendData(this.id, 0, data.subarray(0, length), () => last && done())) return;
    }
  }

  /** A frame of the guest. @throws SkerryError `failed`: it may not be sent */
  take(type: number, body: Buffer): void {
    switch (type) {
      case FRAME.DATA:
        this.#options.onData?.(body[0] ?? 0, body.subarray(1));
        this.#channelOf(body).take(body.subarray(1));
        return;
      case FRAME.EOF:
        this.#channelOf(body).end();
        return;
      case FRAME.CREDIT:
        if (body.length !== 5 || body[0] !== 0) throw protocolError('not a credit');
        this.#credit += body.readUInt32BE(1);
        if (this.#credit > WINDOW_BYTES) throw protocolError('more credit than the window has');
        this.resume();
        return;
      case FRAME.CONTROL:
        if (body.length < 1) throw protocolError('an empty control');
        this.#options.onControl?.(body.readUInt8(0));
        return;
      case FRAME.CLOSE:
        this.#close(Tlvs.parse(body));
        return;
      default:
        throw protocolError('a frame of a type that a guest does not send');
    }
  }

  #channelOf(body: Buffer): Incoming {
    const incoming = body.length < 1 ? undefined : this.#incoming.get(body.readUInt8(0));
    if (incoming === undefined) throw protocolError('data on a channel that the stream does not have');
    return incoming;
  }

  #close(values: Tlvs): void {
    if (values.has(TAG.ERRNO)) {
      this.fail(guestError(this.#options.what, values.number(TAG.ERRNO), values.string(TAG.ERROR)));
      return;
    }
    this.#options.onResult?.(values);
    this.#finish();
    for (const incoming of this.#incoming.values()) incoming.end();
    this.#settle.resolve(values);
    this.resume();
  }

  /** Ends here, without a word to the guest. */
  fail(error: Error): void {
    if (this.#ended) return;
    this.#finish();
    this.#settle.reject(error);
    this.input.destroy(error);
    for (const incoming of this.#incoming.values()) incoming.readable.destroy(error);
  }

  #finish(): void {
    this.#ended = true;
    this.#port.forget(this);
  }
}

import { Readable, type Writable } from 'node:stream';
import {
  CHANNEL_STDERR,
  CHANNEL_STDOUT,
  type ExecControl,
  type ExecReply,
  type SignalName,
  SkerryError,
} from '@skerry/api/base';
import WebSocket from 'ws';
import { argvOf, type ExecChunk, type ExecOptions, execRequest, type ExecResult } from './exec.ts';
import { OutputQueue } from './output-queue.ts';
import { createStdin } from './stdin.ts';

const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

type Exit = Pick<ExecResult, 'exitCode' | 'signal'>;
/** @internal */
export type OpenSocket = (onFailure: (error: SkerryError) => void) => WebSocket;

/**
 * A command that runs in a VM. Await it for the whole output as text, or iterate it for the bytes as they come (and
 * await it afterwards for the exit code). Output that nobody takes holds the process up rather than fill the memory.
 * Leaving the loop early ends the process.
 */
export class ExecProcess implements PromiseLike<ExecResult>, AsyncIterable<ExecChunk> {
  readonly #socket: WebSocket;
  readonly #output: OutputQueue;
  // By hand: Node 20 has no Promise.withResolvers.
  #resolve!: (exit: Exit) => void;
  #reject!: (error: SkerryError) => void;
  readonly #exit = new Promise<Exit>((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });
  readonly #stop = new AbortController();
  #collect: { chunks: Record<ExecChunk['stream'], Uint8Array[]>; bytes: number } | undefined;
  readonly #maxOutputBytes: number;
  #iterated = false;
  #stdin: Writable | undefined;
  #sent = false;
  #settled = false;

  /** @internal Made by `exec`. */
  constructor(command: string | readonly string[], options: ExecOptions, open: OpenSocket) {
    this.#maxOutputBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
    this.#exit.catch(() => {}); // Who iterates learns of it there.
    const socket = open((error) => this.#fail(error));
    this.#socket = socket;
    this.#output = new OutputQueue(
      () => socket.pause(),
      () => socket.resume(),
    );
    if (options.stdin !== undefined) this.#feed(options.stdin);
    socket.once('open', () => {
      this.#sent = true;
      socket.send(JSON.stringify(execRequest(argvOf(command), options, this.#stdin !== undefined)));
    });
    socket.on('message', (data: Buffer, isBinary: boolean) => (isBinary ? this.#data(data) : this.#reply(data)));
    socket.once('close', () => {
      this.#fail(
        new SkerryError('unavailable', 'The daemon closed the connection while the command ran', {
          remedy: 'See `skerry daemon logs` and whether the VM still runs (`skerry list`).',
        }),
      );
    });
    const abort = (): void => this.#cancel();
    options.signal?.addEventListener('abort', abort, { once: true, signal: this.#stop.signal });
    if (options.signal?.aborted) abort();
  }

  /**
   * What the process reads. Use it at once after `exec`, or ask for it with `stdin: 'pipe'`.
   * @throws SkerryError `wrong-state` when the process was started without
   */
  get stdin(): Writable {
    if (this.#stdin === undefined && this.#sent) {
      throw new SkerryError('wrong-state', 'The process was started without standard input', {
        remedy: "Pass { stdin: 'pipe' } to exec.",
      });
    }
    this.#stdin ??= createStdin(this.#socket);
    return this.#stdin;
  }

  /** The terminal's size, for a process on one. */
  resize(cols: number, rows: number): void {
    this.#control({ type: 'resize', size: { cols, rows } });
  }

  /** Sends a signal to the process. */
  kill(signal: SignalName = 'TERM'): void {
    this.#control({ type: 'signal', signal });
  }

  then<A = ExecResult, B = never>(
    onfulfilled?: ((value: ExecResult) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#startCollecting();
    return this.#exit
      .then((exit) => ({ stdout: this.#text('stdout'), stderr: this.#text('stderr'), ...exit }))
      .then(onfulfilled, onrejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ExecChunk, void, undefined> {
    if (this.#collect !== undefined || this.#iterated) {
      throw new SkerryError('wrong-state', 'The output is taken already', {
        remedy: 'Iterate a process once, and before it is awaited.',
      });
    }
    this.#iterated = true;
    try {
      for (let chunk = await this.#output.take(); chunk !== undefined; chunk = await this.#output.take()) yield chunk;
    } finally {
      if (!this.#settled) this.#cancel();
    }
  }

  #startCollecting(): void {
    if (this.#iterated || this.#collect !== undefined) return;
    this.#collect = { chunks: { stdout: [], stderr: [] }, bytes: 0 };
    for (const chunk of this.#output.drain()) this.#gather(chunk);
  }

  #gather({ stream, data }: ExecChunk): void {
    const collect = this.#collect;
    if (collect === undefined) return;
    collect.bytes += data.length;
    collect.chunks[stream].push(data);
    if (collect.bytes <= this.#maxOutputBytes) return;
    this.#fail(
      new SkerryError('failed', `The command wrote more than ${this.#maxOutputBytes} bytes`, {
        remedy: 'Iterate its output with `for await`, or raise maxOutputBytes.',
      }),
    );
    this.#hangUp();
  }

  #text(stream: ExecChunk['stream']): string {
    return Buffer.concat(this.#collect?.chunks[stream] ?? []).toString();
  }

  #data(message: Buffer): void {
    const channel = message[0];
    if (channel !== CHANNEL_STDOUT && channel !== CHANNEL_STDERR) return;
    const chunk: ExecChunk = { stream: channel === CHANNEL_STDOUT ? 'stdout' : 'stderr', data: message.subarray(1) };
    if (this.#collect === undefined) this.#output.put(chunk);
    else this.#gather(chunk);
  }

  #reply(message: Buffer): void {
    const reply = JSON.parse(message.toString()) as ExecReply;
    if (reply.type === 'error') {
      this.#fail(SkerryError.fromBody(reply.error));
    } else if (!this.#settled) {
      this.#settled = true;
      this.#output.end();
      this.#resolve({ exitCode: reply.exitCode, signal: reply.signal });
      this.#end();
    }
    // Nothing is left to say, so no closing handshake is waited for.
    this.#socket.terminate();
  }

  #fail(error: SkerryError): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#output.end(error);
    this.#reject(error);
    this.#end();
  }

  #end(): void {
    this.#stop.abort();
    this.#stdin?.destroy();
  }

  #cancel(): void {
    this.#fail(new SkerryError('cancelled', 'The command was cancelled'));
    this.#hangUp();
  }

  #hangUp(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) {
      this.#socket.terminate();
      return;
    }
    const kill: ExecControl = { type: 'signal', signal: 'KILL' };
    this.#socket.send(JSON.stringify(kill), () => this.#socket.terminate());
  }

  #control(control: ExecControl): void {
    const send = (): void => this.#socket.send(JSON.stringify(control), () => {});
    if (this.#socket.readyState === WebSocket.OPEN) send();
    else if (this.#socket.readyState === WebSocket.CONNECTING) this.#socket.once('open', send);
  }

  #feed(stdin: NonNullable<ExecOptions['stdin']>): void {
    const target = this.stdin;
    if (stdin === 'pipe') return;
    if (stdin instanceof Uint8Array) {
      target.end(stdin);
    } else if ('text' in stdin) {
      target.end(stdin.text);
    } else {
      const source = stdin instanceof Readable ? stdin : Readable.from(stdin, { objectMode: false });
      source.on('error', (error) => {
        this.#fail(SkerryError.from(error));
        this.#hangUp();
      });
      // Not `pipeline`: a source such as process.stdin must outlive a process that does not read it to the end.
      source.pipe(target);
    }
  }
}

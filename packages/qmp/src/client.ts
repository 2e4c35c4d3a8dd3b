import type { Duplex } from 'node:stream';
import { SkerryError } from '@skerry/api';
import { connectSocket, within, type WaitOptions } from './connect.ts';
import { QmpError } from './errors.ts';
import { LineSplitter } from './lines.ts';
import { parseMessage, type QmpMessage, type QmpVersion } from './protocol.ts';
import type { QmpCommands, QmpEvents } from './schema.ts';

/** The schema of every command in one answer is some 200 KB; 16 MiB is far beyond any honest message. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 30_000;
/** Events that a reader of `events()` may leave unread. */
const MAX_UNREAD_EVENTS = 4096;

export type QmpCommandName = keyof QmpCommands & string;
export type QmpEventName = keyof QmpEvents & string;

/** One event; `atMs` is QEMU's clock, milliseconds since 1970. */
export type QmpEvent = { [N in QmpEventName]: { event: N; data: QmpEvents[N]; atMs: number } }[QmpEventName];

/** Arguments may be left out where none is required. */
type Parameters<C extends QmpCommandName> =
  Record<never, never> extends QmpCommands[C]['arguments']
    ? [args?: QmpCommands[C]['arguments'], options?: WaitOptions]
    : [args: QmpCommands[C]['arguments'], options?: WaitOptions];

interface Pending {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * A connection to one QEMU's monitor. Commands are pipelined: each `execute` is written at once and QEMU answers in
 * order. A peer that does not speak QMP is dropped, and everything that waits is rejected.
 */
export class QmpClient implements AsyncDisposable {
  /** Settles once, when the connection is over; with the reason if it was not `close()`. Never rejects. */
  readonly closed: Promise<SkerryError | undefined>;

  readonly #stream: Duplex;
  readonly #lines = new LineSplitter(MAX_LINE_BYTES);
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #greeting = Promise.withResolvers<QmpVersion>();
  readonly #settleClosed: (error: SkerryError | undefined) => void;
  #version: QmpVersion | undefined;
  #end: { readonly error: SkerryError | undefined } | undefined;
  #lastId = 0;

  private constructor(stream: Duplex) {
    const { promise, resolve } = Promise.withResolvers<SkerryError | undefined>();
    this.closed = promise;
    this.#settleClosed = resolve;
    this.#stream = stream;
    this.#greeting.promise.catch(() => {}); // Nobody may be waiting when the connection breaks.
    stream.on('data', (chunk: Buffer) => this.#receive(chunk));
    stream.on('error', (error) => this.#finish(unavailable(`the connection to QEMU broke: ${error.message}`, error)));
    stream.on('end', () => this.#finish(unavailable('QEMU closed the connection')));
    stream.on('close', () => this.#finish(unavailable('QEMU closed the connection')));
  }

  /**
   * Connects, waits for the greeting and negotiates no capabilities (out-of-band execution is not used).
   * @param target path of a unix socket, or a stream that is connected already and is ours from now on
   * @throws SkerryError `unavailable`, `timeout`, `cancelled`
   */
  static async connect(target: string | Duplex, options: WaitOptions = {}): Promise<QmpClient> {
    const { timeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
    const deadlineMs = performance.now() + timeoutMs;
    const left = (): number => Math.max(1, deadlineMs - performance.now());
    const stream = typeof target === 'string' ? await connectSocket(target, timeoutMs, signal) : target;
    const client = new QmpClient(stream);
    try {
      client.#version = await within(client.#greeting.promise, 'the greeting of QEMU', left(), signal);
      await client.execute('qmp_capabilities', {}, { timeoutMs: left(), signal });
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get version(): QmpVersion {
    if (this.#version === undefined) throw new Error('connect() hands out no client before the greeting');
    return this.#version;
  }

  /**
   * Runs one command. When it times out or is cancelled QEMU may still carry it out; its late answer is ignored.
   * @throws QmpError when QEMU refuses it; SkerryError `unavailable` (connection lost), `timeout`, `cancelled`
   */
  async execute<C extends QmpCommandName>(
    command: C,
    ...[args, options = {}]: Parameters<C>
  ): Promise<QmpCommands[C]['returns']> {
    if (this.#end !== undefined) throw this.#end.error ?? unavailable('the connection to QEMU was closed');
    const { timeoutMs = COMMAND_TIMEOUT_MS, signal } = options;
    if (signal?.aborted === true) throw new SkerryError('cancelled', `Cancelled: ${command}`, { cause: signal.reason });
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, { command, resolve: answer.resolve, reject: answer.reject });
    this.#stream.write(`${JSON.stringify({ execute: command, arguments: args ?? {}, id })}\n`);
    try {
      return (await within(answer.promise, `QEMU's ${command}`, timeoutMs, signal)) as QmpCommands[C]['returns'];
    } finally {
      this.#pending.delete(id);
    }
  }

  /** Calls `listener` for every event from now on. @returns what stops it */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The events from the call on, until the connection ends or the signal aborts (both end the iteration quietly).
   * @throws SkerryError `unavailable` to a reader who left too many unread
   */
  events(options: { signal?: AbortSignal } = {}): AsyncIterableIterator<QmpEvent> {
    const unread: QmpEvent[] = [];
    let wake = Promise.withResolvers<void>();
    let over = false;
    let overflowed = false;
    const stopListening = this.onEvent((event) => {
      if (unread.length < MAX_UNREAD_EVENTS) unread.push(event);
      else overflowed = true;
      wake.resolve();
    });
    const stop = (): void => {
      over = true;
      stopListening();
      wake.resolve();
    };
    void this.closed.then(stop);
    if (options.signal?.aborted === true) stop();
    options.signal?.addEventListener('abort', stop, { once: true });
    return (async function* (): AsyncGenerator<QmpEvent, undefined> {
      try {
        for (;;) {
          if (overflowed) throw unavailable(`more than ${MAX_UNREAD_EVENTS} events of QEMU were left unread`);
          const event = unread.shift();
          if (event !== undefined) yield event;
          else if (over) return;
          else {
            await wake.promise;
            wake = Promise.withResolvers<void>();
          }
        }
      } finally {
        options.signal?.removeEventListener('abort', stop);
        stop();
      }
    })();
  }

  /** Ends the connection; QEMU goes on. What still waits is rejected. */
  close(): void {
    this.#finish(undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }

  #receive(chunk: Buffer): void {
    try {
      for (const line of this.#lines.push(chunk)) {
        if (this.#end !== undefined) return;
        if (line.trim() !== '') this.#dispatch(parseMessage(line));
      }
    } catch (error) {
      this.#finish(unavailable(`the peer does not speak QMP: ${(error as Error).message}`, error));
    }
  }

  #dispatch(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#greeting.resolve(message.version);
        return;
      case 'event':
        // The names of a newer QEMU's events are not in the schema; listeners look at those they know.
        for (const listener of this.#listeners) listener(message as unknown as QmpEvent);
        return;
      case 'return':
      case 'error': {
        if (message.id > this.#lastId) throw new Error(`an answer to command ${message.id}, which was never sent`);
        const pending = this.#pending.get(message.id); // Absent: its caller has given up.
        if (message.kind === 'return') pending?.resolve(message.value);
        else pending?.reject(new QmpError(pending.command, message.error));
      }
    }
  }

  #finish(error: SkerryError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    const reason = error ?? unavailable('the connection to QEMU was closed');
    this.#greeting.reject(reason);
    for (const pending of this.#pending.values()) pending.reject(reason);
    this.#pending.clear();
    this.#stream.destroy();
    this.#settleClosed(error);
  }
}

function unavailable(message: string, cause?: unknown): SkerryError {
  return new SkerryError('unavailable', capitalised(message), {
    remedy: 'See `skerry info` for what became of the virtual machine.',
    ...(cause === undefined ? {} : { cause }),
  });
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

import { connect, type Socket } from 'node:net';
import { SwitchError } from './error.ts';
import { LineReader } from './lines.ts';
import type { ControlResponse, SwitchMethod, SwitchMethods } from './protocol.ts';

const DEFAULT_TIMEOUT_MS = 5000;

export interface SwitchClient extends AsyncDisposable {
  /** @throws SwitchError: the switch's own, `timeout`, or `unavailable` when the connection is lost */
  call<M extends SwitchMethod>(
    method: M,
    ...params: SwitchMethods[M]['params'] extends undefined ? [] : [SwitchMethods[M]['params']]
  ): Promise<SwitchMethods[M]['result']>;
  /** Settles when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  close(): void;
}

/** @throws SwitchError `unavailable` when nobody listens at `controlPath` */
export async function connectSwitch(
  controlPath: string,
  options: { timeoutMs?: number | undefined } = {},
): Promise<SwitchClient> {
  const socket = connect({ path: controlPath });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (cause) =>
      reject(new SwitchError('unavailable', `No switch answers at ${controlPath}: ${cause.message}`, { cause })),
    );
  });
  return new Client(socket, options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
}

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: SwitchError) => void;
}

class Client implements SwitchClient {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor(socket: Socket, timeoutMs: number) {
    this.#socket = socket;
    this.#timeoutMs = timeoutMs;
    const lines = new LineReader((line) => this.#receive(line));
    socket.on('data', (chunk: Buffer) => {
      if (!lines.push(chunk)) socket.destroy();
    });
    socket.on('error', () => {}); // 'close' follows
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        const lost = new SwitchError('unavailable', 'The connection to the switch was lost');
        for (const pending of this.#pending.values()) pending.reject(lost);
        this.#pending.clear();
        resolve();
      });
    });
  }

  async call<M extends SwitchMethod>(method: M, ...params: unknown[]): Promise<SwitchMethods[M]['result']> {
    if (this.#socket.destroyed) throw new SwitchError('unavailable', 'The connection to the switch was lost');
    const id = this.#nextId++;
    const result = new Promise<unknown>((resolve, reject) => this.#pending.set(id, { resolve, reject }));
    const timer = setTimeout(() => {
      const message = `The switch did not answer ${method} within ${this.#timeoutMs} ms`;
      this.#pending.get(id)?.reject(new SwitchError('timeout', message));
      this.#pending.delete(id);
    }, this.#timeoutMs);
    this.#socket.write(`${JSON.stringify({ id, method, params: params[0] })}\n`);
    try {
      return (await result) as SwitchMethods[M]['result'];
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.closed;
  }

  #receive(line: string): void {
    const response = JSON.parse(line) as ControlResponse;
    const pending = this.#pending.get(response.id ?? 0);
    if (pending === undefined) return;
    this.#pending.delete(response.id ?? 0);
    if (response.error === undefined) pending.resolve(response.result);
    else pending.reject(new SwitchError(response.error.code, response.error.message));
  }
}

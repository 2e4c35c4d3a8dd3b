import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import {
  hasTaskEnded,
  type OperationBody,
  type OperationId,
  type OperationResult,
  type OPERATIONS,
  routeOf,
  SkerryError,
  type Task,
  type TaskProgress,
} from '@skerry/api/base';
import type WebSocket from 'ws';
import { type Endpoint, ensureDaemon, findEndpoint } from './daemon-process/index.ts';
import { Pools, Templates } from './templates.ts';
import { HttpTransport, type Query } from './transport/http.ts';
import { parseNdjson } from './transport/ndjson.ts';
import { connectionError } from './transport/problem.ts';
import { openSocket } from './transport/socket.ts';
import { ExecProcess } from './vms/exec-process.ts';
import type { ExecOptions } from './vms/exec.ts';
import { VM } from './vms/vm.ts';

type Table = typeof OPERATIONS;

/** The operations of one kind: `OperationsOf<'task'>`. */
export type OperationsOf<K> = { [I in OperationId]: Table[I]['kind'] extends K ? I : never }[OperationId];

type PathParams<P> = P extends `${string}{${infer Name}}${infer Rest}`
  ? { readonly [N in Name]: string } & PathParams<Rest>
  : unknown;
type QueryNames<I extends OperationId> = Table[I] extends { query: { _zod: { input: infer Q } } }
  ? keyof Q & string
  : never;
type ParamsOption<I extends OperationId> =
  unknown extends PathParams<Table[I]['path']> ? unknown : { readonly params: PathParams<Table[I]['path']> };
type BodyOption<I extends OperationId> =
  OperationBody<I> extends undefined ? unknown : { readonly body: OperationBody<I> };

/** What an operation is called with: the parameters of its path, its query and its body, as the contract has them. */
export type CallOptions<I extends OperationId> = ParamsOption<I> &
  BodyOption<I> & {
    readonly query?: { readonly [N in QueryNames<I>]?: string | number | boolean | undefined } | undefined;
    readonly signal?: AbortSignal | undefined;
  };
/** No second argument where nothing is required. */
type Rest<O> = {} extends O ? [options?: O] : [options: O];

export type RunOptions = {
  /** Called whenever the task has something new to say. */
  readonly onProgress?: ((progress: TaskProgress, task: Task) => void) | undefined;
  /** Called with the task as it was accepted. */
  readonly onTask?: ((task: Task) => void) | undefined;
};

interface LooseOptions {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Query;
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** A connection to one daemon. Every call throws SkerryError. */
export class Skerry implements Disposable {
  readonly templates = new Templates(this);
  readonly pools = new Pools(this);
  readonly #transport: HttpTransport;

  constructor(endpoint: Endpoint) {
    this.#transport = new HttpTransport(endpoint);
  }

  /** One exchange. An operation of kind `task` answers with the Task as it was accepted; `run` follows it to its end. */
  async call<I extends OperationsOf<'json' | 'task'>>(
    id: I,
    ...[options]: Rest<CallOptions<I>>
  ): Promise<I extends OperationsOf<'task'> ? Task : OperationResult<I>> {
    return (await this.#transport.json(requestOf(id, options))) as never;
  }

  /**
   * Does a task and waits for its end. When `signal` is aborted it is cancelled, and has taken back what it did when
   * this throws.
   * @throws SkerryError the task's error, or `cancelled`
   */
  async run<I extends OperationsOf<'task'>>(
    id: I,
    ...[options]: Rest<CallOptions<I> & RunOptions>
  ): Promise<OperationResult<I>> {
    const { onProgress, onTask, signal } = (options ?? {}) as RunOptions & LooseOptions;
    signal?.throwIfAborted();
    // Not aborted half-way: a request whose answer was lost could have started what nobody cancels.
    const task = (await this.#transport.json({ ...requestOf(id, options), signal: undefined })) as Task;
    onTask?.(task);
    return (await this.follow(task, { onProgress, signal })) as OperationResult<I>;
  }

  /** Waits for the end of a task that was accepted. As `run`. */
  async follow(task: Task, options: RunOptions & { readonly signal?: AbortSignal | undefined } = {}): Promise<unknown> {
    const { onProgress, signal } = options;
    let cancelling: Promise<unknown> | undefined;
    const cancel = (): void => {
      // It may have ended in this moment: what the watch says counts.
      cancelling = this.call('task.cancel', { params: { task: task.id } }).catch(() => {});
    };
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      const last = hasTaskEnded(task) ? task : await this.#lastOf(task, onProgress);
      if (last.state === 'succeeded') return last.result;
      throw failureOf(last);
    } finally {
      signal?.removeEventListener('abort', cancel);
      await cancelling;
    }
  }

  /** The values of an operation of kind `ndjson` as they come. Leaving the loop ends it. */
  async *stream<I extends OperationsOf<'ndjson'>>(
    id: I,
    ...[options]: Rest<CallOptions<I>>
  ): AsyncGenerator<OperationResult<I>, void, undefined> {
    const response = await this.#transport.send(requestOf(id, options));
    try {
      yield* parseNdjson(response) as AsyncGenerator<OperationResult<I>, void, undefined>;
    } catch (error) {
      throw connectionError(error, this.#transport.where);
    } finally {
      response.destroy();
    }
  }

  /** An operation of kind `bytes` that answers with bytes. */
  async download<I extends OperationsOf<'bytes'>>(id: I, ...[options]: Rest<CallOptions<I>>): Promise<IncomingMessage> {
    return await this.#transport.send(requestOf(id, options));
  }

  /** An operation of kind `bytes` that takes them. */
  async upload<I extends OperationsOf<'bytes'>>(
    id: I,
    options: CallOptions<I> & { readonly source: Readable },
  ): Promise<OperationResult<I>> {
    return (await this.#transport.json({ ...requestOf(id, options), source: options.source })) as OperationResult<I>;
  }

  /** @internal The WebSocket of `vm.exec` and `vm.console`. */
  socket(id: OperationsOf<'websocket'>, vm: string, onFailure: (error: SkerryError) => void): WebSocket {
    return openSocket(this.#transport, routeOf(id, { vm }).path, onFailure);
  }

  /** Runs a command in a VM that is named by NAME, NODE/NAME or id. See `VM.exec`. */
  exec(vm: string, command: string | readonly string[], options: ExecOptions = {}): ExecProcess {
    return new ExecProcess(command, options, (onFailure) => this.socket('vm.exec', vm, onFailure));
  }

  /** A handle of a VM: NAME, NODE/NAME or id. @throws SkerryError `not-found` */
  async vm(ref: string): Promise<VM> {
    return new VM(this, await this.call('vm.get', { params: { vm: ref } }));
  }

  async vms(): Promise<VM[]> {
    return (await this.call('vm.list')).map((resource) => new VM(this, resource));
  }

  /** Closes its idle connections. */
  close(): void {
    this.#transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #lastOf(task: Task, onProgress: RunOptions['onProgress']): Promise<Task> {
    let last = task;
    let said = '';
    for await (const now of this.stream('task.watch', { params: { task: task.id } })) {
      last = now;
      const progress = JSON.stringify(now.progress);
      if (now.progress !== undefined && progress !== said) onProgress?.(now.progress, now);
      said = progress;
    }
    if (hasTaskEnded(last)) return last;
    throw new SkerryError('unavailable', `The daemon went away during: ${task.description}`, {
      remedy: `See \`skerry daemon logs\`, then \`skerry task show ${task.id}\`.`,
    });
  }
}

export interface ConnectOptions {
  readonly socketPath?: string | undefined;
  /** `http://ADDRESS:PORT` */
  readonly url?: string | undefined;
  /** As the CLI's `--host`; without any of these, as the CLI finds its daemon. */
  readonly host?: string | undefined;
}

/** A client of the daemon that is named, or of the one that the CLI would use; connects with the first call. */
export function connect(options: ConnectOptions = {}): Skerry {
  if (options.socketPath === undefined && options.url === undefined) return new Skerry(findEndpoint(options.host));
  return new Skerry({ socketPath: options.socketPath, url: options.url, own: false });
}

let defaultClient: Promise<Skerry> | undefined;

/** The client of `createVM`: finds the daemon as the CLI does, and starts it if it does not run. */
export function getDefaultClient(): Promise<Skerry> {
  defaultClient ??= ensureDaemon().then(
    (endpoint) => new Skerry(endpoint),
    (error: unknown) => {
      defaultClient = undefined;
      throw error;
    },
  );
  return defaultClient;
}

/**
 * Of a task that did not succeed. One that was cancelled carries an error when something else ended it (`cancelled`, with
 * the reason), or when it could not take everything back.
 */
function failureOf({ state, error, description }: Task): SkerryError {
  if (state !== 'cancelled') {
    return error === undefined ? new SkerryError('internal', `${description}: ${state}`) : SkerryError.fromBody(error);
  }
  const unclean = error === undefined ? '' : `, but not cleanly: ${error.message}`;
  const how = error?.code === 'cancelled' ? error.message : `cancelled${unclean}`;
  return new SkerryError('cancelled', `${description}: ${how}`, {
    remedy: error?.remedy,
    details: error?.details,
  });
}

function requestOf(id: OperationId, options: unknown) {
  const { params, query, body, signal } = (options ?? {}) as LooseOptions;
  return { ...routeOf(id, params), query, body, signal };
}

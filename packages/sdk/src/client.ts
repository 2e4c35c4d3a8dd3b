import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import {
  type ConnectRequestInput,
  hasTaskEnded,
  type LinkInfo,
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
import { NodeHandle } from './nodes/node.ts';
import { ensureDaemon, type EnsureOptions, findEndpoint } from './daemon-process/index.ts';
import { Images } from './images.ts';
import { Pools, Templates } from './templates.ts';
import { HttpTransport, type Query } from './transport/http.ts';
import { parseNdjson } from './transport/ndjson.ts';
import { connectionError } from './transport/problem.ts';
import { openSocket } from './transport/socket.ts';
import { ExecProcess } from './vms/exec-process.ts';
import type { ExecOptions } from './vms/exec.ts';
import type { Tunnel } from './vms/guest-stream.ts';
import { openTunnel } from './vms/tunnel.ts';
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
  readonly images = new Images(this);
  readonly templates = new Templates(this);
  readonly pools = new Pools(this);
  readonly #transport: HttpTransport;

  /** Of the daemon that is named, or of the one that the CLI would use. Connects with the first call, starts nothing. */
  constructor(options: ConnectOptions = {}) {
    const { host, socketPath, url } = options;
    const named = socketPath !== undefined || url !== undefined;
    this.#transport = new HttpTransport(named ? { socketPath, url, own: false } : findEndpoint(host));
  }

  /** Of the daemon that the CLI would use, which is started if it does not run. @throws SkerryError `unavailable` */
  static async start(options: EnsureOptions = {}): Promise<Skerry> {
    return new Skerry(await ensureDaemon(options));
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

  /** Makes a wire between two NICs that are not there yet, such as `web:eth1` and `db:eth1`; VMs that run have them at once. */
  async link(a: string, b: string, options: RunOptions & { readonly signal?: AbortSignal } = {}): Promise<LinkInfo> {
    return await this.run('link.create', { body: { ends: [a, b] }, ...options });
  }

  /** @internal The WebSocket of `vm.exec`, `vm.console` and `vm.connect`. */
  socket(id: OperationsOf<'websocket'>, vm: string, onFailure: (error: SkerryError) => void): WebSocket {
    return openSocket(this.#transport, routeOf(id, { vm }).path, onFailure);
  }

  /** Runs a command in a VM that is named by NAME, NODE/NAME or id. See `VM.exec`. */
  exec(vm: string, command: string | readonly string[], options: ExecOptions = {}): ExecProcess {
    return new ExecProcess(command, options, (onFailure) => this.socket('vm.exec', vm, onFailure));
  }

  /**
   * A stream to a TCP port inside a VM, or a session of its ssh server: whatever its networks let through, and through them.
   * Each direction ends by itself.
   * @throws SkerryError `unavailable` (nothing listens there), `unsupported` (no ssh server), `wrong-state`, `not-found`
   */
  connectTo(vm: string, to: ConnectRequestInput, signal?: AbortSignal): Promise<Tunnel> {
    return openTunnel((onFailure) => this.socket('vm.connect', vm, onFailure), to, signal);
  }

  /** A handle of a VM: NAME, NODE/NAME or id. @throws SkerryError `not-found` */
  async vm(ref: string): Promise<VM> {
    return new VM(this, await this.call('vm.get', { params: { vm: ref } }));
  }

  /**
   * @param selector only those whose labels are so: `tier=front`, `tier in (a,b)`, `!legacy`; a comma is an `and`
   * @throws SkerryError `invalid` (the selector)
   */
  async vms({ selector }: { readonly selector?: string | undefined } = {}): Promise<VM[]> {
    return (await this.call('vm.list', { query: { selector } })).map((resource) => new VM(this, resource));
  }

  /** A handle of a node by its name or id. @throws SkerryError `not-found` */
  async node(ref: string): Promise<NodeHandle> {
    return new NodeHandle(this, await this.call('node.get', { params: { node: ref } }));
  }

  async nodes(): Promise<NodeHandle[]> {
    return (await this.call('node.list')).map((resource) => new NodeHandle(this, resource));
  }

  /**
   * Makes a node what is declared (`loadNodeFile` reads it from a file), and starts it.
   * @param options.ephemeral `await using` deletes it at the end of the block
   */
  async up(
    declared: OperationBody<'node.up'>,
    {
      ephemeral = false,
      ...options
    }: RunOptions & { readonly signal?: AbortSignal; readonly ephemeral?: boolean } = {},
  ): Promise<NodeHandle> {
    return new NodeHandle(this, await this.run('node.up', { body: declared, ...options }), { ephemeral });
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
  return new Skerry(options);
}

let defaultClient: Promise<Skerry> | undefined;

/** The client of `createVM`: finds the daemon as the CLI does, and starts it if it does not run. */
export function getDefaultClient(): Promise<Skerry> {
  defaultClient ??= Skerry.start().catch((error: unknown) => {
    defaultClient = undefined;
    throw error;
  });
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

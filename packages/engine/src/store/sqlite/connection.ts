import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { SkerryError, type ErrorBody } from '@skerry/api';
import type { Lease, StoreEntry, StoreEvent, TxnResult } from '../port.ts';
import type { Command, FromWorker, ToWorker, WorkerOptions } from './messages.ts';

/** More would only make the first of them wait longer for the same fsync. */
const MAX_BATCH = 256;

export interface Loaded {
  readonly revision: number;
  readonly leases: readonly Lease[];
}

export interface ConnectionHandlers {
  readonly onEntries: (entries: readonly StoreEntry[]) => void;
  /** Called in the order of commits, before the command that made the changes resolves. */
  readonly onCommitted: (revision: number, events: readonly StoreEvent[]) => void;
  /** It will commit no more. */
  readonly onBroken: (error: SkerryError) => void;
}

interface Pending {
  readonly command: Command;
  readonly resolve: (result: TxnResult) => void;
  readonly reject: (error: SkerryError) => void;
}

/** The way to the store's thread: while one batch is being committed, the next gathers (group commit). */
export class Connection {
  readonly loaded: Promise<Loaded>;
  readonly #handlers: ConnectionHandlers;
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #opening = Promise.withResolvers<Loaded>();
  #waiting: Pending[] = [];
  #committing: Pending[] = [];
  #scheduled = false;
  #ended: SkerryError | undefined;
  #drained: (() => void) | undefined;
  readonly #copies: Array<{ readonly resolve: () => void; readonly reject: (error: SkerryError) => void }> = [];

  constructor(options: WorkerOptions, handlers: ConnectionHandlers) {
    this.#handlers = handlers;
    this.loaded = this.#opening.promise;
    // Unbuilt it is worker.ts, in dist worker.js: the same as this file.
    const file = new URL(`./worker${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(file, { workerData: options, execArgv: [] });
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#break(SkerryError.from(error)));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#break(closedError());
        resolve();
      });
    });
  }

  submit(command: Command): Promise<TxnResult> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ command, resolve, reject });
      this.#schedule();
    });
  }

  /** A copy of the file, with at least what was committed before. @param to an empty file, or none */
  copy(to: string): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#copies.push({ resolve, reject });
      this.#post({ type: 'copy', to });
    });
  }

  /** Commits what was submitted, then closes the file. */
  async close(): Promise<void> {
    if (this.#ended === undefined) {
      this.#ended = closedError();
      if (this.#waiting.length + this.#committing.length > 0) {
        await new Promise<void>((resolve) => (this.#drained = resolve));
      }
      this.#post({ type: 'close' });
    }
    await this.#exited;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** In a microtask: what one turn of the event loop submits goes together. */
  #schedule(): void {
    if (this.#scheduled || this.#committing.length > 0 || this.#waiting.length === 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#committing = this.#waiting.splice(0, MAX_BATCH);
      if (this.#committing.length === 0) return;
      this.#post({ type: 'batch', commands: this.#committing.map((pending) => pending.command) });
    });
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'entries':
        return this.#handlers.onEntries(message.entries);
      case 'opened':
        return this.#opening.resolve({ revision: message.revision, leases: message.leases });
      case 'copied': {
        const copy = this.#copies.shift();
        if (message.error === undefined) copy?.resolve();
        else copy?.reject(errorOf(message.error));
        return;
      }
      case 'broken':
        return this.#break(errorOf(message.error));
      case 'committed': {
        const batch = this.#committing;
        this.#committing = [];
        for (const [index, outcome] of message.outcomes.entries()) {
          if (!outcome.ok) {
            batch[index]?.reject(errorOf(outcome.error));
            continue;
          }
          this.#handlers.onCommitted(outcome.result.revision, outcome.events);
          batch[index]?.resolve(outcome.result);
        }
        this.#schedule();
        if (this.#waiting.length === 0) this.#drained?.();
      }
    }
  }

  #break(error: SkerryError): void {
    this.#ended ??= error;
    this.#opening.reject(error);
    for (const pending of [...this.#committing, ...this.#waiting, ...this.#copies.splice(0)]) pending.reject(error);
    this.#committing = [];
    this.#waiting = [];
    this.#drained?.();
    this.#handlers.onBroken(error);
  }
}

function closedError(): SkerryError {
  return new SkerryError('unavailable', 'The store is closed', { remedy: 'Start the daemon: `skerry daemon start`.' });
}

function errorOf(body: ErrorBody): SkerryError {
  return SkerryError.fromBody(body);
}

import { hasTaskEnded, SkerryError, type Task } from '@skerry/api';
import { inTask, type TaskContext } from './context.ts';
import type { TaskLogWriter } from './task-log.ts';

/** A task while it runs here: its newest state in memory, written through at most every so often. */

export interface LiveTaskOptions {
  readonly flushIntervalMs: number;
  readonly log: TaskLogWriter;
  /** Writes the state; called again until it succeeds. */
  readonly persist: (task: Task) => Promise<void>;
  readonly onError: (error: SkerryError) => void;
}

export type TaskBody = (context: TaskContext) => unknown;

const RETRY_MS = 500;

export class LiveTask {
  readonly #options: LiveTaskOptions;
  readonly #abort = new AbortController();
  readonly #ended = new AbortController();
  #task: Task;
  #isDirty = true;
  #writing: Promise<void> | undefined;
  #lastWriteMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(task: Task, options: LiveTaskOptions) {
    this.#task = task;
    this.#options = options;
  }

  get task(): Task {
    return this.#task;
  }

  /** Aborted once it has ended and its last state was written, or could not be. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Runs the body to its end; never rejects. */
  async run(body: TaskBody): Promise<void> {
    const { signal } = this.#abort;
    const context: TaskContext = {
      id: this.#task.id,
      signal,
      progress: (message, fraction) => {
        const bounded = fraction === undefined ? {} : { fraction: Math.min(1, Math.max(0, fraction)) };
        this.#change({ progress: { message, ...bounded } });
      },
      log: (line) => {
        if (hasTaskEnded(this.#task)) return;
        this.#options.log.add(line);
        this.#flushSoon();
      },
    };
    try {
      signal.throwIfAborted();
      this.#change({ state: 'running', startedAt: this.#task.startedAt ?? new Date().toISOString() });
      void this.#flush();
      const result = await inTask(
        context,
        () => hasTaskEnded(this.#task),
        async () => body(context),
      );
      // A result that is no JSON fails here, where it is this task's error, rather than at the write.
      await this.#end({ state: 'succeeded', ...(result === undefined ? {} : { result: jsonOf(result) }) });
    } catch (error) {
      await this.#end(this.#failure(error));
    }
  }

  cancel(): void {
    if (hasTaskEnded(this.#task) || this.#task.cancelRequested) return;
    this.#change({ cancelRequested: true });
    void this.#flush();
    this.#abort.abort(new SkerryError('cancelled', `Cancelled: ${this.#task.description}`));
  }

  /** The daemon stops: what it was doing did not end by anybody's wish. */
  interrupt(): void {
    if (!hasTaskEnded(this.#task)) this.#abort.abort(interruptedError());
  }

  /** Ends with the task it was started in, and in the same way. */
  endWith(parent: AbortSignal): void {
    const end = (): void => {
      const wasCancelled = parent.reason instanceof SkerryError && parent.reason.code === 'cancelled';
      if (wasCancelled) this.cancel();
      else this.interrupt();
    };
    if (parent.aborted) end();
    else parent.addEventListener('abort', end, { once: true, signal: this.#ended.signal });
  }

  #failure(error: unknown): Partial<Task> {
    const thrown = SkerryError.from(error);
    // What ended by another's wish, as an `up` of a node that is taken down, says whose.
    const state = thrown.code === 'cancelled' ? 'cancelled' : 'failed';
    if (!this.#abort.signal.aborted) return { state, error: thrown.toBody() };
    const reason: unknown = this.#abort.signal.reason;
    if (!this.#task.cancelRequested) return { state: 'failed', error: SkerryError.from(reason).toBody() };
    // What went wrong while it took things back is worth knowing; that it was cancelled is known.
    const isPlain = error === reason || thrown.code === 'cancelled';
    return { state: 'cancelled', ...(isPlain ? {} : { error: thrown.toBody() }) };
  }

  async #end(change: Partial<Task>): Promise<void> {
    clearTimeout(this.#timer);
    await this.#options.log.flush().catch((error: unknown) => this.#options.onError(SkerryError.from(error)));
    this.#change({ ...change, endedAt: new Date().toISOString() });
    await this.#flush();
    this.#ended.abort();
  }

  #change(change: Partial<Task>): void {
    if (hasTaskEnded(this.#task)) return;
    this.#task = { ...this.#task, ...change };
    this.#isDirty = true;
    this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#timer !== undefined) return;
    const waitMs = this.#lastWriteMs + this.#options.flushIntervalMs - Date.now();
    this.#timer = setTimeout(() => void this.#flush(), Math.max(0, waitMs)).unref();
  }

  /** Resolves after one attempt to write the newest state. */
  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // What is on its way is older; of those who wait here the first writes for all.
    await this.#writing;
    this.#writing ??= this.#write();
    await this.#writing;
  }

  async #write(): Promise<void> {
    this.#lastWriteMs = Date.now();
    try {
      await this.#options.log.flush();
      if (this.#isDirty) {
        this.#isDirty = false;
        await this.#options.persist(this.#task);
      }
    } catch (error) {
      this.#isDirty = true;
      this.#options.onError(SkerryError.from(error));
      if (!isClosed(error)) this.#timer ??= setTimeout(() => void this.#flush(), RETRY_MS).unref();
    }
    this.#writing = undefined;
  }
}

export function interruptedError(): SkerryError {
  return new SkerryError('unavailable', 'interrupted: the daemon stopped while it ran', {
    remedy: 'Look at what it worked on, then start it again if it is still wanted.',
  });
}

function isClosed(error: unknown): boolean {
  return error instanceof SkerryError && error.code === 'unavailable';
}

function jsonOf(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? undefined : JSON.parse(text);
}

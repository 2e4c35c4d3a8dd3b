import { hasTaskEnded, SkerryError, type ResourceRef, type Task, type TaskLogLine, type TaskState } from '@skerry/api';
import { StoreCompactedError, uuidv7, type Store, type StoreEntry, type StoreOp } from '../store/index.ts';
import { currentTask, type TaskContext } from './context.ts';
import { interruptedError, LiveTask, type TaskBody } from './live-task.ts';
import { taskLogJournal, taskLogPrefix, TaskLogWriter } from './task-log.ts';

export interface TaskInput {
  readonly kind: string;
  readonly target?: ResourceRef | undefined;
  /** 'Start web': what a list shows. */
  readonly description: string;
  readonly run: (context: TaskContext) => unknown;
}

export interface TaskServiceOptions {
  /** Ended tasks that are kept. Default 1000. */
  readonly keep?: number | undefined;
  /** Progress and log are written this often at most. Default 200. */
  readonly flushIntervalMs?: number | undefined;
  /** One begins or has ended, as its state says. */
  readonly onState?: ((task: Task) => void) | undefined;
  /** A state could not be written (it is tried again). */
  readonly onError?: ((error: SkerryError) => void) | undefined;
}

export interface TaskQuery {
  readonly states?: readonly TaskState[] | undefined;
  readonly targetId?: string | undefined;
  /** Default 100. */
  readonly limit?: number | undefined;
  /** Only tasks older than this one. */
  readonly after?: string | undefined;
}

/** Goes on with a task that was running when the daemon stopped. */
export type TaskResumer = (task: Task, context: TaskContext) => unknown;

const PREFIX = '/tasks/';
const PAGE = 200;
/** With their logs' deletes and the task itself well below the store's bound of 128 operations. */
const MAX_PRUNED_AT_ONCE = 20;

/** Asynchronous operations with progress, log, result or error; cancellable; they outlive who asked for them. */
export class TaskService {
  readonly #store: Store;
  readonly #keep: number;
  readonly #flushIntervalMs: number;
  readonly #onError: (error: SkerryError) => void;
  readonly #onState: (task: Task) => void;
  readonly #live = new Map<string, LiveTask>();
  readonly #resumers = new Map<string, TaskResumer>();
  /** Ids of stored tasks that have ended, oldest first. */
  #endedIds: string[] = [];
  #isClosed = false;

  constructor(store: Store, options: TaskServiceOptions = {}) {
    this.#store = store;
    this.#keep = options.keep ?? 1000;
    this.#flushIntervalMs = options.flushIntervalMs ?? 200;
    this.#onError = options.onError ?? (() => undefined);
    this.#onState = options.onState ?? (() => undefined);
  }

  /** Before `recover`: tasks of this kind go on after a restart of the daemon, instead of failing. */
  registerResumer(kind: string, resumer: TaskResumer): void {
    this.#resumers.set(kind, resumer);
  }

  /** Once, at start: what the last daemon left running is resumed or marked failed, before anything new is asked. */
  async recover(): Promise<void> {
    const { entries } = await this.#store.range({ prefix: PREFIX });
    const tasks = entries.map(decode).filter((task) => !this.#live.has(task.id));
    const ended = tasks.filter(hasTaskEnded).sort((a, b) => ((a.endedAt ?? '') < (b.endedAt ?? '') ? -1 : 1));
    this.#endedIds = ended.map((task) => task.id);
    await Promise.all(tasks.filter((task) => !hasTaskEnded(task)).map((task) => this.#recoverOne(task)));
  }

  /**
   * Starts it and returns at once; it may not be on disk yet. Within another task, it is cancelled with that one.
   * @throws SkerryError `unavailable` (the daemon is stopping)
   */
  start(input: TaskInput): Task {
    const parent = currentTask();
    const task: Task = {
      id: uuidv7(),
      kind: input.kind,
      ...(input.target === undefined ? {} : { target: input.target }),
      description: input.description,
      state: 'pending',
      cancelRequested: false,
      ...(parent === undefined ? {} : { parentId: parent.id }),
      createdAt: new Date().toISOString(),
    };
    this.#launch(task, input.run, parent?.signal);
    return task;
  }

  /** @throws SkerryError `not-found` */
  async get(id: string): Promise<Task> {
    const live = this.#live.get(id);
    if (live !== undefined) return live.task;
    const entry = await this.#store.get(PREFIX + id);
    if (entry === undefined) throw notFound(id);
    return decode(entry);
  }

  /** Newest first. */
  async list(query: TaskQuery = {}): Promise<Task[]> {
    const limit = query.limit ?? 100;
    const found: Task[] = [];
    let after = query.after === undefined ? undefined : PREFIX + query.after;
    for (;;) {
      const page = await this.#store.range({ prefix: PREFIX, reverse: true, limit: PAGE, after });
      for (const entry of page.entries) {
        const task = this.#live.get(entry.key.slice(PREFIX.length))?.task ?? decode(entry);
        if (query.states !== undefined && !query.states.includes(task.state)) continue;
        if (query.targetId !== undefined && task.target?.id !== query.targetId) continue;
        found.push(task);
        if (found.length >= limit) return found;
      }
      if (!page.more) return found;
      after = page.entries.at(-1)?.key;
    }
  }

  /**
   * Asks it to end; it does once it has taken back what it made (`wait` for that). Asking twice is asking once.
   * @throws SkerryError `not-found`, `wrong-state` (it has ended)
   */
  async cancel(id: string): Promise<Task> {
    const live = this.#live.get(id);
    if (live !== undefined && !hasTaskEnded(live.task)) {
      live.cancel();
      return live.task;
    }
    const { state } = await this.get(id);
    throw new SkerryError('wrong-state', `The task has ended: ${state}`, {
      remedy: `See how: \`skerry task show ${id}\`.`,
      details: { id, state },
    });
  }

  /** The task once it has ended, well or not. @throws SkerryError `not-found`, `cancelled` (only the wait is) */
  async wait(id: string, signal?: AbortSignal): Promise<Task> {
    let last: Task | undefined;
    for await (const task of this.watch(id, signal)) last = task;
    if (last !== undefined && hasTaskEnded(last)) return last;
    throw new SkerryError('cancelled', 'Stopped waiting for the task; it goes on', {
      remedy: `See it: \`skerry task show ${id}\`; end it: \`skerry task cancel ${id}\`.`,
    });
  }

  /** What its body returned. @throws SkerryError its error, or `cancelled` */
  async result(id: string, signal?: AbortSignal): Promise<unknown> {
    const task = await this.wait(id, signal);
    if (task.error !== undefined) throw SkerryError.fromBody(task.error);
    if (task.state === 'cancelled') throw new SkerryError('cancelled', `Cancelled: ${task.description}`);
    return task.result;
  }

  /** Its state now and after each change (some may be left out), up to its end. @throws SkerryError `not-found` */
  async *watch(id: string, signal?: AbortSignal): AsyncGenerator<Task, void, void> {
    const live = this.#live.get(id);
    const key = PREFIX + id;
    const signals = [signal, live?.ended].filter((each) => each !== undefined);
    while (signal?.aborted !== true) {
      const { entries, revision } = await this.#store.range({ prefix: key, limit: 1 });
      const now = entries[0] === undefined ? await this.get(id) : decode(entries[0]);
      yield now;
      if (hasTaskEnded(now)) return;
      try {
        const changes = { prefix: key, fromRevision: revision + 1, signal: AbortSignal.any(signals) };
        for await (const event of this.#store.watch(changes)) {
          if (event.type === 'delete') return;
          const task = decode(event.entry);
          yield task;
          if (hasTaskEnded(task)) return;
        }
      } catch (error) {
        if (!(error instanceof StoreCompactedError)) throw error;
      }
      if (live?.ended.aborted !== true) continue;
      // Its end may not have come through the store: a full disk must not make anybody wait for ever.
      yield live.task;
      return;
    }
  }

  /** @throws SkerryError `not-found` */
  async log(id: string): Promise<TaskLogLine[]> {
    await this.get(id);
    return (await taskLogJournal(this.#store, id).list({ after: 0 })).flatMap(({ item }) => item);
  }

  /** All its lines, as they come, up to its end. @throws SkerryError `not-found` */
  async *followLog(id: string, signal?: AbortSignal): AsyncGenerator<TaskLogLine, void, void> {
    await this.get(id);
    const journal = taskLogJournal(this.#store, id);
    const ended = new AbortController();
    const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
    const waiting = this.wait(id, stop)
      .catch(() => undefined)
      .finally(() => ended.abort());
    let last = 0;
    try {
      for await (const chunk of journal.follow({ fromId: 1, signal: stop })) {
        last = chunk.id;
        yield* chunk.item;
      }
      // Its last lines are on disk before its end is.
      if (signal?.aborted !== true) yield* (await journal.list({ after: last })).flatMap(({ item }) => item);
    } finally {
      ended.abort();
      await waiting;
    }
  }

  /** Interrupts what runs and gives it some time to take back what it made. Nothing starts any more. */
  async close(options: { timeoutMs?: number } = {}): Promise<void> {
    this.#isClosed = true;
    const running = [...this.#live.values()];
    for (const live of running) live.interrupt();
    const deadline = AbortSignal.timeout(options.timeoutMs ?? 5000);
    await Promise.all(running.map((live) => aborted(AbortSignal.any([live.ended, deadline]))));
  }

  #launch(task: Task, body: TaskBody, parentSignal: AbortSignal | undefined): void {
    if (this.#isClosed) {
      throw new SkerryError('unavailable', 'The daemon is stopping', { remedy: 'Try again once it runs again.' });
    }
    const live = new LiveTask(task, {
      flushIntervalMs: this.#flushIntervalMs,
      log: new TaskLogWriter(taskLogJournal(this.#store, task.id)),
      persist: (state) => this.#persist(state),
      onError: this.#onError,
    });
    this.#live.set(task.id, live);
    if (parentSignal !== undefined) live.endWith(parentSignal);
    // In a microtask: whoever started it has the id before anything happens.
    queueMicrotask(() => {
      this.#onState(live.task);
      void live.run(body).then(() => this.#onState(live.task));
    });
  }

  async #recoverOne(task: Task): Promise<void> {
    const resumer = this.#resumers.get(task.kind);
    if (resumer !== undefined && !task.cancelRequested) {
      this.#launch(task, (context) => resumer(task, context), undefined);
      return;
    }
    const error = interruptedError().toBody();
    await this.#persist({ ...task, state: 'failed', error, endedAt: new Date().toISOString() });
  }

  async #persist(task: Task): Promise<void> {
    const ops: StoreOp[] = [{ type: 'put', key: PREFIX + task.id, value: JSON.stringify(task) }];
    if (!hasTaskEnded(task)) {
      await this.#store.txn({ then: ops });
      return;
    }
    const excess = Math.min(MAX_PRUNED_AT_ONCE, Math.max(0, this.#endedIds.length + 1 - this.#keep));
    const pruned = this.#endedIds.splice(0, excess);
    for (const id of pruned) {
      ops.push({ type: 'delete', key: PREFIX + id }, { type: 'deletePrefix', prefix: taskLogPrefix(id) });
    }
    try {
      await this.#store.txn({ then: ops });
    } catch (error) {
      this.#endedIds.unshift(...pruned);
      throw error;
    }
    this.#endedIds.push(task.id);
    this.#live.delete(task.id);
  }
}

function decode(entry: StoreEntry): Task {
  return JSON.parse(entry.value) as Task;
}

function notFound(id: string): SkerryError {
  return new SkerryError('not-found', `There is no task ${id}`, {
    remedy: 'See what there is: `skerry task list`. Only the newest ended tasks are kept.',
  });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What happens later, in the order of its time. All of a switch's delays and ends hang on the one timer here. */

export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  /** Calls `body` once, not before `delayMs` have passed. @returns what takes it back */
  wake(delayMs: number, body: () => void): () => void;
}

export const MONOTONIC: Clock = {
  nowMs: () => performance.now(),
  wake: (delayMs, body) => {
    if (delayMs <= 0) {
      // Not at once: sockets are read and written in between.
      const immediate = setImmediate(body);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(body, Math.ceil(delayMs));
    return () => clearTimeout(timer);
  },
};

/** A binary heap: the earliest first, and of equally early ones the first that came. */
export class TimeHeap<T extends { readonly dueMs: number }> {
  readonly #items: { readonly item: T; readonly order: number }[] = [];
  #nextOrder = 0;

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0]?.item;
  }

  push(item: T): void {
    const items = this.#items;
    const added = { item, order: this.#nextOrder++ };
    let at = items.length;
    items.push(added);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(added, items[parent]!)) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = added;
  }

  pop(): T | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (first === undefined || last === undefined || items.length === 0) return first?.item;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1]!, items[child]!)) child += 1;
      if (!isBefore(items[child]!, last)) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first.item;
  }

  /** In order. */
  drain(): T[] {
    return Array.from({ length: this.size }, () => this.pop()!);
  }
}

interface Timed {
  readonly item: { readonly dueMs: number };
  readonly order: number;
}

function isBefore(a: Timed, b: Timed): boolean {
  return a.item.dueMs < b.item.dueMs || (a.item.dueMs === b.item.dueMs && a.order < b.order);
}

/** Something that has work at a time. */
export interface Task {
  /** Does what is due, or a fair part of it. @returns when there is more to do; Infinity: when it is told */
  run(nowMs: number): number;
}

export class Schedule {
  readonly clock: Clock;
  readonly #onError: (error: unknown) => void;
  readonly #tickets = new TimeHeap<{ readonly dueMs: number; readonly task: Task }>();
  /** The earliest ticket of each task; its others count no more. */
  readonly #dueMs = new Map<Task, number>();
  #wakesAtMs = Infinity;
  #takeBack: (() => void) | undefined;

  /** @param onError a task threw: it is not run again by itself, the others go on */
  constructor(clock: Clock, onError: (error: unknown) => void) {
    this.clock = clock;
    this.#onError = onError;
  }

  /** The task runs at that time, or earlier if that was said before. */
  at(task: Task, dueMs: number): void {
    if (dueMs >= (this.#dueMs.get(task) ?? Infinity)) return;
    this.#dueMs.set(task, dueMs);
    this.#tickets.push({ dueMs, task });
    this.#arm();
  }

  forget(task: Task): void {
    this.#dueMs.delete(task);
  }

  close(): void {
    this.#takeBack?.();
    this.#dueMs.clear();
    this.#tickets.drain();
  }

  #arm(): void {
    const dueMs = this.#tickets.peek()?.dueMs ?? Infinity;
    if (dueMs >= this.#wakesAtMs) return;
    this.#takeBack?.();
    this.#wakesAtMs = dueMs;
    this.#takeBack = this.clock.wake(dueMs - this.clock.nowMs(), this.#run);
  }

  /** Each task that is due has one turn, so that none holds up the others or what comes in. */
  readonly #run = (): void => {
    const nowMs = this.clock.nowMs();
    const due: Task[] = [];
    for (let first = this.#tickets.peek(); first !== undefined && first.dueMs <= nowMs; first = this.#tickets.peek()) {
      this.#tickets.pop();
      if (this.#dueMs.get(first.task) !== first.dueMs) continue;
      this.#dueMs.delete(first.task);
      due.push(first.task);
    }
    for (const task of due) {
      try {
        this.at(task, task.run(nowMs));
      } catch (error) {
        this.#onError(error);
      }
    }
    this.#wakesAtMs = Infinity;
    this.#arm();
  };
}

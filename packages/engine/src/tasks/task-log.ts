import type { TaskLogLine } from '@skerry/api';
import { Journal, type Store } from '../store/index.ts';

/** The lines a task wrote: kept in chunks, each what came between two flushes, so that a chatty build is few writes. */

const MAX_CHUNKS = 100;
const MAX_LINES_PER_CHUNK = 200;
const MAX_LINE_CHARS = 2000;

export type TaskLogChunk = readonly TaskLogLine[];

export function taskLogPrefix(taskId: string): string {
  return `/task-logs/${taskId}/`;
}

export function taskLogJournal(store: Store, taskId: string): Journal<TaskLogChunk> {
  return new Journal(store, { prefix: taskLogPrefix(taskId), keep: MAX_CHUNKS });
}

export class TaskLogWriter {
  readonly #journal: Journal<TaskLogChunk>;
  #lines: TaskLogLine[] = [];
  #leftOut = 0;

  constructor(journal: Journal<TaskLogChunk>) {
    this.#journal = journal;
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  add(line: string): void {
    if (this.#lines.length >= MAX_LINES_PER_CHUNK) {
      this.#leftOut += 1;
      return;
    }
    this.#lines.push({ at: new Date().toISOString(), line: line.slice(0, MAX_LINE_CHARS) });
  }

  async flush(): Promise<void> {
    if (this.isEmpty) return;
    const lines = this.#lines;
    if (this.#leftOut > 0) lines.push({ at: new Date().toISOString(), line: `(${this.#leftOut} lines left out)` });
    this.#lines = [];
    this.#leftOut = 0;
    await this.#journal.append(lines);
  }
}

import { watch, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { openGenerations, type Generation } from './generation.ts';

/**
 * A capture's file as one pcap stream: what it has, and then what comes, until the capture ends. A reader that is so slow that
 * both generations turn meanwhile misses what was in them.
 * @param signal ends it
 * @throws Error (ENOENT and the like) when there is none
 */
export async function* followCapture(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  using changes = new Changes(dirname(path), signal);
  let current: Generation | undefined;
  let isFirst = true;
  try {
    for (;;) {
      const generations = await openGenerations(path).catch((error: unknown) => {
        if (current === undefined) throw error;
      });
      if (generations === undefined) return;
      await using older = generations.older;
      // It was open until here, so no other file can have taken its number.
      const isRead = older !== undefined && current !== undefined && (await older.isSame(current));
      await current?.[Symbol.asyncDispose]();
      current = generations.newer;
      if (older !== undefined && !isRead) {
        yield* older.records(isFirst);
        isFirst = false;
      }
      for (let isThere = true; isThere;) {
        const changed = changes.next();
        // Asked before it is read: what is read then is all of it.
        const isWhole = await current.isWhole();
        isThere = await current.isAt(path);
        for await (const chunk of current.records(isFirst)) {
          isFirst = false;
          yield chunk;
        }
        if (isWhole || signal.aborted) return;
        if (isThere) await changed;
      }
    }
  } finally {
    await current?.[Symbol.asyncDispose]();
  }
}

/** What happens in a directory, for one who waits for it now and then. */
class Changes implements Disposable {
  readonly #watcher: FSWatcher;
  #resolve = (): void => {};

  constructor(path: string, signal: AbortSignal) {
    this.#watcher = watch(path, () => this.#resolve());
    // It is looked for again then, and found missing.
    this.#watcher.on('error', () => this.#resolve());
    signal.addEventListener('abort', () => this.#resolve(), { once: true });
  }

  /** Settles with the next change, or when the signal is aborted. */
  next(): Promise<void> {
    return new Promise((resolve) => (this.#resolve = resolve));
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
  }
}

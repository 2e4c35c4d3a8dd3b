import { SkerryError } from '@skerry/api';

/**
 * How many go on at once; the others wait, first come, first served. Starts need the processors: fifty at once take as long
 * in all as a few at a time, but the first is up later, and the daemon does not answer meanwhile.
 */
const LONGEST_MS = 3000;

export interface Turn extends Disposable {
  /** Others were before it. */
  readonly hasWaited: boolean;
}

export class Turns {
  #free: number;
  readonly #longestMs: number;
  readonly #waiting = new Set<() => void>();

  /** @param longestMs a turn is over then in any case */
  constructor(atOnce: number, longestMs = LONGEST_MS) {
    this.#free = atOnce;
    this.#longestMs = longestMs;
  }

  /** @returns the turn, which ends when it is disposed of. @throws SkerryError `cancelled` */
  async take(signal: AbortSignal | undefined): Promise<Turn> {
    if (signal?.aborted === true) throw cancelled(signal);
    const hasWaited = this.#free === 0;
    if (hasWaited) await this.#wait(signal);
    else this.#free -= 1;
    let isOver = false;
    const end = (): void => {
      clearTimeout(timer);
      if (isOver) return;
      isOver = true;
      const [next] = this.#waiting;
      if (next === undefined) this.#free += 1;
      else next();
    };
    // A guest that hangs keeps nobody from starting.
    const timer = setTimeout(end, this.#longestMs).unref();
    return { hasWaited, [Symbol.dispose]: end };
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(go);
        signal?.removeEventListener('abort', abort);
      };
      const go = (): void => {
        settle();
        resolve();
      };
      const abort = (): void => {
        settle();
        reject(cancelled(signal));
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.add(go);
    });
  }
}

function cancelled(signal: AbortSignal | undefined): SkerryError {
  return new SkerryError('cancelled', 'Cancelled', { cause: signal?.reason });
}

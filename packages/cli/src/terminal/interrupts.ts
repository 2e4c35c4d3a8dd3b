const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type Interrupt = (typeof SIGNALS)[number];

/**
 * Ctrl-C: the first aborts `signal`, whose holders cancel what they started and clean up; the second leaves at once.
 * While a guest's command runs, `divert` hands signals to it instead.
 */
export class Interrupts {
  readonly #abort = new AbortController();
  #diverted: ((signal: Interrupt) => void) | undefined;

  constructor() {
    for (const name of SIGNALS) process.on(name, () => this.#on(name));
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Until it is disposed of, signals go to `handler`. */
  divert(handler: (signal: Interrupt) => void): Disposable {
    this.#diverted = handler;
    return { [Symbol.dispose]: () => (this.#diverted = undefined) };
  }

  /** As if Ctrl-C was pressed. */
  abort(): void {
    this.#abort.abort();
  }

  #on(name: Interrupt): void {
    if (this.#diverted !== undefined) this.#diverted(name);
    else if (this.#abort.signal.aborted) process.exit(130);
    else this.#abort.abort();
  }
}

/** Templates that nobody waits for: made when they have been missed often enough and nobody starts anything. */

export interface WishOptions {
  /** How often one has to be missed: what is started once is not worth its memory. */
  readonly misses: number;
  /** For so long nothing may have been started: who waits has the processors. */
  readonly quietMs: number;
}

interface Wish {
  misses: number;
  readonly make: () => Promise<unknown>;
}

export class Wishes {
  readonly #options: WishOptions;
  readonly #wishes = new Map<string, Wish>();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: WishOptions) {
    this.#options = options;
  }

  /** @param make is called once, later, and may fail */
  miss(id: string, make: () => Promise<unknown>): void {
    const misses = (this.#wishes.get(id)?.misses ?? 0) + 1;
    this.#wishes.set(id, { misses, make });
  }

  /** Somebody starts a VM. */
  holdOff(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isClosed || this.#working !== undefined || this.#due() === undefined) return;
    this.#timer = setTimeout(() => {
      this.#working = this.#makeOne().finally(() => {
        this.#working = undefined;
        this.holdOff();
      });
    }, this.#options.quietMs).unref();
  }

  /** What is being made is waited for: whoever makes it has been told to give up. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#working;
  }

  async #makeOne(): Promise<void> {
    const id = this.#due();
    const wish = id === undefined ? undefined : this.#wishes.get(id);
    if (id === undefined || wish === undefined) return;
    this.#wishes.delete(id);
    await wish.make().catch(() => undefined);
  }

  #due(): string | undefined {
    return [...this.#wishes].find(([, { misses }]) => misses >= this.#options.misses)?.[0];
  }
}

/** What keeps pools from being full, and when each is tried again: soon at first, and later each time. */

const FIRST_MS = 1000;
const LAST_MS = 30_000;
/** Who had no trouble for so long is trusted again. */
const FORGIVEN_MS = 60_000;

interface Setback {
  /** Undefined once one could be made after all. */
  message: string | undefined;
  readonly waitMs: number;
  readonly untilMs: number;
}

export class Setbacks {
  readonly #byImage = new Map<string, Setback>();
  readonly #nowMs: () => number;

  /** @param nowMs of a clock that never goes back */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @param isLong it is not worth trying soon. @returns how long until it is tried again */
  add(image: string, message: string, { isLong = false }: { readonly isLong?: boolean } = {}): number {
    const before = this.#byImage.get(image);
    const now = this.#nowMs();
    const isNew = before === undefined || now - before.untilMs > FORGIVEN_MS;
    const waitMs = isLong ? LAST_MS : isNew ? FIRST_MS : Math.min(2 * before.waitMs, LAST_MS);
    this.#byImage.set(image, { message, waitMs, untilMs: now + waitMs });
    return waitMs;
  }

  /** Why it is not full. */
  message(image: string): string | undefined {
    return this.#byImage.get(image)?.message;
  }

  isHeldBack(image: string): boolean {
    return this.#nowMs() < (this.#byImage.get(image)?.untilMs ?? 0);
  }

  /** One was made. That it is lost again at once may still be: the next wait is not the first again. */
  overcome(image: string): void {
    const setback = this.#byImage.get(image);
    if (setback !== undefined) setback.message = undefined;
  }

  /** Somebody has asked for it anew. */
  forget(image: string): void {
    this.#byImage.delete(image);
  }
}

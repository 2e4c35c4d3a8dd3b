import type { SkerryError } from '@skerry/api/base';
import type { ExecChunk } from './exec.ts';

const PAUSE_BYTES = 1024 * 1024;
const RESUME_BYTES = PAUSE_BYTES / 4;

/** What has come and nobody has taken yet. Pauses its source past 1 MiB, so a slow reader slows the guest's process. */
export class OutputQueue {
  #chunks: ExecChunk[] = [];
  #bytes = 0;
  #paused = false;
  #end: { error: SkerryError | undefined } | undefined;
  #wake: (() => void) | undefined;
  readonly #pause: () => void;
  readonly #resume: () => void;

  constructor(pause: () => void, resume: () => void) {
    this.#pause = pause;
    this.#resume = resume;
  }

  put(chunk: ExecChunk): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.data.length;
    if (this.#bytes > PAUSE_BYTES && !this.#paused) {
      this.#paused = true;
      this.#pause();
    }
    this.#wake?.();
  }

  /** Nothing comes any more; what is here can still be taken, then comes the error if there is one. */
  end(error?: SkerryError): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  /** The next chunk, or undefined after the last. @throws the error it ended with */
  async take(): Promise<ExecChunk | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
    const chunk = this.#chunks.shift();
    this.#took(chunk?.data.length ?? 0);
    return chunk;
  }

  /** All that is here. */
  drain(): ExecChunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#took(this.#bytes);
    return chunks;
  }

  #took(bytes: number): void {
    this.#bytes -= bytes;
    if (!this.#paused || this.#bytes > RESUME_BYTES) return;
    this.#paused = false;
    this.#resume();
  }
}

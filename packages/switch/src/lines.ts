import { MAX_LINE_BYTES } from './protocol.ts';

/** Cuts a byte stream into lines; blank ones are skipped. */
export class LineReader {
  readonly #onLine: (line: string) => void;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** @returns false when a line grows past MAX_LINE_BYTES */
  push(chunk: Buffer): boolean {
    let at = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, at)) {
      const line = Buffer.concat([...this.#chunks, chunk.subarray(at, end)]).toString();
      this.#chunks = [];
      this.#bytes = 0;
      at = end + 1;
      if (line.trim() !== '') this.#onLine(line);
    }
    if (at < chunk.length) {
      this.#chunks.push(chunk.subarray(at));
      this.#bytes += chunk.length - at;
    }
    return this.#bytes <= MAX_LINE_BYTES;
  }
}

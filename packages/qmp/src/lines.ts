/** Bytes into lines, however they are cut into chunks. Bounded: a peer can not make us hold more than one line. */

export class LineTooLongError extends Error {
  override readonly name = 'LineTooLongError';

  constructor(maxBytes: number) {
    super(`a line is longer than ${maxBytes} bytes`);
  }
}

const NEWLINE = 0x0a;

export class LineSplitter {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #partsBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The lines that `chunk` completes, without their newline (a carriage return before it stays: JSON ignores it).
   * @throws LineTooLongError as soon as the unfinished line passes the limit, not only when it ends
   */
  *push(chunk: Buffer): Generator<string> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const part = chunk.subarray(start, end === -1 ? chunk.length : end);
      if (this.#partsBytes + part.length > this.#maxBytes) throw new LineTooLongError(this.#maxBytes);
      if (end === -1) {
        if (part.length > 0) this.#parts.push(part);
        this.#partsBytes += part.length;
        return;
      }
      // Decoded only when whole: a character may be cut in two by a chunk's end.
      const line = this.#parts.length === 0 ? part : Buffer.concat([...this.#parts, part]);
      this.#parts = [];
      this.#partsBytes = 0;
      start = end + 1;
      yield line.toString('utf8');
    }
  }
}

/**
 * The service log as the agent writes it: lines, and now and then a stamp (RS, milliseconds since 1970, US) that says when
 * those after it were written. A guest can write anything: what is no stamp is text. Pure.
 */

const STAMP = new RegExp(String.raw`\u001E(\d{1,15})\u001F`, 'g');
/** A stamp that has not ended by then is none. */
const MAX_STAMP_CHARS = 17;
/** A line that does not end is given out in parts. */
const MAX_LINE_CHARS = 64 * 1024;
/** Date can't hold more. */
const MAX_MS = 8.64e15;

export interface LogLine {
  /** Milliseconds since 1970 by the guest's clock; undefined: it was not said. */
  readonly atMs: number | undefined;
  /** Without its end. */
  readonly text: string;
}

/** Lines from pieces of a log, in whatever way it was cut. */
export class LogLines {
  readonly #decoder = new TextDecoder();
  #rest = '';
  #atMs: number | undefined;

  take(piece: Uint8Array): LogLine[] {
    this.#rest += this.#decoder.decode(piece, { stream: true });
    const lines: LogLine[] = [];
    for (;;) {
      const end = this.#rest.indexOf('\n');
      if (end === -1) break;
      lines.push(this.#line(this.#rest.slice(0, end)));
      this.#rest = this.#rest.slice(end + 1);
    }
    if (this.#rest.length > MAX_LINE_CHARS) lines.push(...this.end());
    return lines;
  }

  /** What is left when nothing more comes. */
  end(): LogLine[] {
    const rest = this.#rest;
    this.#rest = '';
    return rest === '' ? [] : [this.#line(rest)];
  }

  #line(raw: string): LogLine {
    let first: number | undefined;
    const text = raw.replace(STAMP, (_, digits: string) => {
      this.#atMs = Math.min(Number(digits), MAX_MS);
      first ??= this.#atMs;
      return '';
    });
    return { atMs: first ?? this.#atMs, text };
  }
}

/** The log without its stamps, as it comes. */
export async function* withoutStamps(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest = '';
  for await (const piece of pieces) {
    // Bytes as they are: a character may be cut.
    const text = rest + Buffer.from(piece).toString('latin1');
    const start = text.lastIndexOf('\u001E');
    const isOpen = start !== -1 && text.length - start < MAX_STAMP_CHARS && /^\d*$/.test(text.slice(start + 1));
    const whole = isOpen ? text.slice(0, start) : text;
    rest = isOpen ? text.slice(start) : '';
    const shown = whole.replace(STAMP, '');
    if (shown !== '') yield Buffer.from(shown, 'latin1');
  }
  if (rest !== '') yield Buffer.from(rest, 'latin1');
}

/**
 * Lines of several VMs as one: by time, each VM's in its own order. One without a time has that of the line before it.
 * @param tail at most so many of each, the last ones
 */
export function mergeLines(
  logs: ReadonlyMap<string, readonly LogLine[]>,
  { tail, sinceMs }: { readonly tail?: number | undefined; readonly sinceMs?: number | undefined },
): Array<LogLine & { readonly vm: string }> {
  const merged: Array<LogLine & { readonly vm: string; readonly order: number }> = [];
  for (const [vm, lines] of logs) {
    const young = sinceMs === undefined ? lines : lines.filter(({ atMs }) => atMs !== undefined && atMs >= sinceMs);
    let order = 0;
    for (const line of tail === undefined ? young : young.slice(Math.max(0, young.length - tail))) {
      order = Math.max(order, line.atMs ?? 0);
      merged.push({ vm, ...line, order });
    }
  }
  return merged.toSorted((a, b) => a.order - b.order).map(({ order: _, ...line }) => line);
}

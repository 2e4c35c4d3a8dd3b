import { printable } from '../tables/index.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const CLEAR_LINE = '\r\u001b[K';

/** What goes on, on stderr: one line that is redrawn on a terminal, a line per news in a pipe. */
export class Progress implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  readonly #lines = new Map<string, { message: string; fraction: number | undefined }>();
  readonly #begun = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream = process.stderr) {
    this.#stream = stream;
  }

  /** News about one of the things that are done. */
  update(label: string, message: string, fraction?: number): void {
    const before = this.#lines.get(label)?.message;
    this.#lines.set(label, { message: printable(message), fraction });
    if (!this.#stream.isTTY) {
      if (message !== before) this.#stream.write(`${label}: ${printable(message)}\n`);
      return;
    }
    this.#timer ??= setInterval(() => this.#draw(), FRAME_MS).unref();
    this.#draw();
  }

  /** It is done; what is to be said about it is said by `note`, or on stdout. */
  end(label: string): void {
    this.#lines.delete(label);
    if (this.#lines.size === 0) this.clear();
  }

  /** A line that stays. */
  note(text: string): void {
    this.#erase();
    this.#stream.write(`${text}\n`);
  }

  /** Takes the line away, as before anything else is printed. */
  clear(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  [Symbol.dispose](): void {
    this.clear();
  }

  #erase(): void {
    if (this.#drawn) this.#stream.write(CLEAR_LINE);
    this.#drawn = false;
  }

  #draw(): void {
    this.#drawn = true;
    this.#frame = (this.#frame + 1) % FRAMES.length;
    const parts = [...this.#lines].map(([label, { message, fraction }]) => {
      const percent = fraction === undefined ? '' : ` ${Math.round(fraction * 100)}%`;
      return `${label}: ${message}${percent}`;
    });
    const seconds = ((performance.now() - this.#begun) / 1000).toFixed(1);
    const line = `${FRAMES[this.#frame]} ${parts.join(' | ')} `;
    const room = (this.#stream.columns || 80) - seconds.length - 3;
    this.#stream.write(`${CLEAR_LINE}${line.slice(0, room)}${seconds}s`);
  }
}

import { rawInput } from '../guest-process.ts';

/**
 * The whole terminal, as long as it is not disposed of; given back on exit in any case. The sequences are xterm's (`ctlseqs`,
 * "DEC Private Mode Set"), which every terminal of today knows.
 */

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
const CLEAR_BELOW = '\u001b[J';

export interface Screen extends Disposable {
  size(): { readonly columns: number; readonly rows: number };
  draw(lines: readonly string[]): void;
}

/** @param onKey a key that was pressed; Ctrl-C is '\x03' */
export function openScreen(onKey: (key: string) => void, onResize: () => void): Screen {
  const { stdin, stdout } = process;
  const leave = (): void => void stdout.write(LEAVE);
  const keys = (data: Buffer): void => {
    // An escape sequence (an arrow, a click) is one key, and none of ours.
    const text = data.toString('latin1');
    for (const key of text.startsWith('\u001b') ? [] : text) onKey(key);
  };
  process.once('exit', leave);
  const raw = rawInput();
  stdin.on('data', keys);
  stdout.on('resize', onResize);
  stdout.write(ENTER);
  return {
    size: () => ({ columns: stdout.columns || 80, rows: stdout.rows || 24 }),
    // One write, over what was there: nothing flickers.
    draw: (lines) => void stdout.write(`${HOME}${lines.join(`${CLEAR_LINE}\r\n`)}${CLEAR_LINE}${CLEAR_BELOW}`),
    [Symbol.dispose]: () => {
      stdin.off('data', keys);
      stdin.pause();
      stdout.off('resize', onResize);
      raw[Symbol.dispose]();
      process.off('exit', leave);
      leave();
    },
  };
}

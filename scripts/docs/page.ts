/** The fenced blocks of a document, so that tests can run what a page shows. Computes only. */

export interface Block {
  /** The first word after the fence: `sh`, `text`, `yaml`, ... */
  readonly language: string;
  /** The other words: `at=site`, `by-hand`. */
  readonly words: readonly string[];
  readonly text: string;
  /** Of its first line of text, from 1. */
  readonly line: number;
}

/** A block of commands, and what the page says they print. */
export interface Step {
  readonly commands: string;
  readonly line: number;
  /** Which host it is typed at: '' or what `at=` says. */
  readonly at: string;
  /** The `text` block right after it, if there is one. */
  readonly expected: string | undefined;
}

export function blocksOf(page: string): Block[] {
  return [...page.matchAll(/^```(\S+)([^\n]*)\n(.*?)^```$/gms)].map((match) => ({
    language: match[1] ?? '',
    words: (match[2] ?? '').split(' ').filter((word) => word !== ''),
    text: match[3] ?? '',
    line: page.slice(0, match.index).split('\n').length + 1,
  }));
}

/** What a reader types, in order; a block marked `by-hand` (it installs something, or asks) is left to the reader. */
export function stepsOf(page: string): Step[] {
  const blocks = blocksOf(page);
  return blocks.flatMap(({ language, words, text, line }, index) => {
    if (language !== 'sh' || words.includes('by-hand')) return [];
    const next = blocks[index + 1];
    const at = words.find((word) => word.startsWith('at='))?.slice('at='.length) ?? '';
    return [{ commands: text, line, at, expected: next?.language === 'text' ? next.text : undefined }];
  });
}

/**
 * The first line of `expected` that is not in `output`, in its order; undefined when all are. `...` stands for anything,
 * alone on a line for any lines; how many spaces there are does not matter.
 */
export function missingLine(expected: string, output: string): string | undefined {
  const lines = output.split('\n').map(squeezed);
  let from = 0;
  for (const wanted of expected.split('\n').map(squeezed)) {
    if (wanted === '' || wanted === '...') continue;
    const pattern = new RegExp(`^${wanted.split('...').map(literally).join('.*')}$`);
    const found = lines.findIndex((line, index) => index >= from && pattern.test(line));
    if (found < 0) return wanted;
    from = found + 1;
  }
  return undefined;
}

/** As a part of a regular expression that stands for nothing else. */
export function literally(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

const squeezed = (line: string): string => line.trim().replaceAll(/\s+/g, ' ');

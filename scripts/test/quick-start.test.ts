import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { blocksOf, literally, missingLine, stepsOf } from '../docs/page.ts';

/** The quick start in three languages: the same commands, in the words of one glossary. */

const DOCS = join(import.meta.dirname, '../../docs');
const LANGUAGES = ['ja', 'ko'] as const;
const COLUMNS = { en: 0, ja: 1, ko: 2 } as const;
let pages: Record<'en' | 'ja' | 'ko', string>;
let glossary: string[][];

beforeAll(async () => {
  const page = (language: string) => readFile(join(DOCS, `quick-start.${language}.md`), 'utf8');
  pages = { en: await page('en'), ja: await page('ja'), ko: await page('ko') };
  glossary = glossaryOf(await readFile(join(DOCS, 'glossary.md'), 'utf8'));
});

test('the glossary has a word in each language for each', () => {
  expect(glossary.length).toBeGreaterThan(20);
  expect(glossary.filter((row) => row.length !== 4 || row.includes(''))).toEqual([]);
  for (const column of Object.values(COLUMNS)) {
    const words = glossary.map((row) => row[column]);
    expect(words.filter((word, index) => words.indexOf(word) !== index)).toEqual([]);
  }
});

describe.each(LANGUAGES)('in %s', (language) => {
  test('it has the blocks of the English one, in its order', () => {
    const shown = (page: string) => blocksOf(page).map(({ language: kind, words, text }) => ({ kind, words, text }));
    expect(shown(pages[language])).toEqual(shown(pages.en));
    expect(shown(pages.en).length).toBeGreaterThan(8);
  });

  test('it uses a word of the glossary wherever the English one does', () => {
    expect(missingWords(pages.en, pages[language], COLUMNS[language])).toEqual([]);
  });

  test('another word in its place is found', () => {
    const word = { ja: 'ノード', ko: '노드' }[language];
    const changed = pages[language].replaceAll(word, '結節');
    expect(missingWords(pages.en, changed, COLUMNS[language])).toContainEqual(
      expect.stringContaining(`${word} (node)`),
    );
  });

  test('it is polite throughout', () => {
    const ending = { ja: /(?:です|ます|ません|とおりです)。?$/, ko: /(?:니다)\.?$/ }[language];
    const sentences = prose(pages[language])
      .split('\n')
      .filter((line) => !/^(?:#|-| {2}|\[|$)/.test(line))
      .join(' ')
      .split(language === 'ja' ? /(?<=。)/ : /(?<=\.)\s/)
      .map((sentence) => sentence.replace(/:? *\[[^\]]*\]\([^)]*\)/g, '').trim())
      .filter((sentence) => /[。.]$/.test(sentence));
    expect(sentences.length).toBeGreaterThan(10);
    expect(sentences.filter((sentence) => !ending.test(sentence))).toEqual([]);
  });
});

test('steps are what is typed; what the page says is looked for in order', () => {
  const page = '```sh by-hand\na\n```\n\n```sh at=site\nb\n```\n\n```text\none\n...\n```\n\n```yaml\nc: 1\n```\n';
  expect(stepsOf(page)).toEqual([{ commands: 'b\n', line: 6, at: 'site', expected: 'one\n...\n' }]);
  expect(missingLine('one ... three\n...\nfive\n', 'zero\none  two three\nfour\nfive\n')).toBeUndefined();
  expect(missingLine('two\none\n', 'one\ntwo\n')).toBe('one');
  expect(missingLine('on\n', 'one\n')).toBe('on');
});

/** The rows of its first table, without the head. */
function glossaryOf(text: string): string[][] {
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** Chapter by chapter: 'chapter 3: フォーク (fork)'. */
function missingWords(english: string, translated: string, column: number): string[] {
  const chapters = (page: string): string[] => prose(page).split(/^## /m);
  const theirs = chapters(translated);
  return chapters(english).flatMap((chapter, index) =>
    glossary.flatMap((row) => {
      const [word = ''] = row;
      const isUsed = new RegExp(`\\b${literally(word)}s?\\b(?!\\.js)`, 'i').test(chapter);
      const isThere = theirs[index]?.includes(row[column] ?? '') ?? false;
      return isUsed && !isThere ? [`chapter ${index}: ${row[column]} (${word})`] : [];
    }),
  );
}

/** Without what is typed, printed or linked to. */
function prose(page: string): string {
  return page
    .replaceAll(/^```.*?^```$/gms, '')
    .replaceAll(/`[^`]*`/g, '')
    .replaceAll(/\]\([^)]*\)/g, ']()');
}

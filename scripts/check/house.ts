import { posix } from 'node:path';
import { lineAt, type Finding, type Source } from './finding.ts';

/** Rules of the house that no tool of others knows. Each takes all sources and names what breaks it. */

const MAX_LINES = 400;

/** Files of ours stay short enough to be read at once; generated ones say so in their first lines. */
export function checkLength(sources: readonly Source[]): Finding[] {
  return sources
    .filter(({ path, text }) => /\.(?:ts|tsx|c|h)$/.test(path) && !/@generated/.test(text.slice(0, 300)))
    .map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => ({
      file: path,
      message: `has ${lines} lines; ${MAX_LINES} are the most: split it by idea`,
    }));
}

interface TextRule {
  readonly files: RegExp;
  readonly pattern: RegExp;
  readonly message: string;
}

const OUR_CODE = /^(?:packages|tests|bench|scripts)\/.*\.(?:ts|tsx)$/;

const TEXT_RULES: readonly TextRule[] = [
  {
    files: OUR_CODE,
    pattern: /^[ \t]*(?:export[ \t]+)?(?:declare[ \t]+)?(?:const[ \t]+)?enum[ \t]+\w/gm,
    message: 'an enum: write a union of strings',
  },
  {
    files: OUR_CODE,
    pattern: /^[ \t]*(?:export[ \t]+)?(?:declare[ \t]+)?(?:namespace|module)[ \t]+\w+[ \t]*\{/gm,
    message: 'a namespace: write a module',
  },
  { files: OUR_CODE, pattern: /^[ \t]*@[A-Za-z_$][\w$.]*(?:\(|[ \t]*$)/gm, message: 'a decorator: call a function' },
  {
    // The daemon serves everybody from one thread. (DatabaseSync is how node:sqlite is; its calls take microseconds.)
    files: /^packages\/(?:engine|daemon|switch)\/src\//,
    pattern: /\b(?!DatabaseSync\b|randomFillSync\b)\w+Sync\(/g,
    message: 'a call that blocks the event loop: use its asynchronous form',
  },
  {
    files: OUR_CODE,
    pattern: /import\.meta\.url\)\.pathname/g,
    message: 'a path that is still percent-encoded (a clone in a folder with a space): use fileURLToPath',
  },
  {
    // Each machine has its own registries. (Written with \. here, so that this line is none.) Docker's alone is the name of a
    // package of Debian's.
    files: /./,
    pattern:
      /\b(?:registry\.(?:npmjs|yarnpkg)|(?:deb|ftp|security|snapshot)\.debian|archive\.ubuntu|pypi|proxy\.golang|ghcr|docker(?!\.io['"\s]))\.(?:org|com|io)\b/gi,
    message: 'names the host of a registry',
  },
];

/** What must not be written: by pattern. */
export function checkTexts(sources: readonly Source[]): Finding[] {
  return TEXT_RULES.flatMap(({ files, pattern, message }) =>
    sources
      .filter(({ path }) => files.test(path))
      .flatMap(({ path, text }) =>
        [...text.matchAll(pattern)].map((match) => ({ file: path, line: lineAt(text, match.index), message })),
      ),
  );
}

/** A folder of leftovers is where duplicates start: name the idea. */
export function checkNames(sources: readonly Source[]): Finding[] {
  return sources
    .filter(({ path }) => /(?:^|\/)(?:utils?|helpers?|misc|common)(?:\/|\.(?:ts|tsx|c|h)$)/i.test(path))
    .map(({ path }) => ({ file: path, message: 'named after nothing: name the file or folder after its idea' }));
}

/** Links in Markdown to files of the repository lead somewhere. */
export function checkLinks(sources: readonly Source[]): Finding[] {
  const exists = new Set<string>(['.']);
  for (const { path } of sources) {
    for (let at = path; at !== '.'; at = posix.dirname(at)) exists.add(at);
  }
  return sources
    .filter(({ path }) => path.endsWith('.md'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\]\((?!\w+:|#)([^)#\s]+)(?:#[^)]*)?\)/g)]
        .filter((match) => {
          const target = posix.join(posix.dirname(path), decodeURI(match[1] ?? '')).replace(/\/$/, '');
          return !exists.has(target);
        })
        .map((match) => ({
          file: path,
          line: lineAt(text, match.index),
          message: `links to ${match[1]}, which is not there`,
        })),
    );
}

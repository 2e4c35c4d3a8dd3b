import { posix } from 'node:path';

/** Which files of the repository become pages of the site, where, and in which order they are offered. */

export interface NavigationEntry {
  readonly path: string;
  readonly title: string;
}

export interface NavigationSection {
  readonly title: string;
  readonly entries: readonly NavigationEntry[];
}

const PROJECT_PAGES = ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'guest/README.md'];

/** Documents, and all that is below docs/ whatever it is. Others become pages when one of these links to them. */
export function isPage(path: string): boolean {
  return (
    path === 'README.md' ||
    path === 'packages/client/README.md' ||
    PROJECT_PAGES.includes(path) ||
    path.startsWith('docs/')
  );
}

/** 'docs/images.md' -> 'docs/images.html'; a README is the index of its folder; what is no Markdown keeps its whole name. */
export function urlOf(path: string): string {
  if (/(?:^|\/)README\.md$/.test(path)) return path.replace(/README\.md$/, 'index.html');
  return path.endsWith('.md') ? path.replace(/\.md$/, '.html') : `${path}.html`;
}

export function relativeUrl(from: string, to: string): string {
  return posix.relative(posix.dirname(from), to) || posix.basename(to);
}

/** By folder; `titles` has all pages. */
export function navigation(titles: ReadonlyMap<string, string>): NavigationSection[] {
  const paths = [...titles.keys()].toSorted();
  const entries = (of: readonly string[]): NavigationEntry[] =>
    of.flatMap((path) => (titles.has(path) ? [{ path, title: titles.get(path) ?? path }] : []));
  const below = (folder: string): string[] => paths.filter((path) => posix.dirname(path) === folder);
  const folders = [...new Set(paths.map((path) => posix.dirname(path)))].filter((folder) => folder.startsWith('docs/'));
  const isStart = (path: string): boolean => /^docs\/quick-?start/.test(path);
  const sections = [
    { title: 'Begin', entries: entries(['README.md', ...paths.filter(isStart), 'packages/client/README.md']) },
    { title: 'Guides', entries: entries(below('docs').filter((path) => !isStart(path))) },
    ...folders
      .filter((folder) => !isStart(folder))
      .map((folder) => ({ title: titleOfFolder(folder), entries: entries(below(folder)) })),
    { title: 'Project', entries: entries(PROJECT_PAGES) },
  ];
  return sections.filter((section) => section.entries.length > 0);
}

/** 'docs/use-cases' -> 'Use cases' */
function titleOfFolder(folder: string): string {
  const words = folder.replace(/^docs\//, '').replaceAll(/[-/]/g, ' ');
  return words.slice(0, 1).toUpperCase() + words.slice(1);
}

/** Of docs/quickstart.ja.md and docs/ja/quickstart.md: 'ja'. */
export function languageOf(path: string): string {
  return /(?:[./-]|^)(ja|ko)(?:\.md$|\/)/.exec(path)?.[1] ?? 'en';
}

/**
 * The ids of a document's headings, as GitHub makes them, so that one link works in both: lower case, without
 * punctuation, spaces as hyphens, the second of the same name with -1.
 */
export function headingIds(): (text: string) => string {
  const seen = new Map<string, number>();
  return (text) => {
    const id = text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(id) ?? 0;
    seen.set(id, count + 1);
    return count === 0 ? id : `${id}-${count}`;
  };
}

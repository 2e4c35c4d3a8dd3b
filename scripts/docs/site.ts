import { pageOf, renderMarkdown, renderText, type Body } from './render.ts';
import { isPage, navigation, urlOf } from './site-plan.ts';

/** The site, as files by their path in it, from the texts of the repository. Computes only. */
export function buildSite(texts: ReadonlyMap<string, string>, style: string): Map<string, string> {
  const bodies = new Map<string, Body>();
  const queue = [...texts.keys()].filter(isPage);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const text = texts.get(path);
    if (text === undefined || bodies.has(path)) continue;
    const body = path.endsWith('.md') ? renderMarkdown(path, text, (file) => texts.has(file)) : renderText(path, text);
    bodies.set(path, body);
    queue.push(...body.linked);
  }
  const sections = navigation(new Map([...bodies].map(([path, { title }]) => [path, title])));
  const site = new Map([['style.css', style]]);
  for (const [path, body] of bodies) site.set(urlOf(path), pageOf(path, body, sections));
  return site;
}

export interface BrokenLink {
  readonly page: string;
  readonly href: string;
}

/** Links of the site into itself that lead to no page or to no place in it. */
export function brokenLinks(site: ReadonlyMap<string, string>): BrokenLink[] {
  const ids = new Map([...site].map(([url, html]) => [url, new Set([...html.matchAll(/ id="([^"]*)"/g)].map(at))]));
  const broken: BrokenLink[] = [];
  for (const [page, html] of site) {
    for (const href of [...html.matchAll(/ href="([^"]*)"/g)].map(at)) {
      if (/^\w+:/.test(href)) continue;
      const { pathname, hash } = new URL(href.replaceAll('&amp;', '&'), `site:/${page}`);
      const found = ids.get(decodeURI(pathname).slice(1));
      const isThere = found !== undefined && (hash === '' || found.has(decodeURIComponent(hash.slice(1))));
      if (!isThere) broken.push({ page, href });
    }
  }
  return broken;
}

const at = (match: RegExpMatchArray): string => match[1] ?? '';

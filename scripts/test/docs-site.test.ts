import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readSources } from '../check/sources.ts';
import { renderMarkdown } from '../docs/render.ts';
import { brokenLinks, buildSite } from '../docs/site.ts';
import { headingIds, languageOf, navigation, urlOf } from '../docs/site-plan.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('our documents', () => {
  let texts: Map<string, string>;
  beforeAll(async () => {
    texts = new Map((await readSources(ROOT)).map(({ path, text }) => [path, text]));
  });

  test('become a site in which every link and anchor leads somewhere', () => {
    const site = buildSite(texts, '');
    expect(brokenLinks(site)).toEqual([]);
    expect([...site.keys()]).toEqual(
      expect.arrayContaining(['index.html', 'ARCHITECTURE.html', 'docs/images.html', 'docs/decisions/cli.html']),
    );
    // Each is offered on every page.
    const offered = [...texts.keys()].filter((path) => /^docs\/.*\.md$/.test(path)).map(urlOf);
    expect(offered).toEqual(expect.arrayContaining(['docs/quick-start.ja.html', 'docs/use-cases/sandbox.html']));
    expect(offered.filter((url) => site.get('index.html')?.includes(`href="${url}"`) !== true)).toEqual([]);
    // What README.md links to is there to be read too, though it is no document.
    expect(site.get('examples/shop.yaml.html')).toContain('<pre><code>');
  });

  test('a planted broken link and a planted broken anchor are found', () => {
    texts.set('docs/planted.md', '# Planted\n\n[a](nowhere.md) [b](images.md#nowhere) [c](#planted) [d](images.md)\n');
    expect(brokenLinks(buildSite(texts, ''))).toEqual([
      { page: 'docs/planted.html', href: 'nowhere.md' },
      { page: 'docs/planted.html', href: 'images.html#nowhere' },
    ]);
    texts.delete('docs/planted.md');
  });
});

test('links between documents become links between pages, those to elsewhere stay', () => {
  const files = new Set(['README.md', 'docs/a.md', 'guest/README.md', 'examples/x y.yaml']);
  const text =
    '[1](../README.md#begin) [2](a.md) [3](../guest) [4](https://example.org/a.md) [5](<../examples/x y.yaml>) [6](#here)';
  const { html, linked } = renderMarkdown('docs/b.md', text, (path) => files.has(path));
  expect([...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href)).toEqual([
    '../index.html#begin',
    'a.html',
    '../guest/index.html',
    'https://example.org/a.md',
    '../examples/x%20y.yaml.html',
    '#here',
  ]);
  expect(linked).toEqual(['README.md', 'docs/a.md', 'guest/README.md', 'examples/x y.yaml']);
});

test('headings have the ids that GitHub gives them', () => {
  const id = headingIds();
  expect(["What's new? (1.0)", 'Same', 'Same', '用語集 と例', 'a_b-c `d`'].map(id)).toEqual([
    'whats-new-10',
    'same',
    'same-1',
    '用語集-と例',
    'a_b-c-d',
  ]);
  expect(renderMarkdown('a.md', '# `x` & <y>\n', () => false)).toMatchObject({
    title: 'x & <y>',
    html: expect.stringContaining('<h1 id="x--y">'),
  });
});

test('HTML in a document is shown, not obeyed', () => {
  const { html } = renderMarkdown('a.md', 'a <b onclick="x()">b</b>\n\n<script>x()</script>\n', () => false);
  expect(html).not.toMatch(/<(?:script|b)\b/);
});

test('pages are offered by folder, and say their language', () => {
  const titles = new Map(
    [
      'README.md',
      'docs/quickstart.md',
      'docs/quickstart.ja.md',
      'docs/z.md',
      'docs/use-cases/x.md',
      'CHANGELOG.md',
    ].map((path) => [path, path]),
  );
  expect(navigation(titles).map(({ title, entries }) => [title, ...entries.map(({ path }) => path)])).toEqual([
    ['Begin', 'README.md', 'docs/quickstart.ja.md', 'docs/quickstart.md'],
    ['Guides', 'docs/z.md'],
    ['Use cases', 'docs/use-cases/x.md'],
    ['Project', 'CHANGELOG.md'],
  ]);
  expect(['docs/quickstart.ja.md', 'docs/ko/start.md', 'docs/images.md'].map(languageOf)).toEqual(['ja', 'ko', 'en']);
  expect(['README.md', 'guest/README.md', 'docs/a.md', 'examples/a.yaml'].map(urlOf)).toEqual([
    'index.html',
    'guest/index.html',
    'docs/a.html',
    'examples/a.yaml.html',
  ]);
});

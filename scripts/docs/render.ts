import { posix } from 'node:path';
import { Marked, type Tokens } from 'marked';
import { headingIds, languageOf, type NavigationSection, relativeUrl, urlOf } from './site-plan.ts';

/** One page: Markdown or any other text to HTML, with the navigation around it. */

export interface Body {
  readonly title: string;
  readonly html: string;
  /** Files of the repository that it links to. */
  readonly linked: readonly string[];
}

/** @param isFile whether the repository has this file; other relative links are left as they are, and found broken */
export function renderMarkdown(path: string, text: string, isFile: (path: string) => boolean): Body {
  const idOf = headingIds();
  const linked: string[] = [];
  let title: string | undefined;
  const marked = new Marked({
    gfm: true,
    renderer: {
      heading(token: Tokens.Heading): string {
        const html = this.parser.parseInline(token.tokens);
        const plain = unescaped(html.replaceAll(/<[^>]*>/g, ''));
        if (token.depth === 1) title ??= plain;
        const id = escaped(idOf(plain));
        return `<h${token.depth} id="${id}"><a class="anchor" href="#${id}">${html}</a></h${token.depth}>\n`;
      },
      link(token: Tokens.Link): string {
        const html = this.parser.parseInline(token.tokens);
        const [target = '', anchor] = token.href.split('#');
        const file = posix.normalize(posix.join(posix.dirname(path), decodeURI(target))).replace(/\/$/, '');
        const page = [file, `${file}/README.md`].find(isFile);
        if (/^\w+:/.test(token.href) || target === '' || page === undefined) {
          return `<a href="${escaped(token.href)}">${html}</a>`;
        }
        linked.push(page);
        const url = relativeUrl(urlOf(path), urlOf(page));
        return `<a href="${escaped(encodeURI(url) + (anchor === undefined ? '' : `#${anchor}`))}">${html}</a>`;
      },
      // Documents are Markdown; what looks like HTML in them is meant to be read.
      html: (token: Tokens.HTML | Tokens.Tag): string => escaped(token.text),
    },
  });
  const html = marked.parse(text, { async: false });
  return { title: title ?? posix.basename(path), html, linked };
}

/** A file that is no Markdown, as it is. */
export function renderText(path: string, text: string): Body {
  const name = posix.basename(path);
  return { title: name, html: `<h1>${escaped(name)}</h1>\n<pre><code>${escaped(text)}</code></pre>\n`, linked: [] };
}

export function pageOf(path: string, body: Body, sections: readonly NavigationSection[]): string {
  const url = urlOf(path);
  const to = (target: string): string => escaped(encodeURI(relativeUrl(url, target)));
  const entry = (each: { path: string; title: string }): string =>
    `<li><a href="${to(urlOf(each.path))}"${each.path === path ? ' aria-current="page"' : ''}>${escaped(each.title)}</a></li>`;
  const menu = sections.map(
    ({ title, entries }) => `<h2>${escaped(title)}</h2>\n<ul>\n${entries.map(entry).join('\n')}\n</ul>`,
  );
  return `<!doctype html>
<html lang="${languageOf(path)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(body.title)}${body.title === 'Skerry' ? '' : ' - Skerry'}</title>
<link rel="stylesheet" href="${to('style.css')}">
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<nav aria-label="Pages">
<p class="home"><a href="${to('index.html')}">Skerry</a></p>
${menu.join('\n')}
</nav>
<main id="content">
${body.html}</main>
</body>
</html>
`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function unescaped(html: string): string {
  return html
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');
}

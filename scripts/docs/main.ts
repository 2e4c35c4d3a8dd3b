import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readSources } from '../check/sources.ts';
import { brokenLinks, buildSite } from './site.ts';

/** npm run docs [-- --to DIRECTORY]: the documents as a site of static pages, in dist/site. Exit code 1 on a broken link. */

const ROOT = join(import.meta.dirname, '../..');
const { values } = parseArgs({ options: { to: { type: 'string', default: join(ROOT, 'dist/site') } } });
const to = resolve(values.to);

const texts = new Map((await readSources(ROOT)).map(({ path, text }) => [path, text]));
const site = buildSite(texts, await readFile(join(import.meta.dirname, 'style.css'), 'utf8'));
await rm(to, { recursive: true, force: true });
for (const [path, text] of site) {
  await mkdir(dirname(join(to, path)), { recursive: true });
  await writeFile(join(to, path), text);
}
console.log(`${site.size - 1} pages: ${join(to, 'index.html')}`);
const broken = brokenLinks(site);
for (const { page, href } of broken) console.error(`${page}: links to ${href}, which is not there`);
if (broken.length > 0) process.exitCode = 1;

import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';
import { runPage } from './page-runner.ts';

/**
 * What the quick start and the use cases show is typed here as it stands, on real VMs. The quick start's other languages
 * have the same blocks (scripts/test/quick-start.test.ts).
 */

const USE_CASES = 'docs/use-cases';
/** What it is about waits for a later capability: it has nothing to type yet. */
const WAITING = new Set(['multi-tenancy.md']);

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterEach(() => host.clear());
afterAll(() => host[Symbol.asyncDispose]());

test('the quick start', () => runPage(host, 'docs/quick-start.en.md'));

describe('the use case', async () => {
  const pages = await readdir(fileURLToPath(new URL(`../../${USE_CASES}`, import.meta.url)));
  test.each(pages.filter((page) => !WAITING.has(page)))('%s', (page) => runPage(host, `${USE_CASES}/${page}`));
});

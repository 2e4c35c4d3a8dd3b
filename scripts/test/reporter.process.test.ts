import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

/** The line that CI reads, from real runs of vitest in a directory of their own. */

const ROOT = resolve(import.meta.dirname, '../..');
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skerry-reporter-'));
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  const reporters = JSON.stringify(['default', join(ROOT, 'scripts/reporter.ts')]);
  await writeFile(join(directory, 'vitest.config.mjs'), `export default { test: { reporters: ${reporters} } };\n`);
});

afterEach(() => rm(directory, { recursive: true }));

async function vitest(files: Record<string, string>): Promise<{ exitCode: number; lastLine: string | undefined }> {
  await mkdir(join(directory, 'test'));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(directory, `test/${name}.test.js`), `import { test, beforeAll } from 'vitest';\n${text}\n`);
  }
  const { VITEST: _, ...env } = process.env;
  return new Promise((done) => {
    const args = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run'];
    execFile(process.execPath, args, { cwd: directory, env }, (error, stdout) => {
      expect(stdout.endsWith('\n')).toBe(true);
      done({ exitCode: error === null ? 0 : Number(error.code), lastLine: stdout.trimEnd().split('\n').at(-1) });
    });
  });
}

const pass = (name: string) => `test('${name}', () => {});`;
const fail = (name: string) => `test('${name}', () => { throw new Error('no'); });`;

test('all passed', { timeout: 30_000 }, async () => {
  const result = await vitest({ a: pass('one') + pass('two'), b: pass('three') + "test.skip('four', () => {});" });
  expect(result).toEqual({ exitCode: 0, lastLine: '3 passed, 0 failed' });
});

test('failures of every kind are counted', { timeout: 30_000 }, async () => {
  const result = await vitest({
    a: pass('one') + fail('two') + fail('three'),
    cannotLoad: "import './nothing.js';",
    hook: `beforeAll(() => { throw new Error('no'); });${pass('never')}`,
    unhandled: `${pass('four')}setTimeout(() => { throw new Error('later'); }, 0); await new Promise((r) => setTimeout(r, 50));`,
  });
  expect(result).toEqual({ exitCode: 1, lastLine: '2 passed, 5 failed' });
});

test('a run in which nothing was executed fails', { timeout: 30_000 }, async () => {
  expect(await vitest({ a: "test.skip('one', () => {});" })).toEqual({ exitCode: 1, lastLine: '0 passed, 0 failed' });
});

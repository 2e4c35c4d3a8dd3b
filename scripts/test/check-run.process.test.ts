import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

/** `npm run check` as a whole, on a small repository: the tools of others have to fail too (some pass without looking). */

const ROOT = resolve(import.meta.dirname, '../..');
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'skerry-check-'));
  for (const file of [
    '.oxlintrc.json',
    '.oxfmtrc.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'tsconfig.client.json',
  ]) {
    await copyFile(join(ROOT, file), join(directory, file));
  }
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  await plant('packages/api/package.json', '{ "name": "@skerry/api", "type": "module" }\n');
  await plant('packages/api/src/index.ts', "export const name: string = 'api';\n");
});

afterEach(() => rm(directory, { recursive: true }));

async function plant(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(directory, path)), { recursive: true });
  await writeFile(join(directory, path), text);
}

function check(): Promise<{ exitCode: number; output: string; failed: string[] }> {
  return new Promise((done) => {
    const args = ['--conditions=source', join(ROOT, 'scripts/check.ts'), directory];
    execFile(process.execPath, args, (error, stdout, stderr) => {
      const failed = [...stdout.matchAll(/^FAIL\s+(.*?)\s{2,}/gm)].map((match) => match[1] ?? '');
      done({ exitCode: error === null ? 0 : Number(error.code), output: stdout + stderr, failed });
    });
  });
}

test('passes what is right', { timeout: 60_000 }, async () => {
  const result = await check();
  expect(result.output).toContain('0 broken');
  expect(result.exitCode).toBe(0);
});

test('sees a violation of every rule in one run', { timeout: 60_000 }, async () => {
  await plant('packages/api/src/types.ts', "export const count: number = 'three';\n");
  await plant('packages/api/src/newer.ts', 'export const deferred = Promise.withResolvers<void>();\n');
  await plant(
    'packages/api/src/lint.ts',
    'async function later(): Promise<void> {}\nexport function now(): void {\n  later();\n}\n',
  );
  await plant('packages/api/src/format.ts', 'export const a = "x"\n');
  await plant('packages/api/src/imports.ts', "export { join } from 'node:path';\n");
  await plant('packages/api/src/long.ts', `export {};\n${'// line\n'.repeat(400)}`);
  await plant('packages/api/src/utils.ts', 'export {};\n');
  await plant('packages/engine/src/blocks.ts', "import { readFileSync } from 'node:fs';\n\nreadFileSync('x');\n");
  await plant('scripts/broken.sh', '#!/bin/sh\nif true; then\n');
  await plant('README.md', '[nowhere](nowhere.md)\n');
  const result = await check();
  expect(result.exitCode).toBe(1);
  expect(result.failed).toEqual([
    'types (tsc)',
    'the client, for Node 20 (tsc)',
    'lint (oxlint, type-aware)',
    'format (oxfmt)',
    'shell scripts (sh -n)',
    'import rules',
    'file length',
    'forbidden forms',
    'names of files',
    'links in documents',
  ]);
  expect(result.output).toMatch(/lint\.ts:3: .*no-floating-promises/);
  expect(result.output).toMatch(/types\.ts:1: error TS2322/);
  // Node 24 has it, so it is wrong only in what the client is made of.
  expect(result.output.match(/newer\.ts:1: error TS2550/g)).toHaveLength(1);
});

test('a tool that is not there fails its check', { timeout: 60_000 }, async () => {
  await rm(join(directory, 'node_modules'));
  expect((await check()).failed).toEqual([
    'types (tsc)',
    'the client, for Node 20 (tsc)',
    'lint (oxlint, type-aware)',
    'format (oxfmt)',
  ]);
});

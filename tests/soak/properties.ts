import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from './random.ts';

/**
 * npm run soak -- properties [--rounds 20] [--seed N] [NAME...]: the property tests of the packages with other cases than CI has,
 * and ten times as many; NAME is a part of a test file's path. What fails is said with the variables that repeat it.
 */

const ROOT = join(import.meta.dirname, '../..');
const TIMES = 10;
const TIMEOUT_MS = 15 * 60_000;

/** @returns whether all was well */
export async function soakProperties(rounds: number, seed: number, names: readonly string[]): Promise<boolean> {
  const random = new Random(seed);
  const files = await filesWithProperties(names);
  let failed = 0;
  say(`${rounds} rounds of ${files.length} files, seed ${seed}`);
  for (let round = 1; round <= rounds && files.length > 0; round += 1) {
    const variables = { SKERRY_SEED: String(random.below(2 ** 31)), SKERRY_RUNS: String(TIMES) };
    const repeat = Object.entries(variables).map((each) => each.join('='));
    const startedAt = Date.now();
    const { exitCode, output } = await runTests(files, variables);
    if (exitCode !== 0) failed += 1;
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    say(`${String(round).padStart(4)} ${exitCode === 0 ? 'ok  ' : 'FAIL'} ${repeat.join(' ')} (${seconds} s)`);
    if (exitCode !== 0) say(output);
  }
  say(`${rounds} rounds, ${failed} with failures`);
  return failed === 0 && files.length > 0;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function filesWithProperties(names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for await (const path of glob('packages/*/test/**/*.test.ts', { cwd: ROOT })) {
    const isWanted = names.length === 0 || names.some((name) => path.includes(name));
    // A contract of the testkit has properties of its own.
    if (isWanted && /@skerry\/testkit\/(?:properties|store-contract)'/.test(await readFile(join(ROOT, path), 'utf8')))
      found.push(path);
  }
  return found.toSorted();
}

async function runTests(
  files: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<{ exitCode: number; output: string }> {
  const child = spawn(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', `--testTimeout=${TIMEOUT_MS}`, ...files],
    { cwd: ROOT, env: { ...process.env, ...variables }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode: exitCode ?? 1, output: Buffer.concat(chunks).toString() };
}

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);

test('packages resolve to their source in tests and in the workers themselves', async () => {
  const { SkerryError } = await import('@skerry/api');
  expect(new SkerryError('failed', 'x')).toBeInstanceOf(Error);
  expect(process.execArgv).toContain('--conditions=source');
});

test('without the condition Node takes dist, with it the source', async () => {
  const script = "console.log(import.meta.resolve('@skerry/api'))";
  const where = async (...args: string[]) =>
    (await run(process.execPath, [...args, '--input-type=module', '-e', script])).stdout.trim();
  expect(await where('--conditions=source')).toMatch(/packages\/api\/src\/index\.ts$/);
  expect(await where()).toMatch(/api\/dist\/index\.js$/);
});

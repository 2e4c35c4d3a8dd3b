import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const ROOT = join(import.meta.dirname, '../..');

/**
 * Runs tsc once for all packages of a project file, so that there is no order to keep between them, and hands over the
 * directory of what it made: NAME/src of each package, JavaScript and declarations. It is gone afterwards.
 * @throws with what tsc says
 */
export async function compiled<T>(project: string, use: (output: string) => Promise<T>): Promise<T> {
  // In the repository, so that what is made can be moved into its place by a rename.
  const output = await mkdtemp(join(ROOT, '.build-'));
  try {
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, project), '--outDir', output], {
      maxBuffer: 16 * 1024 * 1024,
    });
    return await use(output);
  } catch (error) {
    const { stdout } = error as Error & { stdout?: string };
    throw stdout === undefined || stdout === '' ? error : new Error(stdout, { cause: error });
  } finally {
    await rm(output, { recursive: true });
  }
}

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/**
 * `npm run build`: packages/X/src -> packages/X/dist, JavaScript and declarations. Only what is packed needs it: Node
 * refuses TypeScript below node_modules. One run of tsc for all packages, so that there is no order to keep between them.
 */

const output = await mkdtemp('.build-');
try {
  // Below the directory that we run in, so that the last step is a rename on one file system.
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', output], {
    maxBuffer: 16 * 1024 * 1024,
  });
  for (const name of await readdir(output)) {
    const dist = join('packages', name, 'dist');
    await rm(dist, { recursive: true, force: true });
    await rename(join(output, name, 'src'), dist);
    console.log(dist);
  }
} catch (error) {
  const { stdout, message } = error as Error & { stdout?: string };
  console.error(stdout === undefined || stdout === '' ? message : stdout);
  process.exitCode = 1;
} finally {
  await rm(output, { recursive: true });
}

import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { hostPaths } from '@skerry/engine';

export interface NodeFiles {
  readonly binary: string;
  readonly licence: string;
}

/** Node from the npm package `node`, kept in the cache beside our own. @param version such as 24.21.0, or 20 */
export async function nodeFromNpm(version: string): Promise<NodeFiles> {
  const { cacheDir } = hostPaths(process.env, process.getuid?.() ?? 0);
  const kept = join(cacheDir, `npm-node-${version}`);
  const inside = (path: string): string => join(kept, 'node_modules/node', path);
  const files = {
    binary: inside('bin/node'),
    licence: inside(`node_modules/node-linux-${process.arch}/LICENSE`),
  };
  if (await isThere(files.binary)) return files;
  await mkdir(cacheDir, { recursive: true, mode: 0o700 });
  const temporary = await mkdtemp(`${kept}.new.`);
  try {
    // Its preinstall script gets the binary of this machine's architecture.
    const quietly = ['--no-audit', '--no-fund', '--no-update-notifier'];
    await promisify(execFile)('npm', [
      'install',
      '--prefix',
      temporary,
      ...quietly,
      '--ignore-scripts=false',
      `node@${version}`,
    ]);
    await rename(temporary, kept).catch(async (error: unknown) => {
      // Another one was quicker.
      if (!(await isThere(files.binary))) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return files;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

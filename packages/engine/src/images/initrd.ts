import { chmod, copyFile, mkdir, readFile, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createHash } from 'node:crypto';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import { openApt } from './apt.ts';
import { digestOf } from './digest.ts';
import type { Kernel } from './kernel-plan.ts';
import { withLock } from './lock.ts';
import { openWorkDir } from './publish.ts';
import { baseFiles, createTree } from './tree.ts';
import { signalOf, type BuildOptions, type ImagePaths } from './types.ts';

export interface Initrd {
  readonly path: string;
  readonly hash: string;
}

/** In the order in which they are unpacked: a directory before what is in it. */
const DIRS = ['dev', 'newroot', 'proc', 'root', 'run', 'sys', 'tmp'];

/** The agent's hash by its identity on disk: it is asked for at every start of a VM. */
const agentHashes = new Map<string, string>();

/**
 * The initramfs: the agent as /init, and the kernel's modules if it has any. An uncompressed newc archive: unpacking a
 * compressed one costs 50 ms under emulation. With `diskless` it holds the whole micro user land as well, and VMs need no disk.
 * @throws SkerryError `not-found` when the agent has not been built
 */
export async function buildInitrd(
  paths: ImagePaths,
  kernel: Kernel,
  options: BuildOptions & { readonly diskless?: boolean } = {},
): Promise<Initrd> {
  const agent = await agentHash(paths.agentBinary);
  const hash = digestOf({
    agent,
    modules: kernel.modulesDir === undefined ? null : kernel.hash,
    base: options.diskless === true ? await baseFiles(paths.guestDir) : null,
  });
  const dir = join(paths.cacheDir, 'initrd');
  const path = join(dir, `${hash}.cpio`);
  if (await isFile(path)) return { path, hash };
  return withLock(join(dir, `${hash.slice(0, 16)}.lock`), signalOf(options), async () => {
    if (await isFile(path)) return { path, hash };
    await using work = await openWorkDir(join(dir, `.work-${hash.slice(0, 16)}`));
    const tree = join(work.path, 'tree');
    if (options.diskless === true) await fillUserLand(paths, tree, options);
    else await mkdir(tree);
    for (const name of DIRS) await mkdir(join(tree, name), { recursive: true });
    await copyFile(paths.agentBinary, join(tree, 'init'));
    await chmod(join(tree, 'init'), 0o755);
    if (kernel.modulesDir !== undefined) await addModules(kernel.modulesDir, join(tree, 'lib/modules'));
    await archive(tree, join(work.path, 'initrd.cpio'), options);
    await rename(join(work.path, 'initrd.cpio'), path);
    return { path, hash };
  });
}

async function fillUserLand(paths: ImagePaths, path: string, options: BuildOptions): Promise<void> {
  const apt = openApt(paths.cacheDir);
  const debs = await apt.download(await apt.resolve(['busybox-static'], options), options);
  const tree = await createTree(path, paths.guestDir, options);
  await tree.unpack(debs, options);
  await tree.finish(options);
}

async function addModules(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) await copyFile(join(from, name), join(to, name));
}

/** Sorted names and numbered inodes: the same tree gives the same archive but for its times. */
async function archive(tree: string, file: string, options: BuildOptions): Promise<void> {
  const names = (await readdir(tree, { recursive: true })).toSorted();
  await run(
    [
      'cpio',
      '--create',
      '--format=newc',
      '--owner=+0:+0',
      '--reproducible',
      '--quiet',
      `--directory=${tree}`,
      `--file=${file}`,
    ],
    { ...signalOf(options), input: `${names.join('\n')}\n` },
  );
}

async function agentHash(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    throw new SkerryError('not-found', 'The guest agent has not been built', {
      remedy: 'Run `sh native/build.sh` (needs gcc or musl-gcc).',
      details: { path },
    });
  }
  const identity = `${path} ${found.dev} ${found.ino} ${found.size} ${found.mtimeMs}`;
  const known = agentHashes.get(identity);
  if (known !== undefined) return known;
  const hash = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  agentHashes.set(identity, hash);
  return hash;
}

function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

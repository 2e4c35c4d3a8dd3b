import { randomUUID } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readdir, readlink, rename, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run, type Argv } from '../hosts/index.ts';
import {
  appletLinks,
  mke2fsArgs,
  NAME_LINKS,
  neededMib,
  SKELETON,
  SKELETON_LINKS,
  UNPACK_SCRIPT,
} from './tree-plan.ts';
import { signalOf, type BuildOptions } from './types.ts';

/**
 * The tree of a root file system, filled on the host without running anything of it: packages are unpacked, their
 * maintainer scripts stay unread. All in it belongs to root and the packages' own users: as root for real, else in
 * fakeroot's books, which mke2fs then reads too.
 */
export interface RootTree {
  readonly path: string;
  /** Once per tree; leaves the packages' documents and translations out. */
  unpack(debs: readonly string[], options: BuildOptions): Promise<void>;
  /** Writes a file, replacing what is there. The path is the guest's, its symbolic links are followed inside the tree. */
  put(guestPath: string, bytes: Uint8Array, mode: number): Promise<void>;
  /** Links busybox's applets where no program is, and the machine's names where `put` has made no file. Comes last. */
  finish(options: BuildOptions): Promise<void>;
  /** @throws SkerryError `invalid` when it does not fit or can't be booted */
  makeExt4(file: string, sizeMib: number, uuid: string, options: BuildOptions): Promise<void>;
}

export async function createTree(path: string, guestDir: string, options: BuildOptions): Promise<RootTree> {
  const books = `${path}.fakeroot`;
  const replaced = `${path}.replaced`;
  const rootless = process.getuid?.() !== 0;
  const inTree = (...parts: string[]): string => join(path, ...parts);
  const ofRecipe = new Set<string>();
  // Moved, not removed: fakeroot's books would give its owner to whatever gets the inode next.
  const setAside = (file: string): Promise<void> => rename(file, join(replaced, randomUUID()));

  await mkdir(path);
  await mkdir(replaced);
  for (const [dir, mode] of SKELETON) {
    await mkdir(inTree(dir));
    await chmod(inTree(dir), mode); // mkdir's own mode is cut by the umask.
  }
  await chmod(path, 0o755);
  for (const [link, target] of SKELETON_LINKS) await symlink(target, inTree(link));
  const base = join(guestDir, 'rootfs');
  await run(['cp', '-R', '--no-preserve=all', '--preserve=links', `${base}/.`, path], signalOf(options));
  await settleModes(base, path);

  return {
    path,

    async unpack(debs, unpackOptions) {
      let done = 0;
      const argv: Argv = ['sh', '-c', UNPACK_SCRIPT, 'sh', path, ...debs];
      await run(rootless ? ['fakeroot', '-s', books, '--', ...argv] : argv, {
        ...signalOf(unpackOptions),
        onLine: (_line, stream) => {
          if (stream !== 'stdout') return;
          done += 1;
          unpackOptions.onProgress?.(`Unpacking packages (${done} of ${debs.length})`);
        },
      });
    },

    async put(guestPath, bytes, mode) {
      const target = await resolveInside(path, guestPath);
      await mkdir(dirname(target), { recursive: true });
      const old = await lstat(target).catch(() => undefined);
      if (old?.isDirectory() === true) throw isDirectory(guestPath);
      if (old !== undefined) await setAside(target);
      await writeFile(target, bytes, { flag: 'wx' });
      await chmod(target, mode);
      ofRecipe.add(target);
    },

    async finish(finishOptions) {
      const present = new Set([...(await readdir(inTree('usr/bin'))), ...(await readdir(inTree('usr/sbin')))]);
      const { stdout } = await run([inTree('usr/bin/busybox'), '--list-full'], signalOf(finishOptions));
      for (const link of appletLinks(stdout, present)) await symlink(link.target, inTree(link.path));
      // After everything that writes: on this host they lead out of the tree.
      for (const [link, target] of NAME_LINKS) {
        const file = inTree(link);
        const old = await lstat(file).catch(() => undefined);
        if (ofRecipe.has(file) || old?.isDirectory() === true) continue;
        if (old !== undefined) await setAside(file);
        await symlink(target, file);
      }
    },

    async makeExt4(file, sizeMib, uuid, diskOptions) {
      await requireShell(path);
      const { stdout } = await run(['du', '-sk', path], signalOf(diskOptions));
      const needed = neededMib(Number.parseInt(stdout, 10));
      if (needed > sizeMib) throw tooSmall(needed, sizeMib);
      const argv = mke2fsArgs({ tree: path, file, sizeMib, uuid });
      const known = rootless && (await lstat(books).catch(() => undefined)) !== undefined ? ['-i', books] : [];
      await run(rootless ? ['fakeroot', ...known, '--', ...argv] : argv, signalOf(diskOptions));
    },
  };
}

function isDirectory(guestPath: string): SkerryError {
  return new SkerryError('invalid', `${guestPath} is a directory in the image`, {
    remedy: 'Give the file a name inside it.',
    details: { path: guestPath },
  });
}

function tooSmall(neededMibs: number, sizeMib: number): SkerryError {
  const suggestion = Math.ceil((neededMibs * 1.25) / 64) * 64;
  return new SkerryError('invalid', `The image needs ${neededMibs} MiB, and its size is ${sizeMib} MiB`, {
    remedy: `Write \`size: ${suggestion}Mi\` in the recipe; only what is used takes room on the host.`,
    details: { neededMib: neededMibs, sizeMib },
  });
}

/** The agent runs every command of a user through it; without one, nothing but the agent would run. */
async function requireShell(tree: string): Promise<void> {
  const shell = await resolveInside(tree, '/bin/sh')
    .then(lstat, () => undefined)
    .catch(() => undefined);
  if (shell?.isFile() === true || shell?.isSymbolicLink() === true) return;
  throw new SkerryError('invalid', 'The image has no /bin/sh: nothing can be run in it', {
    remedy: 'Do not replace /bin/sh or /usr/bin/busybox by a file of the recipe that is no program.',
  });
}

/** The checkout's modes depend on the user's umask; of them only the x bit counts. */
async function settleModes(base: string, tree: string): Promise<void> {
  for (const entry of await readdir(base, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const relative = join(entry.parentPath, entry.name).slice(base.length + 1);
    const executable = ((await lstat(join(base, relative))).mode & 0o100) !== 0;
    await chmod(join(tree, relative), relative === 'etc/shadow' ? 0o600 : executable ? 0o755 : 0o644);
  }
}

const MAX_LINKS = 40;

/**
 * Where a guest's path is on the host. Links in the middle are followed as the guest would: an absolute one starts at the
 * tree, and none leads out of it. The last part is not followed: a link there is replaced.
 */
export async function resolveInside(tree: string, guestPath: string): Promise<string> {
  let left = guestPath.split('/').filter((part) => part !== '' && part !== '.');
  let done = '/';
  let links = 0;
  while (left.length > 0) {
    const [part = '', ...rest] = left;
    const next = part === '..' ? posix.dirname(done) : posix.join(done, part);
    left = rest;
    const target = rest.length === 0 ? undefined : await readlink(join(tree, next)).catch(() => undefined);
    if (target === undefined) {
      done = next;
      continue;
    }
    links += 1;
    if (links > MAX_LINKS) {
      throw new SkerryError('invalid', `Too many symbolic links in ${guestPath}`, {
        remedy: 'Give the file another path.',
      });
    }
    left = [...target.split('/').filter((name) => name !== '' && name !== '.'), ...rest];
    if (target.startsWith('/')) done = '/';
  }
  return join(tree, done);
}

/** Everything the micro image takes from the repository, for the hash of an image's inputs. */
export async function baseFiles(guestDir: string): Promise<Record<string, string>> {
  const base = join(guestDir, 'rootfs');
  const files: Record<string, string> = {};
  for (const entry of await readdir(base, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const relative = file.slice(base.length + 1);
    if (entry.isSymbolicLink()) files[relative] = `-> ${await readlink(file)}`;
    else if (entry.isFile()) files[relative] = `${(await lstat(file)).mode & 0o100} ${await readFile(file, 'utf8')}`;
  }
  return files;
}

import { mkdir, mkdtemp, open, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import { digestsOf } from './digests.ts';
import { MANIFEST, parseManifest, type ArchiveKind, type Manifest } from './manifest.ts';
import { openArchive, type ArchiveWork } from './read.ts';

export interface ArchiveWish<T> {
  /** An absolute path. */
  readonly to: string;
  /** Replace what is there. */
  readonly force: boolean;
  readonly skerry: string;
  readonly about: T;
  readonly files: ReadonlyArray<{ readonly name: string; readonly path: string }>;
  /** Where links to the files are put meanwhile. */
  readonly workDir: string;
}

/**
 * Refuses a place that can't be written to, before anything is collected for it.
 * @throws SkerryError `invalid`, `conflict` (there is a file already), `not-found` (no such directory), `refused`
 */
export async function assertWritable(to: string, force: boolean): Promise<void> {
  if (!isAbsolute(to) || to.includes('\0')) {
    throw new SkerryError('invalid', `'${to}' is no absolute path`, { remedy: 'Write a path that starts with /.' });
  }
  const found = await stat(to).catch(() => undefined);
  if (found !== undefined && (!force || !found.isFile())) {
    throw new SkerryError('conflict', `${to} is there already`, {
      remedy: found.isFile() ? 'Choose another name, or replace it with --force.' : 'Name a file.',
    });
  }
  const parent = await stat(dirname(to)).catch(() => undefined);
  if (parent?.isDirectory() !== true) {
    throw new SkerryError('not-found', `There is no directory ${dirname(to)}`, { remedy: `mkdir -p ${dirname(to)}` });
  }
}

/**
 * One file, for its owner only, that is there whole or not at all. `tar` moves the bytes.
 * @returns its size
 * @throws SkerryError as `assertWritable`, `failed` (a file changed meanwhile), `no-space`, `cancelled`
 */
export async function writeArchive<T>(
  kind: ArchiveKind<T>,
  wish: ArchiveWish<T>,
  { signal, onProgress }: ArchiveWork = {},
): Promise<{ readonly sizeBytes: number; readonly manifest: Manifest<T> }> {
  const { to, files } = wish;
  await assertWritable(to, wish.force);
  const options = signal === undefined ? {} : { signal };
  await using undo = new AsyncDisposableStack();
  const stage = await mkdtemp(join(wish.workDir, '.archive-'));
  undo.defer(() => rm(stage, { recursive: true, force: true }));

  onProgress?.('Computing digests');
  const [digests, stats] = await Promise.all([
    digestsOf(
      files.map(({ path }) => path),
      signal,
    ),
    Promise.all(files.map(({ path }) => stat(path))),
  ]);
  const manifest: Manifest<T> = {
    format: kind.format,
    version: kind.version,
    skerry: wish.skerry,
    createdAt: new Date().toISOString(),
    about: wish.about,
    files: files.map(({ name }, index) => ({
      name,
      sizeBytes: stats[index]?.size ?? 0,
      sha256: digests[index] ?? '',
    })),
  };
  const text = `${JSON.stringify(manifest, null, 1)}\n`;
  parseManifest(text, kind); // What we would not read we do not write.
  await writeFile(join(stage, MANIFEST), text);
  for (const { name, path } of files) {
    await mkdir(dirname(join(stage, name)), { recursive: true });
    await symlink(path, join(stage, name));
  }

  onProgress?.(`Writing ${basename(to)}`);
  const temporary = join(dirname(to), `.${basename(to)}.${process.pid}.new`);
  undo.defer(() => rm(temporary, { force: true }));
  const names = [MANIFEST, ...files.map(({ name }) => name)];
  try {
    await (await open(temporary, 'w', 0o600)).close();
    await run(
      [
        'tar',
        ...['--create', '--format=gnu', '--dereference', '--hard-dereference', '--no-recursion'],
        ...['--owner=root:0', '--group=root:0', '--mode=0600', '--mtime=@0'],
        ...[`--file=${temporary}`, `--directory=${stage}`, '--null', '--verbatim-files-from', '--files-from=-'],
      ],
      { ...options, input: names.join('\0') },
    );
    await syncPath(temporary);
  } catch (error) {
    throw explain(error, dirname(to));
  }
  await openArchive(temporary, kind);
  const { size } = await stat(temporary);
  await rename(temporary, to);
  await syncPath(dirname(to));
  return { sizeBytes: size, manifest };
}

export async function syncPath(path: string): Promise<void> {
  await using file = await open(path, 'r');
  await file.sync();
}

function explain(error: unknown, dir: string): unknown {
  const text = error instanceof SkerryError ? JSON.stringify(error.details ?? {}) : String(error);
  const remedy = 'Choose another place for it with --to.';
  if (/ENOSPC|No space left|quota/i.test(text)) {
    return new SkerryError('no-space', `There is no room in ${dir}`, { remedy, cause: error });
  }
  if (/EACCES|EPERM|EROFS/.test(text)) {
    return new SkerryError('refused', `The daemon may not write in ${dir}`, { remedy, cause: error });
  }
  return error;
}

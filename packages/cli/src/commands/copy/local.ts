import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { SkerryError } from '@skerry/api/base';

/** Files of this machine, as one end of a copy. */

export interface Entry {
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
}

export interface Opened {
  readonly source: Readable;
  readonly sizeBytes: number | undefined;
  readonly mode: number | undefined;
}

/** `undefined`: it is not there. */
export async function localType(path: string): Promise<Entry['type'] | undefined> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return undefined;
  return info.isDirectory() ? 'directory' : info.isFile() ? 'file' : 'other';
}

/** @throws SkerryError `not-found`, `refused` */
export async function openLocal(path: string): Promise<Opened> {
  try {
    const info = await stat(path);
    const source = createReadStream(path);
    await new Promise<void>((resolve, reject) => source.once('open', () => resolve()).once('error', reject));
    return { source, sizeBytes: info.isFile() ? info.size : undefined, mode: info.mode & 0o7777 };
  } catch (error) {
    throw readError(path, error);
  }
}

/** The names in a directory; links are followed to files, not to directories, which could lead in a circle. */
export async function listLocal(path: string): Promise<Entry[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return await Promise.all(
    entries.map(async (entry): Promise<Entry> => {
      const { name } = entry;
      if (entry.isDirectory()) return { name, type: 'directory' };
      if (entry.isFile()) return { name, type: 'file' };
      if (!entry.isSymbolicLink()) return { name, type: 'other' };
      return { name, type: (await localType(`${path}/${name}`)) === 'file' ? 'file' : 'symlink' };
    }),
  );
}

export async function makeLocalDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
}

/**
 * Writes a file that is there whole or not at all.
 * @returns its SHA-256
 */
export async function writeLocal(
  path: string,
  source: AsyncIterable<Buffer>,
  mode: number | undefined,
): Promise<string> {
  const partial = `${path}.${randomBytes(4).toString('hex')}.part`;
  const hash = createHash('sha256');
  try {
    {
      await using file = await open(partial, 'wx', mode ?? 0o644);
      for await (const chunk of source) {
        hash.update(chunk);
        await file.writeFile(chunk);
      }
      await file.datasync();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw writeError(path, error);
  }
  return hash.digest('hex');
}

function readError(path: string, error: unknown): SkerryError {
  if (codeOf(error) === 'ENOENT')
    return new SkerryError('not-found', `There is no ${path}`, { remedy: 'Check the path.', cause: error });
  return new SkerryError('refused', `${path} can't be read: ${(error as Error).message}`, {
    remedy: 'Check its rights.',
    cause: error,
  });
}

function writeError(path: string, error: unknown): SkerryError {
  if (error instanceof SkerryError) return error;
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SkerryError('no-space', `There is no room for ${path}`, {
      remedy: 'Free some space, or choose another disk.',
      cause: error,
    });
  }
  if (code === 'ENOENT') {
    return new SkerryError('not-found', `There is no directory for ${path}`, {
      remedy: 'Make it first.',
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'EISDIR') {
    return new SkerryError('refused', `${path} can't be written: ${(error as Error).message}`, {
      remedy: 'Choose another place.',
      cause: error,
    });
  }
  return SkerryError.from(error);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

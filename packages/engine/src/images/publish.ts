import { mkdir, open, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SkerryError } from '@skerry/api';

/** Files and directories appear whole or not at all: written beside their place, made durable, renamed. */

/**
 * A directory to build in, beside the published ones, gone on disposal. Only under the lock of what is built there: what
 * a killed build left in it is removed first.
 */
export async function openWorkDir(path: string): Promise<AsyncDisposable & { readonly path: string }> {
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 3 });
  await remove();
  await mkdir(path, { recursive: true });
  return { path, [Symbol.asyncDispose]: remove };
}

/** Gives a work directory its name for good. Its own entries are made durable first; deeper ones by who wrote them. */
export async function publishDir(workPath: string, finalPath: string): Promise<void> {
  for (const entry of await readdir(workPath, { withFileTypes: true })) {
    if (entry.isFile()) await syncPath(join(workPath, entry.name));
  }
  await syncPath(workPath);
  await rename(workPath, finalPath);
  await syncPath(dirname(finalPath));
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${process.pid}.new`;
  const file = await open(temporary, 'w', 0o644);
  try {
    await file.writeFile(`${JSON.stringify(value, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** The JSON of a file, or undefined when there is none. What is not JSON counts as none: it is made again. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** A full disk and a cancelled build, told as such; any other error as it is. */
export function explainFailure(error: unknown, where: string): unknown {
  if ((error as Error).name === 'AbortError' || (error as SkerryError).code === 'cancelled') {
    return new SkerryError('cancelled', 'The build was cancelled', { cause: error });
  }
  const text = error instanceof SkerryError ? `${error.message} ${String(error.details?.['stderr'])}` : String(error);
  if (!/ENOSPC|No space left on device|Disk quota exceeded/.test(text)) return error;
  return new SkerryError('no-space', `There is no room left in ${where}`, {
    remedy: 'Free some space, or point SKERRY_CACHE_DIR and SKERRY_DATA_DIR at a larger disk.',
    cause: error,
  });
}

async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

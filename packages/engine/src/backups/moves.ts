import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { z } from 'zod';
import { syncPath } from '../archives/index.ts';
import { withLock, writeJson } from '../images/index.ts';

/**
 * The half of a restore that changes something, so that a kill at any instant leaves the old state or the new one:
 * `DATA/.restore/new` holds what shall be there; `commit.json`, written last, says what goes where. Without it nothing has
 * happened, and what is in `.restore` is thrown away; with it the moves are made by whoever comes next, a daemon that starts
 * or another restore. What was there before is kept in `old` until all is done.
 */

const WORK = '.restore';
const COMMIT = 'commit.json';

const PATH = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]*$/);
const Commit = z.object({
  version: z.literal(1),
  /** Paths in the data directory that get what is in `new`. */
  replace: z.array(PATH),
  /** Paths that shall have nothing. */
  remove: z.array(PATH),
});
type Commit = z.infer<typeof Commit>;

export interface RestoreWork {
  /** Unpack here. */
  readonly newDir: string;
  /** From here on the new state is what there is. Paths are relative to the data directory. */
  readonly commit: (moves: Pick<Commit, 'replace' | 'remove'>) => Promise<void>;
}

/**
 * Runs `body` with an empty work directory, alone; what it commits is carried out. Daemons that start meanwhile wait.
 */
export async function withRestoreWork<T>(dataDir: string, body: (work: RestoreWork) => Promise<T>): Promise<T> {
  return locked(dataDir, async () => {
    await carryOut(dataDir);
    const work = join(dataDir, WORK);
    const newDir = join(work, 'new');
    try {
      await mkdir(newDir, { recursive: true, mode: 0o700 });
      return await body({
        newDir,
        async commit(moves) {
          await syncTree(newDir);
          await writeJson(join(work, COMMIT), { version: 1, ...moves });
          await syncPath(work);
          await syncPath(dataDir);
          await carryOut(dataDir);
        },
      });
    } finally {
      await carryOut(dataDir);
    }
  });
}

/** Before the store is opened: what a restore has begun is finished, or taken back. Waits for one that runs. */
export async function finishRestore(dataDir: string): Promise<void> {
  if (!(await exists(join(dataDir, WORK)))) return;
  await locked(dataDir, () => carryOut(dataDir));
}

function locked<T>(dataDir: string, body: () => Promise<T>): Promise<T> {
  return withLock(join(dataDir, '.restore.lock'), {}, body);
}

/** Each step may have been done already. */
async function carryOut(dataDir: string): Promise<void> {
  const work = join(dataDir, WORK);
  const { remove, replace } = (await committed(work)) ?? { remove: [], replace: [] };
  const setAside = async (path: string): Promise<void> => {
    const old = join(work, 'old', path);
    if (!(await exists(join(dataDir, path))) || (await exists(old))) return;
    await mkdir(dirname(old), { recursive: true, mode: 0o700 });
    await rename(join(dataDir, path), old);
  };
  for (const path of remove) await setAside(path);
  for (const path of replace) {
    const from = join(work, 'new', path);
    if (!(await exists(from))) continue;
    await setAside(path);
    const to = join(dataDir, path);
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await rename(from, to);
    await syncPath(dirname(to));
  }
  await syncPath(dataDir);
  // First what makes it count: the rest is only room on the disk.
  await rm(join(work, COMMIT), { force: true });
  await rm(work, { recursive: true, force: true });
}

async function committed(work: string): Promise<Commit | undefined> {
  const text = await readFile(join(work, COMMIT), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const parsed = Commit.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new SkerryError('unsupported', `${join(work, COMMIT)} was not written by this Skerry`, {
    remedy: 'Run the newer Skerry that began the restore: it finishes it.',
  });
}

/** Files are durable already (dd conv=fsync); the directories that name them are not. */
async function syncTree(dir: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncTree(join(dir, entry.name));
    else await syncPath(join(dir, entry.name));
  }
  await syncPath(dir);
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

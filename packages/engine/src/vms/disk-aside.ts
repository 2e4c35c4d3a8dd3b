import { link, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { diskFiles } from './disks.ts';

/**
 * A VM's disk that is kept while another one is tried in its place: `previous/` in the VM's directory has hard links to its
 * files. It appears whole or not at all, and each step can be done again after it was cut off. The VM has no process meanwhile.
 */

const ASIDE = 'previous';

/** The VM in `dir` has no disk afterwards. A disk that is aside already stays so, and what is there instead of it goes. */
export async function setDiskAside(dir: string): Promise<void> {
  const aside = join(dir, ASIDE);
  if ((await filesIn(aside)) === undefined) {
    const unfinished = `${aside}.new`;
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished, { recursive: true, mode: 0o700 });
    for (const name of await diskFiles(dir)) await link(join(dir, name), join(unfinished, name));
    await rename(unfinished, aside);
  }
  await removeDisk(dir);
}

/** The disk that was aside is the VM's again, and still aside. @returns false when there is none */
export async function bringDiskBack(dir: string): Promise<boolean> {
  const aside = join(dir, ASIDE);
  const names = await filesIn(aside);
  if (names === undefined) return false;
  await removeDisk(dir);
  for (const name of names) await link(join(aside, name), join(dir, name));
  return true;
}

/** The disk that was aside is not needed any more. */
export async function dropDiskAside(dir: string): Promise<void> {
  // Not half of it: what is there counts as whole.
  const gone = join(dir, `${ASIDE}.gone`);
  await rm(gone, { recursive: true, force: true });
  await rename(join(dir, ASIDE), gone).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
  await rm(gone, { recursive: true, force: true });
}

async function removeDisk(dir: string): Promise<void> {
  for (const name of await diskFiles(dir)) await rm(join(dir, name), { force: true });
}

async function filesIn(dir: string): Promise<string[] | undefined> {
  return readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

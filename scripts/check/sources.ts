import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Source } from './finding.ts';

const SKIPPED_FOLDERS = new Set(['.git', 'node_modules', 'dist', '.skerry']);
const SKIPPED_PATHS = new Set(['native/build', 'bench/results', 'docs/evidence']);
/** Past this a file is data (an archive, a picture), not something that we wrote. */
const MAX_BYTES = 1024 * 1024;

/** Reads every text file below `root` that could be committed. A walk and not `git ls-files`: works on any copy. */
export async function readSources(root: string): Promise<Source[]> {
  const sources: Source[] = [];
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!SKIPPED_FOLDERS.has(entry.name) && !SKIPPED_PATHS.has(path)) await visit(path);
      } else if (entry.isFile() && (await stat(join(root, path))).size <= MAX_BYTES) {
        const text = await readFile(join(root, path), 'utf8');
        if (!text.includes('\0')) sources.push({ path, text });
      }
    }
  };
  await visit('');
  return sources;
}

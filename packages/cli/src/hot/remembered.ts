import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { dataDir, findEndpoint } from '@skerry/sdk/daemon-process';

/**
 * Node files as they were read last: schemas and the YAML parser take longer to load than `skerry up` of a node that is up
 * may take. Each is worth something only as long as all files that it came from are untouched.
 */

const VERSION = 1;

interface Remembered {
  readonly version: number;
  /** Path -> what tells that the file is still the same. */
  readonly files: Readonly<Record<string, string>>;
  /** What the API gets, with its defaults and the contents of the files in it. */
  readonly body: { readonly name: string };
}

/** What tells that files are still as they were read. */
export class FileMarks {
  readonly marks: Record<string, string> = {};

  /** Just before it is read: a change that comes during that shows. */
  add(path: string): void {
    this.marks[path] = markOf(path) ?? '';
  }
}

/** @param reads all files that the declaration came from. Failing is no failure: it is read again the next time. */
export async function rememberFile(file: string, reads: FileMarks, body: Remembered['body']): Promise<void> {
  try {
    if (!findEndpoint().own) return;
    const path = pathFor(file);
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 });
    const unfinished = `${path}.${process.pid}`;
    const remembered: Remembered = { version: VERSION, files: reads.marks, body };
    await writeFile(unfinished, JSON.stringify(remembered), { mode: 0o600 });
    await rename(unfinished, path);
  } catch {
    // A disk that is full, or not ours.
  }
}

/** Undefined: it has to be read. */
export async function rememberedFile(file: string): Promise<Remembered['body'] | undefined> {
  try {
    const { version, files, body } = JSON.parse(await readFile(pathFor(file), 'utf8')) as Remembered;
    if (version !== VERSION) return undefined;
    return Object.entries(files).every(([path, mark]) => markOf(path) === mark) ? body : undefined;
  } catch {
    return undefined;
  }
}

/** Changes with whatever is done to the file: its change time can't be set back. */
function markOf(path: string): string | undefined {
  const info = statSync(path, { bigint: true, throwIfNoEntry: false });
  return info && [info.dev, info.ino, info.size, info.mtimeNs, info.ctimeNs].join(' ');
}

function pathFor(file: string): string {
  const name = createHash('sha256').update(resolve(file)).digest('hex').slice(0, 32);
  return join(dataDir(), 'cli', `${name}.json`);
}

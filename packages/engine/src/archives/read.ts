import { mkdir, open, statfs, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import { digestsOf } from './digests.ts';
import {
  MANIFEST,
  MANIFEST_MAX_BYTES,
  parseManifest,
  type ArchiveFile,
  type ArchiveKind,
  type Manifest,
} from './manifest.ts';
import { BLOCK_BYTES, paddedBytes, parseTarHeader, type TarHeader } from './tar-model.ts';

/**
 * Archives that anybody may have written. Headers are read here, strictly; contents are moved by `dd` from the places that
 * were checked, so there is no second reader that could take the same bytes for something else.
 */

export interface ArchiveWork {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((message: string, fraction?: number) => void) | undefined;
}

interface Placed extends ArchiveFile {
  readonly offsetBytes: number;
}

/** Kept free on the disk that an archive is unpacked to. */
const SPARE_BYTES = 64 * 2 ** 20;

export class Archive<T> {
  readonly path: string;
  readonly manifest: Manifest<T>;
  readonly #files: readonly Placed[];

  constructor(path: string, manifest: Manifest<T>, files: readonly Placed[]) {
    this.path = path;
    this.manifest = manifest;
    this.#files = files;
  }

  /**
   * Unpacks files into a directory of the caller's own, made durable and compared with their digests. What is there after
   * a failure is the caller's to remove.
   * @throws SkerryError `no-space` (before anything is written), `failed` (damaged), `cancelled`
   */
  async extract(dir: string, wanted: (name: string) => boolean, work: ArchiveWork = {}): Promise<void> {
    const files = this.#files.filter(({ name }) => wanted(name));
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
    const { bavail, bsize } = await statfs(dir);
    if (bavail * bsize < totalBytes + SPARE_BYTES) {
      throw new SkerryError('no-space', `There is no room in ${dir} for ${Math.ceil(totalBytes / 2 ** 20)} MiB`, {
        remedy: 'Free some space, or point SKERRY_DATA_DIR and SKERRY_CACHE_DIR at a larger disk.',
      });
    }
    let doneBytes = 0;
    for (const { name, sizeBytes, offsetBytes } of files) {
      work.onProgress?.(`Unpacking ${name}`, totalBytes === 0 ? undefined : doneBytes / totalBytes);
      const target = join(dir, name);
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      // Made here for its rights: for its owner only.
      await (await open(target, 'wx', 0o600)).close();
      await run(
        [
          'dd',
          `if=${this.path}`,
          `of=${target}`,
          'bs=1M',
          'iflag=skip_bytes,count_bytes,fullblock',
          `skip=${offsetBytes}`,
          `count=${sizeBytes}`,
          'conv=sparse,fsync',
          'status=none',
        ],
        work.signal === undefined ? {} : { signal: work.signal },
      );
      doneBytes += sizeBytes;
    }
    work.onProgress?.('Comparing digests');
    const digests = await digestsOf(
      files.map(({ name }) => join(dir, name)),
      work.signal,
    );
    for (const [index, { name, sha256 }] of files.entries()) {
      if (digests[index] === sha256) continue;
      throw new SkerryError('failed', `${this.path} is damaged: '${name}' is not what it was`, {
        remedy: 'Copy it again, or use another one.',
        details: { name, expected: sha256, found: digests[index] },
      });
    }
  }
}

/**
 * Looks at all headers and at the manifest; contents are not read.
 * @throws SkerryError `not-found`, `invalid` (hostile, or something else), `unsupported` (newer), `failed` (cut short)
 */
export async function openArchive<T>(path: string, kind: ArchiveKind<T>): Promise<Archive<T>> {
  await using file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new SkerryError(error.code === 'ENOENT' ? 'not-found' : 'refused', `${path} can't be read: ${error.code}`, {
      remedy: `Name the ${kind.word}, as an absolute path or from this directory.`,
      cause: error,
    });
  });
  const stat = await file.stat();
  if (!stat.isFile()) {
    throw new SkerryError('invalid', `${path} is no regular file`, { remedy: `Name the file of the ${kind.word}.` });
  }
  const first = await headerAt(file, 0, path);
  if (first?.name !== MANIFEST || first.sizeBytes > MANIFEST_MAX_BYTES) {
    throw new SkerryError('invalid', `${path} is no ${kind.word} of Skerry: it does not begin with a manifest`, {
      remedy: `Give a ${kind.word} as Skerry has written it.`,
    });
  }
  const text = Buffer.alloc(first.sizeBytes);
  const { bytesRead } = await file.read(text, 0, first.sizeBytes, BLOCK_BYTES);
  if (bytesRead < first.sizeBytes) throw cutShort(path, MANIFEST);
  const manifest = parseManifest(text.toString('utf8'), kind);

  const files: Placed[] = [];
  let at = BLOCK_BYTES + paddedBytes(first.sizeBytes);
  for (const expected of manifest.files) {
    const header = await headerAt(file, at, path, expected.name);
    if (header?.name !== expected.name || header.sizeBytes !== expected.sizeBytes) {
      throw new SkerryError('invalid', `${path} does not hold what its manifest says: '${expected.name}' is missing`, {
        remedy: `Give a ${kind.word} as Skerry has written it.`,
        details: { expected: expected.name, found: header?.name },
      });
    }
    const offsetBytes = at + BLOCK_BYTES;
    at = offsetBytes + paddedBytes(expected.sizeBytes);
    if (at > stat.size) throw cutShort(path, expected.name);
    files.push({ ...expected, offsetBytes });
  }
  if ((await headerAt(file, at, path)) !== undefined) {
    throw new SkerryError('invalid', `${path} holds more than its manifest says`, {
      remedy: `Give a ${kind.word} as Skerry has written it.`,
    });
  }
  return new Archive(path, manifest, files);
}

async function headerAt(
  file: FileHandle,
  offset: number,
  path: string,
  name = 'its end',
): Promise<TarHeader | undefined> {
  const block = Buffer.alloc(BLOCK_BYTES);
  const { bytesRead } = await file.read(block, 0, BLOCK_BYTES, offset);
  if (bytesRead < BLOCK_BYTES) throw cutShort(path, name);
  return parseTarHeader(block);
}

function cutShort(path: string, name: string): SkerryError {
  return new SkerryError('failed', `${path} is damaged: it ends before '${name}' does`, {
    remedy: 'Copy it again, or use another one.',
  });
}

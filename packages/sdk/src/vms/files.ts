import { createHash } from 'node:crypto';
import { PassThrough, pipeline, Readable } from 'node:stream';
import { type FileDigest, type FileEntry, SHA256_TRAILER, SkerryError } from '@skerry/api/base';
import type { Skerry } from '../client.ts';
import { connectionError } from '../transport/problem.ts';

export type FileContent = string | Uint8Array | Readable | AsyncIterable<Uint8Array | string>;

export interface WriteOptions {
  /** Such as 0o755; default: 0o644, or what the file has. */
  readonly mode?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The files in a VM. Streamed, of any size; what arrives is compared by SHA-256 with what was sent. */
export class VmFiles {
  readonly #client: Skerry;
  readonly #vm: string;

  constructor(client: Skerry, vm: string) {
    this.#client = client;
    this.#vm = vm;
  }

  /**
   * Writes a file, which is there whole or not at all.
   * @throws SkerryError `not-found` (no such directory), `no-space`, `failed` (it arrived damaged)
   */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<FileDigest> {
    const hash = createHash('sha256');
    const source = Readable.from(hashed(chunksOf(content), hash), { objectMode: false });
    const arrived = await this.#client.upload('vm.file.put', {
      params: { vm: this.#vm },
      query: { path, mode: options.mode?.toString(8) },
      source,
      signal: options.signal,
    });
    const sent = hash.digest('hex');
    const digest = arrived as FileDigest;
    if (digest.sha256 !== sent) throw damaged(path, sent, digest.sha256);
    return digest;
  }

  /** A file's bytes; the stream ends with an error if they are not what the guest has sent. */
  async open(path: string, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Readable> {
    const response = await this.#client.download('vm.file.get', {
      params: { vm: this.#vm },
      query: { path },
      signal: options.signal,
    });
    const hash = createHash('sha256');
    const output = new PassThrough({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
      flush(done) {
        const came = hash.digest('hex');
        const sent = response.trailers[SHA256_TRAILER];
        done(sent === came ? null : damaged(path, sent ?? 'no checksum', came));
      },
    });
    pipeline(response, output, () => {});
    response.once('error', (error) => output.destroy(connectionError(error, 'its socket')));
    return output;
  }

  /** A whole file in memory. */
  async read(path: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of (await this.open(path, options)) as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  async list(path: string): Promise<FileEntry[]> {
    return await this.#client.call('vm.file.list', { params: { vm: this.#vm }, query: { path } });
  }

  async stat(path: string): Promise<FileEntry> {
    return await this.#client.call('vm.file.stat', { params: { vm: this.#vm }, query: { path } });
  }
}

function chunksOf(content: FileContent): AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string> {
  return typeof content === 'string' || content instanceof Uint8Array ? [content] : content;
}

async function* hashed(
  chunks: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    hash.update(bytes);
    if (bytes.length > 0) yield bytes;
  }
}

function damaged(path: string, sent: string, came: string): SkerryError {
  return new SkerryError('failed', `${path} arrived damaged or in part (SHA-256 ${sent} was sent, ${came} came)`, {
    remedy: 'Copy it again; if it fails again, see `skerry daemon logs`.',
  });
}

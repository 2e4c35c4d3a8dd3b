import { open, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PCAP_HEADER_BYTES, RECORD_HEADER_BYTES } from './pcap.ts';
import { olderGeneration, WHOLE_MODE } from './ring-file.ts';

/** One of the two files of a capture, as who reads it sees it. */

const CHUNK_BYTES = 64 * 1024;
/** Between two renames there is no file at the path. */
const MAX_ATTEMPTS = 20;
const RETRY_MS = 5;

export class Generation implements AsyncDisposable {
  readonly #file: FileHandle;
  #position = 0;
  /** The beginning of a record that is not whole yet. */
  #rest: Buffer = Buffer.alloc(0);

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @returns undefined: there is none */
  static async open(path: string): Promise<Generation | undefined> {
    return await open(path, 'r').then(
      (file) => new Generation(file),
      () => undefined,
    );
  }

  /** What has come since the last call; the last record may be half written. */
  async *records(withHeader: boolean): AsyncGenerator<Buffer> {
    let wantsHeader = withHeader && this.#position === 0;
    this.#position ||= withHeader ? 0 : PCAP_HEADER_BYTES;
    for (;;) {
      const { bytesRead, buffer } = await this.#file.read(
        Buffer.allocUnsafe(CHUNK_BYTES),
        0,
        CHUNK_BYTES,
        this.#position,
      );
      if (bytesRead === 0) return;
      this.#position += bytesRead;
      this.#rest = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
      if (wantsHeader && this.#rest.length < PCAP_HEADER_BYTES) continue;
      let end = wantsHeader ? PCAP_HEADER_BYTES : 0;
      wantsHeader = false;
      for (let next = recordEnd(this.#rest, end); next <= this.#rest.length; next = recordEnd(this.#rest, end))
        end = next;
      const whole = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      if (whole.length > 0) yield whole;
    }
  }

  /** Whether nothing more will come. */
  async isWhole(): Promise<boolean> {
    return ((await this.#file.stat()).mode & 0o777) === WHOLE_MODE;
  }

  /** Whether it is the file of that name now. */
  async isAt(path: string): Promise<boolean> {
    const [own, there] = await Promise.all([this.#file.stat(), stat(path).catch(() => undefined)]);
    return own.ino === there?.ino;
  }

  async isSame(other: Generation): Promise<boolean> {
    const [own, its] = await Promise.all([this.#file.stat(), other.#file.stat()]);
    return own.ino === its.ino;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

export interface Generations {
  readonly older: Generation | undefined;
  readonly newer: Generation;
}

/** Both of one moment: the newer one is still at its path when the older one is open. @throws Error ENOENT */
export async function openGenerations(path: string): Promise<Generations> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const newer = await Generation.open(path);
    if (newer !== undefined) {
      const older = await Generation.open(olderGeneration(path));
      if (await newer.isAt(path)) return { older, newer };
      for (const each of [newer, older]) await each?.[Symbol.asyncDispose]();
    }
    await sleep(RETRY_MS);
  }
  throw Object.assign(new Error(`${path} is not there`), { code: 'ENOENT' });
}

function recordEnd(bytes: Buffer, at: number): number {
  const isThere = at + RECORD_HEADER_BYTES <= bytes.length;
  return isThere ? at + RECORD_HEADER_BYTES + bytes.readUInt32LE(at + 8) : Infinity;
}

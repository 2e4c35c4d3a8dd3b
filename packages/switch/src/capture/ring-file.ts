import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import { pcapHeader, PCAP_HEADER_BYTES } from './pcap.ts';
import type { CaptureSink } from './sink.ts';

/** Of a file to which nothing will be added any more: who follows it sees that change. */
export const WHOLE_MODE = 0o400;

/**
 * A pcap file in two generations, PATH.1 and, newer, PATH: when PATH has half of the ring it takes the place of PATH.1.
 * Each is whole for itself. Joined they are PATH.1, then PATH without its header (see read.ts).
 */
export class RingFile implements CaptureSink {
  readonly #path: string;
  readonly #snapBytes: number;
  readonly #generationBytes: number;
  #handle: FileHandle;
  #bytes = PCAP_HEADER_BYTES;
  #olderBytes = 0;

  private constructor(path: string, snapBytes: number, ringBytes: number, handle: FileHandle) {
    this.#path = path;
    this.#snapBytes = snapBytes;
    this.#generationBytes = ringBytes / 2;
    this.#handle = handle;
  }

  /** @throws Error when one of the two files is there, or can not be made */
  static async create(path: string, snapBytes: number, ringBytes: number): Promise<RingFile> {
    const older = await stat(olderGeneration(path)).catch(() => undefined);
    if (older !== undefined) throw new Error(`${olderGeneration(path)} is there already`);
    return new RingFile(path, snapBytes, ringBytes, await begin(path, snapBytes));
  }

  get keptBytes(): number {
    return this.#bytes + this.#olderBytes;
  }

  async write(records: Buffer): Promise<void> {
    if (this.#bytes + records.length > this.#generationBytes) await this.#turn();
    await this.#handle.appendFile(records);
    this.#bytes += records.length;
  }

  async close(): Promise<void> {
    try {
      await this.#handle.chmod(WHOLE_MODE);
    } finally {
      await this.#handle.close();
    }
  }

  abandon(): void {
    void this.close().catch(() => {});
  }

  async #turn(): Promise<void> {
    await rename(this.#path, olderGeneration(this.#path));
    const before = this.#handle;
    this.#handle = await begin(this.#path, this.#snapBytes);
    this.#olderBytes = this.#bytes;
    this.#bytes = PCAP_HEADER_BYTES;
    await before.close();
  }
}

export function olderGeneration(path: string): string {
  return `${path}.1`;
}

/** A file of ours: nothing that is there already is written to, nor what a link at its place leads to (O_EXCL, open(2)). */
async function begin(path: string, snapBytes: number): Promise<FileHandle> {
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.appendFile(pcapHeader(snapBytes));
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

import { connect, type Socket } from 'node:net';
import { pcapHeader } from './pcap.ts';
import type { CaptureSink } from './sink.ts';

/** Somebody who follows a capture at a unix socket: one pcap stream, until either side hangs up. */
export class ReaderSocket implements CaptureSink {
  keptBytes = 0;
  readonly gone: Promise<void>;
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.gone = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {}); // 'close' follows
    socket.resume(); // or its end would not be seen
  }

  /** @throws Error when nobody listens there */
  static async connect(path: string, snapBytes: number): Promise<ReaderSocket> {
    const socket = connect({ path });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const reader = new ReaderSocket(socket);
    void reader.write(pcapHeader(snapBytes)).catch(() => {}); // 'close' follows
    return reader;
  }

  async write(records: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(records, (error) => (error ? reject(error) : resolve()));
    });
    this.keptBytes += records.length;
  }

  async close(): Promise<void> {
    this.#socket.end();
    await this.gone;
  }

  abandon(): void {
    this.#socket.destroy();
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectSwitch, type SwitchClient } from '../src/client.ts';
import { FrameReader, withLength } from '../src/framing.ts';
import { SWITCH_ARGV } from '../src/program.ts';

/** A directory of its own per test, removed after it. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'skerry-switch-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface SwitchProcess extends AsyncDisposable {
  readonly pid: number;
  readonly client: SwitchClient;
  readonly exited: Promise<number | null>;
  readonly log: () => string;
}

/** The real process, with its control socket and pid file in `directory`. */
export async function startSwitch(directory: string): Promise<SwitchProcess> {
  const { child, exited, log } = spawnSwitch(directory);
  let client: SwitchClient | undefined;
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`the switch ended: ${log()}`);
    client = await connectSwitch(join(directory, 'control')).catch(() => undefined);
    return client !== undefined;
  });
  return {
    pid: child.pid!,
    client: client!,
    exited,
    log,
    async [Symbol.asyncDispose]() {
      client?.close();
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}

export function spawnSwitch(directory: string) {
  const files = ['--control', join(directory, 'control'), '--pid-file', join(directory, 'pid')];
  const child = spawn(SWITCH_ARGV[0], [...SWITCH_ARGV.slice(1), ...files], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  return { child, exited, log: () => text };
}

/** In QEMU's place: listens like `-netdev stream,server=on`, and speaks its framing. */
export class Guest implements AsyncDisposable {
  readonly frames: Buffer[] = [];
  connections = 0;
  readonly #server: Server;
  #socket: Socket | undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.connections += 1;
      this.#socket = socket;
      const reader = new FrameReader({
        frame: (buffer, start, end) => void this.frames.push(Buffer.from(buffer.subarray(start + 4, end))),
      });
      socket.on('data', (chunk: Buffer) => reader.push(chunk));
      socket.on('error', () => {});
    });
  }

  static async listen(path: string): Promise<Guest> {
    const server = createServer();
    const guest = new Guest(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return guest;
  }

  send(...frames: Buffer[]): void {
    this.#socket!.write(Buffer.concat(frames.map((frame) => withLength(frame))));
  }

  sendRaw(bytes: Buffer): void {
    this.#socket!.write(bytes);
  }

  /** Stops reading, as a guest that stands still. */
  pause(): void {
    this.#socket!.pause();
  }

  hangUp(): void {
    this.#socket!.destroy();
  }

  /** @returns the first frame that fits, and forgets it and all before it */
  async receive(fits: (frame: Buffer) => boolean = () => true): Promise<Buffer> {
    let index = -1;
    await until(async () => (index = this.frames.findIndex(fits)) >= 0);
    return this.frames.splice(0, index + 1).at(-1)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export async function until(holds: () => Promise<boolean> | boolean, timeoutMs = 8000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${holds.toString()}`);
    await sleep(10);
  }
}

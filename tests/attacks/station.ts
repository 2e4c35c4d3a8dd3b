import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Skerry } from '@skerry/sdk';

/** Somebody who sends frames by hand and tells of all that come, in a VM or in a network namespace: see station.c. */

const TIMEOUT_MS = 20_000;
const POLL_MS = 5;

export interface Heard {
  readonly nic: string;
  readonly frame: Buffer;
}

/** @returns the program, for guests and for hosts of this machine's kind */
export async function buildStation(dir: string): Promise<string> {
  const program = join(dir, 'station');
  await promisify(execFile)('cc', ['-static', '-O2', '-o', program, join(import.meta.dirname, 'station.c')]);
  return program;
}

interface Ends {
  readonly lines: AsyncIterable<Uint8Array>;
  readonly write: (text: string) => void;
  readonly end: () => void;
}

export class Station implements Disposable {
  readonly name: string;
  readonly #ends: Ends;
  #heard: Heard[] = [];
  #isReady = false;

  private constructor(name: string, ends: Ends) {
    this.name = name;
    this.#ends = ends;
    // Whoever ends it has what it needs: that the stream breaks then is no news.
    this.#listen().catch(() => undefined);
  }

  /** @param program in the guest */
  static async inVm(client: Skerry, vm: string, program: string): Promise<Station> {
    const running = client.exec(vm, [program], { stdin: 'pipe' });
    const { stdin } = running;
    stdin.on('error', () => undefined);
    return await new Station(vm, {
      lines: chunksOf(running),
      write: (text) => void stdin.write(text),
      end: () => running.kill('KILL'),
    }).#ready();
  }

  /** @param netns its path */
  static async inNamespace(name: string, netns: string, program: string): Promise<Station> {
    const child = spawn('nsenter', [`--net=${netns}`, program], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => undefined);
    return await new Station(name, {
      lines: child.stdout as AsyncIterable<Uint8Array>,
      write: (text) => void child.stdin.write(text),
      end: () => child.kill('SIGKILL'),
    }).#ready();
  }

  send(nic: string, frames: readonly Buffer[]): void {
    this.#ends.write(frames.map((frame) => `${nic} ${frame.toString('hex')}\n`).join(''));
  }

  /** Since it was forgotten the last time. */
  get heard(): readonly Heard[] {
    return this.#heard;
  }

  forget(): void {
    this.#heard = [];
  }

  /** @returns whether it came to that in time */
  async until(fits: (heard: readonly Heard[]) => boolean, timeoutMs = TIMEOUT_MS): Promise<boolean> {
    for (const end = performance.now() + timeoutMs; performance.now() < end; await sleep(POLL_MS)) {
      if (fits(this.#heard)) return true;
    }
    return false;
  }

  [Symbol.dispose](): void {
    this.#ends.end();
  }

  async #ready(): Promise<this> {
    for (const end = performance.now() + TIMEOUT_MS; !this.#isReady; await sleep(POLL_MS)) {
      if (performance.now() > end) throw new Error(`nobody listens at ${this.name}`);
    }
    return this;
  }

  async #listen(): Promise<void> {
    let rest = '';
    for await (const chunk of this.#ends.lines) {
      const lines = (rest + Buffer.from(chunk).toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [nic = '', hex] = line.split(' ');
        if (hex !== undefined) this.#heard.push({ nic, frame: Buffer.from(hex, 'hex') });
        else if (nic === 'ready') this.#isReady = true;
      }
    }
  }
}

async function* chunksOf(running: ReturnType<Skerry['exec']>): AsyncGenerator<Uint8Array> {
  for await (const { stream, data } of running) {
    if (stream === 'stdout') yield data;
    else process.stderr.write(data);
  }
}

import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectJail, killJailed, launchJail, type JailHost } from '../../hypervisors/index.ts';
import type { Relay } from './kernel-model.ts';

/**
 * Taps of NICs that came while their machine ran: what is behind its device is a socket, and stays one until it starts again. A
 * process each, which outlives us, carries frames between the two; it ends with either, and is not started again without both.
 */

const LOG_BYTES = 16 * 1024;

export class RelayService {
  readonly #root: string;
  readonly #jail: JailHost;

  /** @param dir of the kernel datapath's own files */
  constructor(dir: string, jail: JailHost) {
    this.#root = join(dir, 'relays');
    this.#jail = jail;
  }

  /** @param all NICs; most have a tap that is their machine's own. @throws SkerryError of `launchJail` */
  async sync(all: readonly Relay[]): Promise<void> {
    const there = await Promise.all(all.map(({ socketPath }) => isSocket(socketPath)));
    const wanted = all.filter((_, index) => there[index]);
    const taps = new Set(wanted.map(({ tap }) => tap));
    const surplus = (await readdir(this.#root).catch(() => [])).filter((name) => !taps.has(name));
    await Promise.all(surplus.map((name) => this.#end(name)));
    await Promise.all(wanted.map((relay) => this.#start(relay)));
  }

  async #start({ tap, socketPath }: Relay): Promise<void> {
    const dir = join(this.#root, tap);
    if ((await inspectJail(dir)).state === 'running') return;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await launchJail(
      {
        dir,
        command: [this.#jail.vmjailPath, '--relay', '{tap}', socketPath],
        taps: { tap },
        log: { path: join(dir, 'log'), capBytes: LOG_BYTES },
      },
      this.#jail,
    );
  }

  async #end(name: string): Promise<void> {
    const dir = join(this.#root, name);
    await killJailed(dir, { force: true });
    await rm(dir, { recursive: true, force: true });
  }
}

async function isSocket(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isSocket(),
    () => false,
  );
}

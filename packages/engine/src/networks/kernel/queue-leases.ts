import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectJail, killJailed, launchJail, type JailHost } from '../../hypervisors/index.ts';
import type { QueueLease } from './queue-lease-plan.ts';

/** A process for each, which outlives us, waits for the time and then becomes tc(8) (native/vmjail/after.c). */

const LOG_BYTES = 16 * 1024;

export class QueueLeases {
  readonly #root: string;
  readonly #jail: JailHost;

  /** @param dir of the kernel datapath's own files */
  constructor(dir: string, jail: JailHost) {
    this.#root = join(dir, 'leases');
    this.#jail = jail;
  }

  /** Before what they end is begun: there is no time at which nobody would. @throws SkerryError of `launchJail` */
  async begin(leases: readonly QueueLease[]): Promise<void> {
    await Promise.all(leases.map((lease) => this.#begin(lease)));
  }

  /** Ends all others: what they would do is not right any more, or done. */
  async keepOnly(leases: readonly QueueLease[]): Promise<void> {
    const kept = new Set(leases.map(({ name }) => name));
    const present = await readdir(this.#root).catch(() => []);
    await Promise.all(
      present
        .filter((name) => !kept.has(name))
        .map(async (name) => {
          await killJailed(join(this.#root, name), { force: true });
          await rm(join(this.#root, name), { recursive: true, force: true });
        }),
    );
  }

  async #begin({ name, netns, atMs, lines }: QueueLease): Promise<void> {
    const dir = join(this.#root, name);
    if ((await inspectJail(dir)).state === 'running') return;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const batch = join(dir, 'batch');
    await writeFile(batch, `${lines.join('\n')}\n`, { mode: 0o600 });
    const tc = ['tc', ...(netns === undefined ? [] : ['-n', netns]), '-force', '-batch', batch];
    const command = [
      this.#jail.vmjailPath,
      '--after',
      `${Math.max(0, Math.ceil(atMs - Date.now()))}`,
      '--',
      ...tc,
    ] as const;
    await launchJail({ dir, command, log: { path: join(dir, 'log'), capBytes: LOG_BYTES } }, this.#jail);
  }
}

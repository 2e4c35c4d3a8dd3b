import { readFile } from 'node:fs/promises';
import type { HostProfile } from './launch.ts';

/** Users that processes of ours run as now: no two of them ever share one. */
export class UidClaims {
  readonly #claimed = new Set<number>();

  /** @returns undefined on a host that gives no process a user of its own. @throws SkerryError `no-space` */
  claim({ allocateUid }: Pick<HostProfile, 'allocateUid'>): number | undefined {
    const uid = allocateUid?.(this.#claimed);
    if (uid !== undefined) this.#claimed.add(uid);
    return uid;
  }

  /** Of a process that an earlier daemon started. */
  adopt(uid: number | undefined): void {
    if (uid !== undefined) this.#claimed.add(uid);
  }

  /** Once the process has ended. */
  release(uid: number | undefined): void {
    if (uid !== undefined) this.#claimed.delete(uid);
  }
}

/** @returns undefined when it is ours as well: it has none of its own */
export async function uidOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  const uid = Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
  return Number.isNaN(uid) || uid === process.getuid?.() ? undefined : uid;
}

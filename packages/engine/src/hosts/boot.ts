import { readFile } from 'node:fs/promises';
import { SkerryError } from '@skerry/api';
import { commit, type Store } from '../store/index.ts';

/** Whether the host has restarted since a daemon last looked: then no process is left of what the store says runs. */

/** proc_sys_kernel(5), random(4): another one after each boot. */
export const BOOT_ID_PATH = '/proc/sys/kernel/random/boot_id';

const KEY = '/host/boot-id';

export interface Boot {
  readonly id: string;
  readonly hasRestarted: boolean;
  /** Once all that follows from it is in the store. */
  record(): Promise<void>;
}

/**
 * @param path a file whose content changes when nothing of before can be left
 * @throws SkerryError `invalid`: it can't be read, or is empty
 */
export async function lookAtBoot(store: Store, path: string): Promise<Boot> {
  const id = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (id === '') {
    throw new SkerryError('invalid', `${path} does not say which boot this is`, {
      remedy: 'Write something into it that differs at each boot, or unset SKERRY_BOOT_ID_FILE.',
    });
  }
  const known = (await store.get(KEY))?.value;
  return {
    id,
    // A store that no daemon of this version has opened before says nothing.
    hasRestarted: known !== undefined && known !== id,
    async record() {
      if (known !== id) await commit(store, { then: [{ type: 'put', key: KEY, value: id }] });
    },
  };
}

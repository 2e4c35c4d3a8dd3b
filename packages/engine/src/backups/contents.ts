import { z } from 'zod';
import type { ArchiveKind } from '../archives/index.ts';

/** What a backup holds. Whatever the daemon comes to keep beside its store is added here. */

export const STORE_FILE = 'store.db';

/** Files and directories (one level deep) of the data directory, as they are. Without the keys the store's secrets could not be read. */
export const SETTINGS: readonly string[] = ['templates.json', 'pools.json', 'secrets.key', 'keys'];

/** Of an image whose disk is not in it: what it was, to tell what has to be built or loaded. */
export const CATALOGUE = 'catalogue';

const DIGEST = '[0-9a-f]{64}';
const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';

export const BACKUP: ArchiveKind<BackupAbout> = {
  format: 'skerry-backup',
  version: 1,
  word: 'backup',
  names: new RegExp(
    `^(?:${STORE_FILE.replace('.', '\\.')}|${SETTINGS.map((name) => `${name.replace('.', '\\.')}(?:/[^/]+)?`).join('|')}` +
      `|${CATALOGUE}/${DIGEST}\\.json|vms/${UUID}/(?:disk\\.json|[a-z0-9-]+\\.qcow2)|images/${DIGEST}/(?:image\\.json|root\\.(?:raw|qcow2)))$`,
  ),
  about: z.object({
    /** Which VMs' disks are in it, by name. */
    disks: z.array(z.string()),
    /** Whose are not, though disks were asked for. */
    leftOut: z.array(z.string()),
    images: z.array(z.object({ name: z.string(), digest: z.string().regex(new RegExp(`^${DIGEST}$`)) })),
  }),
};

export interface BackupAbout {
  readonly disks: readonly string[];
  readonly leftOut: readonly string[];
  readonly images: ReadonlyArray<{ readonly name: string; readonly digest: string }>;
}

import { copyFile, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SkerryError, Template, type UpgradeFinding, type Vm, type VmSpec, type VmStatus } from '@skerry/api';
import {
  inspectJail,
  openSqliteStore,
  probeHost,
  PROTOCOL_NEWEST,
  PROTOCOL_OLDEST,
  Resources,
  STORE_FILE,
  STORE_VERSION,
  storeOfBackup,
  upgradeResources,
  VM_KIND,
} from '@skerry/engine';
import { z } from 'zod';
import { planUpgrade, type UpgradeFacts, type VmFacts } from './upgrade-plan.ts';

export const UpgradeCheckOptions = z.strictObject({
  dataDir: z.string(),
  cacheDir: z.string(),
  /** Of a store that a running daemon has open: a backup of now. */
  backup: z.string().optional(),
  templates: z.array(Template.pick({ id: true, state: true, qemuVersion: true })).default([]),
});
export type UpgradeCheckOptions = z.infer<typeof UpgradeCheckOptions>;

/** Where the format of an SQLite file is that `PRAGMA user_version` sets (sqlite.org/fileformat2.html, 1.3). */
const USER_VERSION_OFFSET = 60;

/** Looks at a copy: what is in use stays as it is. @throws SkerryError `not-found` (there is no store) */
export async function checkUpgrade(options: UpgradeCheckOptions): Promise<UpgradeFinding[]> {
  const { dataDir, cacheDir, backup, templates } = options;
  const dir = await mkdtemp(join(tmpdir(), 'skerry-upgrade-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(dir, { recursive: true, force: true }));
  if (backup === undefined) await copyStore(dataDir, dir);
  else await storeOfBackup(backup, dir);
  const path = join(dir, STORE_FILE);
  const version = await userVersion(path);
  const { resources, vms } = await lookInto(path, dataDir);
  const { qemu } = await probeHost({ cacheDir });
  return planUpgrade({
    store: { version, known: STORE_VERSION },
    resources,
    vms,
    protocol: { oldest: PROTOCOL_OLDEST, newest: PROTOCOL_NEWEST },
    qemuVersion: qemu?.version,
    templates,
  });
}

async function lookInto(path: string, dataDir: string): Promise<Pick<UpgradeFacts, 'resources' | 'vms'>> {
  try {
    await using store = await openSqliteStore({ path });
    const resources = await upgradeResources(store);
    const all = (await new Resources<VmSpec, VmStatus>(store, VM_KIND).list()).items as readonly Vm[];
    const running = all.filter(({ status }) => status.process !== undefined);
    return { resources, vms: await Promise.all(running.map((vm) => factsOf(vm, join(dataDir, 'vms', vm.id)))) };
  } catch (error) {
    return { resources: SkerryError.from(error).toBody(), vms: [] };
  }
}

async function factsOf({ name, status }: Vm, dir: string): Promise<VmFacts> {
  const { protocol } = status.agent ?? {};
  try {
    const found = await inspectJail(dir);
    const problem = found.state === 'absent' ? 'there is no trace of its process' : undefined;
    return { name, problem, protocol };
  } catch (error) {
    return { name, problem: SkerryError.from(error).message, protocol };
  }
}

/** Of a store that nobody has open: with what was committed last, which SQLite keeps beside it. */
async function copyStore(dataDir: string, dir: string): Promise<void> {
  await copyFile(join(dataDir, STORE_FILE), join(dir, STORE_FILE)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    throw new SkerryError('not-found', `There is no store in ${dataDir}`, {
      remedy: 'Nothing is there to be upgraded: `skerry daemon start` makes a new one.',
      cause: error,
    });
  });
  const wal = `${STORE_FILE}-wal`;
  await copyFile(join(dataDir, wal), join(dir, wal)).catch(() => undefined);
}

async function userVersion(path: string): Promise<number> {
  await using file = await open(path, 'r');
  const field = Buffer.alloc(4);
  await file.read(field, 0, field.length, USER_VERSION_OFFSET);
  return field.readUInt32BE();
}

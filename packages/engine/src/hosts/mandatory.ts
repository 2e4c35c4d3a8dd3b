import { constants } from 'node:fs';
import { access, open, readFile } from 'node:fs/promises';
import type { Mandatory, MandatoryLack } from './mandatory-plan.ts';

/** Looks whether AppArmor or SELinux is active, and whether we can use it. */

/** Files by which the kernel tells; others in tests. */
export interface MandatoryPaths {
  readonly root?: string | undefined;
  readonly uid?: number | undefined;
  /** Programs are looked for there. */
  readonly path?: string | undefined;
}

/** A context that only a policy with our module knows. */
const CONTEXT_OF_OURS = 'system_u:system_r:skerry_vm_t:s0:c1,c2';

/** @returns undefined where neither is active */
export async function lookAtMandatory(paths: MandatoryPaths = {}): Promise<Mandatory | undefined> {
  const { root = '', uid = process.getuid?.() ?? -1, path = process.env['PATH'] ?? '' } = paths;
  const text = (file: string): Promise<string | undefined> => readFile(`${root}${file}`, 'utf8').catch(() => undefined);
  if ((await text('/sys/module/apparmor/parameters/enabled'))?.trim() === 'Y') {
    const lack = await apparmorLack({ root, uid, path }, await text('/proc/self/attr/current'));
    return { kind: 'apparmor', ...(lack === undefined ? {} : { lack }) };
  }
  if ((await text('/sys/fs/selinux/enforce')) === undefined) return undefined;
  if (uid !== 0) return { kind: 'selinux', lack: 'root' };
  const known = await knowsContext(`${root}/sys/fs/selinux/context`);
  return { kind: 'selinux', ...(known ? {} : { lack: 'module' as const }) };
}

async function apparmorLack(
  { root, uid, path }: { root: string; uid: number; path: string },
  current: string | undefined,
): Promise<MandatoryLack | undefined> {
  if (uid !== 0) return 'root';
  // A change of profile when nothing may gain rights is for who has none yet (security/apparmor/domain.c).
  if (current !== undefined && current.trim() !== '' && current.trim() !== 'unconfined') return 'confined';
  if (!(await can(`${root}/sys/kernel/security/apparmor/.replace`, constants.W_OK))) return 'interface';
  const dirs = [...path.split(':'), '/usr/sbin', '/sbin'];
  const found = await Promise.all(dirs.map((dir) => can(`${dir}/apparmor_parser`, constants.X_OK)));
  return found.includes(true) ? undefined : 'parser';
}

/** selinuxfs: what is written there is an error if the policy has no such context. */
async function knowsContext(file: string): Promise<boolean> {
  try {
    await using handle = await open(file, 'r+');
    await handle.write(CONTEXT_OF_OURS);
    return true;
  } catch {
    return false;
  }
}

async function can(file: string, mode: number): Promise<boolean> {
  return await access(file, mode).then(
    () => true,
    () => false,
  );
}

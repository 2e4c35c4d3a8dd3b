import { UID_BASE, UID_COUNT } from '../jail/uids.ts';

/**
 * The SELinux labels of one VM: the types are the module's (policies/skerry.cil), the pair of categories is the VM's own, so
 * that none reaches another's process or files. Pure.
 */
export interface SelinuxLabels {
  /** Of the process. */
  readonly process: string;
  /** Of what only this VM's process writes to: its disk, its logs. */
  readonly own: string;
  /** Of what any VM may read: images, kernels, layers that never change again. */
  readonly read: string;
}

/** The first category of a pair is below this, the second is not: so no pair is another's, turned around. */
const HALF = 512;

/** @param uid of the VM's process, which no other VM has */
export function selinuxLabels(uid: number): SelinuxLabels {
  const [low, high] = categoriesOf(uid);
  const level = `s0:c${low},c${high}`;
  return {
    process: `system_u:system_r:skerry_vm_t:${level}`,
    own: `system_u:object_r:skerry_vm_file_t:${level}`,
    read: 'system_u:object_r:skerry_image_t:s0',
  };
}

/** Another pair for each uid. */
export function categoriesOf(uid: number): readonly [number, number] {
  const index = uid - UID_BASE;
  if (!Number.isSafeInteger(index) || index < 0 || index >= UID_COUNT) throw new RangeError(`${uid} is no VM's user`);
  return [index % HALF, HALF + Math.floor(index / HALF)];
}

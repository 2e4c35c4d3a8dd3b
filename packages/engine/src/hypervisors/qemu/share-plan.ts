import type { Virtiofsd } from '../../hosts/index.ts';
import type { LaunchShare } from '../contract.ts';
import { SERVED_AT } from '../jail/plan.ts';
import type { Descriptors } from './plan.ts';
import { shareTag } from './share-tag.ts';

/** Pure: QEMU's arguments for directories of the host, and those of what serves them. */

/** A device and its properties, without bus. */
export interface ShareDevice {
  readonly backend: readonly string[];
  readonly kind: '9p' | 'user-fs';
  readonly properties: readonly string[];
}

export function shareDevice(share: LaunchShare, index: number, descriptors: Descriptors): ShareDevice {
  return share.how === 'virtiofs' ? virtiofs(share, index, descriptors) : ninep(share, index, descriptors);
}

export function hasVirtiofs(shares: readonly LaunchShare[] = []): boolean {
  return shares.some(({ how }) => how === 'virtiofs');
}

/**
 * QEMU walks from the descriptor with openat(2) and without following links, part by part (hw/9pfs/9p-util.c), so no link in
 * the directory leads out of it. `none`: the guest's changes of owner are ignored; files belong to who shares them.
 */
function ninep({ path, readonly }: LaunchShare, index: number, descriptors: Descriptors): ShareDevice {
  const tag = shareTag(index);
  const directory = descriptors.directory(tag, path, readonly);
  const only = readonly ? ['readonly=on'] : [];
  return {
    backend: [
      '-fsdev',
      ['local', `id=${tag}`, `path=${directory}`, 'security_model=none', 'multidevs=remap', ...only].join(','),
    ],
    kind: '9p',
    properties: [`fsdev=${tag}`, `id=fs${index}`, `mount_tag=${tag}`],
  };
}

function virtiofs({ path, readonly }: LaunchShare, index: number, descriptors: Descriptors): ShareDevice {
  const tag = shareTag(index);
  return {
    backend: ['-chardev', `socket,id=${tag},fd=${descriptors.served(tag, path, readonly)}`],
    kind: 'user-fs',
    properties: [`chardev=${tag}`, `id=fs${index}`, `tag=${tag}`],
  };
}

/**
 * Without set-up of its own: vmjail has made its namespaces and limits, and adds the socket. What the host changes is to be seen when
 * a file is opened the next time, as by 9p; the Rust one keeps attributes for a second, which no option of it changes.
 */
export function virtiofsdCommand({ path, kind }: Pick<Virtiofsd, 'path' | 'kind'>): readonly [string, ...string[]] {
  return kind === 'qemu'
    ? [path, '-o', `source=${SERVED_AT},cache=auto,timeout=0,log_level=err`, '--rlimit-nofile=0']
    : [path, `--shared-dir=${SERVED_AT}`, '--cache=auto', '--log-level=error', '--rlimit-nofile=0'];
}

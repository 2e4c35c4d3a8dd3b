import { SkerryError, type Share, type ShareHow, type ShareInfo, type VmSpec, type VmStatus } from '@skerry/api';
import { isAlive } from './model.ts';

/** Pure: which directories may be shared, and how it is with a VM's shares. */

export interface ShareRules {
  /** What lies in one of these may be shared, and nothing else. Absent: the daemon's user's own (see `assertAllowed`). */
  readonly roots?: readonly string[] | undefined;
  /** Of the user that the daemon runs as. */
  readonly home: string;
  readonly uid: number;
  /** Where the daemon keeps its own: who writes there is the daemon. */
  readonly ownDirs: readonly string[];
}

/** Belong to root, and are not what a root daemon's user would call his own. */
const SYSTEM_DIRS = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib64',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
  '/var',
];
const NOT_SYSTEM = ['/var/tmp', '/var/www'];

/** 'SKERRY_SHARE_ROOTS=/srv:/home/ada/src'. @throws SkerryError `invalid` */
export function shareRoots(text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text === '') return undefined;
  const roots = text.split(':').filter((root) => root !== '');
  const wrong = roots.find((root) => !root.startsWith('/'));
  if (wrong === undefined) return roots.map((root) => root.replace(/(?<=.)\/+$/, ''));
  throw new SkerryError('invalid', `SKERRY_SHARE_ROOTS has '${wrong}' in it, which is no absolute path`, {
    remedy: 'Set it to absolute paths with colons between them, such as /srv:/home/ada/src.',
  });
}

/**
 * Without roots: what lies in the home directory of the daemon's user, and elsewhere what belongs to him and is not the
 * system's. The daemon's socket is that user's alone, so this protects him from a file that he did not read, not from himself.
 * @param path without symbolic links
 * @throws SkerryError `refused`
 */
export function assertAllowed(path: string, ownerUid: number, rules: ShareRules): void {
  const refuse = (why: string, remedy: string): never => {
    throw new SkerryError('refused', `${path} can not be shared: ${why}`, { remedy, details: { path } });
  };
  const own = rules.ownDirs.find((dir) => isWithin(path, dir) || isWithin(dir, path));
  if (path === '/') refuse('it is all of the host', 'Share a directory with just what the guest needs.');
  if (own !== undefined) {
    refuse(
      `the daemon keeps its own files in ${own}, and a guest that writes there would be the daemon`,
      isWithin(path, own) ? 'Share a directory outside of it.' : `Share a directory in it that does not hold ${own}.`,
    );
  }
  if (rules.roots !== undefined) {
    if (rules.roots.some((root) => isWithin(path, root))) return;
    refuse(
      `SKERRY_SHARE_ROOTS of the daemon allows ${rules.roots.join(', ')} only`,
      'Share a directory in one of these, or start the daemon with another SKERRY_SHARE_ROOTS.',
    );
  }
  if (rules.home !== '/' && isWithin(path, rules.home)) return;
  const remedy =
    `Share a directory in ${rules.home}, or allow this one: ` +
    `\`skerry daemon stop\`, then \`SKERRY_SHARE_ROOTS=${path} skerry daemon start\` (several: with colons between them).`;
  if (SYSTEM_DIRS.some((dir) => isWithin(path, dir)) && !NOT_SYSTEM.some((dir) => isWithin(path, dir))) {
    refuse("it is the system's", `Share a directory in ${rules.home}, or a copy of what the guest needs.`);
  }
  if (ownerUid !== rules.uid) refuse('it belongs to another user than the daemon runs as', remedy);
}

/** How it is with each, the wanted ones first. */
export function shareInfos(spec: Pick<VmSpec, 'shares'>, { state, shares: applied = [] }: VmStatus): ShareInfo[] {
  const wanted = spec.shares ?? [];
  const has = isAlive(state) ? applied : [];
  const infos = wanted.map((share): ShareInfo => {
    const found = has.find((each) => isSame(each, share));
    const now = found === undefined ? 'at-next-start' : found.mounted ? 'mounted' : 'unmounted';
    return { ...share, how: howOf(share), state: now };
  });
  const left = has.filter((each) => !wanted.some((share) => isSame(each, share)));
  return [...infos, ...left.map(({ mounted: _, ...share }): ShareInfo => ({ ...share, state: 'until-stop' }))];
}

export function howOf({ how }: Pick<Share, 'how'>): ShareHow {
  return how ?? '9p';
}

/**
 * The server has files open that are nowhere in the guest's memory, so QEMU writes none of a machine with such a device, mounted or
 * not (hw/virtio/vhost-user-fs.c, unmigratable).
 * @throws SkerryError `unsupported`
 */
export function assertSavable(name: string, { shares = [] }: Pick<VmStatus, 'shares'>): void {
  const by = shares.find(({ how }) => how === 'virtiofs');
  if (by === undefined) return;
  throw new SkerryError('unsupported', `${name} has ${by.guestPath} by virtiofs, so its memory can not be written`, {
    remedy:
      `Stop it instead (\`skerry stop ${name}\`), or share by 9p: \`skerry share remove ${name} ${by.guestPath}\`, ` +
      `\`skerry share add ${name} ${by.hostPath}:${by.guestPath}${by.readonly ? ':ro' : ''}\`, \`skerry restart ${name}\`.`,
    details: { guestPath: by.guestPath },
  });
}

function isSame(a: Share, b: Share): boolean {
  const sameEnds = a.hostPath === b.hostPath && a.guestPath === b.guestPath;
  return sameEnds && a.readonly === b.readonly && howOf(a) === howOf(b);
}

function isWithin(path: string, tree: string): boolean {
  return tree === '/' || path === tree || path.startsWith(`${tree}/`);
}

import { constants } from 'node:os';
import { SkerryError, type ErrorCode } from '@skerry/api';
import { run, type Argv } from '../../hosts/index.ts';
import type { JailHost } from './plan.ts';
import { UID_BASE } from './uids.ts';

const CHECK_TIMEOUT_MS = 10_000;

/**
 * Whether a directory can be handed to a VM's process, as a start would do it. Nothing of it stays.
 * @param path without symbolic links
 * @param server what would give it to the VM; undefined: QEMU itself
 * @throws SkerryError `unsupported` (its file system, or the kernel, can not map owners; the server can not be confined here),
 * `not-found`, `refused`
 */
export async function checkShare({ vmjailPath }: JailHost, path: string, server?: Argv): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const user = uid === 0 ? [String(UID_BASE), String(UID_BASE)] : [String(uid), String(gid)];
  const options = { timeoutMs: CHECK_TIMEOUT_MS, okExitCodes: 'any' } as const;
  const { exitCode, stdout } = await run([vmjailPath, '--check-share', ...user, path, ...(server ?? [])], options);
  if (exitCode === 0) return;
  const { error = `${path} can not be shared`, reason = stdout.trim(), step = '', errno = 0 } = parse(stdout);
  const { code, remedy } = shareRefusal(step, errno) ?? { code: 'failed', remedy: 'See `skerry host doctor`.' };
  throw new SkerryError(code, `${error}: ${reason}`, { remedy, details: { path, step, errno } });
}

/** What vmjail's steps about shared directories mean; undefined for another step. */
export function shareRefusal(step: string, errno: number): { code: ErrorCode; remedy: string } | undefined {
  // openat2(2): since Linux 5.6.
  if (step === 'share' && errno !== constants.errno.ENOSYS) {
    return {
      code: errno === constants.errno.ENOENT ? 'not-found' : 'refused',
      remedy:
        'Make the directory again, with no symbolic link on the way to it, or share it no longer: `skerry share remove`.',
    };
  }
  if (step === 'server') {
    return {
      code: 'unsupported',
      // user_namespaces(7): in a container, or by user.max_user_namespaces, they may be forbidden.
      remedy:
        'Share by 9p: leave `virtiofs` out. virtiofsd needs Linux 5.12, a user namespace of its own and a /proc that it may mount.',
    };
  }
  if (step !== 'idmap' && step !== 'share') return undefined;
  return {
    code: 'unsupported',
    // mount_setattr(2): since Linux 5.12, and not with every file system (NFS, FUSE and 9p can not).
    remedy:
      "Share a directory of another file system (ext4, xfs, btrfs; Linux 5.12 or newer), or run the daemon as the directory's owner.",
  };
}

function parse(line: string): { error?: string; reason?: string; step?: string; errno?: number } {
  try {
    return JSON.parse(line) as object;
  } catch {
    return {}; // it was killed before it could say anything
  }
}

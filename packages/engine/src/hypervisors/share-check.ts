import { findVirtiofsd } from '../hosts/index.ts';
import type { LaunchShare } from './contract.ts';
import { checkShare, type JailHost } from './jail/index.ts';
import { virtiofsdCommand } from './qemu/index.ts';

/** Whether a VM that is started here could have this directory so. @throws SkerryError `unsupported`, as `checkShare` */
export async function assertShareUsable(jail: JailHost, { path, how }: LaunchShare): Promise<void> {
  if (how === 'virtiofs') return checkShare(jail, path, virtiofsdCommand(await findVirtiofsd()));
  // As an ordinary user VMs run as ourselves, with our own rights.
  if (process.getuid?.() === 0) await checkShare(jail, path);
}

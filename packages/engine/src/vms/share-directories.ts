import { realpath, stat } from 'node:fs/promises';
import { SkerryError, type Share, type VmSpec } from '@skerry/api';
import type { DriverCapabilities, LaunchShare } from '../hypervisors/index.ts';
import type { BootFiles } from './ports.ts';
import { assertAllowed, type ShareRules } from './share-plan.ts';

/** The directories of the host that VMs may have. */

export interface ShareDirectoryPorts {
  readonly rules: ShareRules;
  readonly capabilities: () => DriverCapabilities;
  /** @throws SkerryError `unsupported` when a VM's process can not have this one so */
  readonly assertUsable: (share: LaunchShare) => Promise<void>;
}

export class ShareDirectories {
  readonly #ports: ShareDirectoryPorts;

  constructor(ports: ShareDirectoryPorts) {
    this.#ports = ports;
  }

  /**
   * Whether a VM could start with these, before there is anything of it.
   * @param boot undefined: its kernel is not looked at
   * @throws SkerryError `not-found`, `invalid` (no directory), `refused`, `unsupported`
   */
  async check({ shares = [], nics }: Pick<VmSpec, 'shares' | 'nics'>, boot: BootFiles | undefined): Promise<void> {
    if (shares.length === 0) return;
    if (boot !== undefined) this.#checkMachine(shares.length, nics.length, boot);
    for (const share of await this.resolve(shares)) await this.#ports.assertUsable(share);
  }

  /**
   * As they are now, for a start. What is looked at here may be changed until it is opened: that follows no links.
   * @throws SkerryError `not-found`, `invalid` (no directory), `refused`
   */
  async resolve(shares: readonly Share[] = []): Promise<LaunchShare[]> {
    const rules = await this.#rules();
    const resolved: LaunchShare[] = [];
    for (const { hostPath, readonly, how } of shares) {
      const path = await realpath(hostPath).catch((error: NodeJS.ErrnoException) => {
        throw unreadable(hostPath, error);
      });
      const status = await stat(path).catch((error: NodeJS.ErrnoException) => {
        throw unreadable(hostPath, error);
      });
      if (!status.isDirectory()) {
        throw new SkerryError('invalid', `${hostPath} is no directory: only directories can be shared`, {
          remedy: 'Share the directory that it lies in, or copy it: `skerry cp FILE VM:/PATH`.',
          details: { path: hostPath },
        });
      }
      assertAllowed(path, status.uid, rules);
      resolved.push({ path, readonly, ...(how === undefined ? {} : { how }) });
    }
    return resolved;
  }

  #checkMachine(shares: number, nics: number, { kernel }: BootFiles): void {
    if (kernel.which === 'distro') {
      throw new SkerryError('unsupported', "The distribution's kernel can not mount shared directories", {
        remedy:
          'Use ours (`--kernel micro`). Where it is being built in the background, wait until it is there: `skerry event list`.',
      });
    }
    const max = this.#ports.capabilities().maxDevices[kernel.machine];
    const room = Math.max(0, max - 1 - nics);
    if (shares <= room) return;
    throw new SkerryError('unsupported', `It has room for ${room} shares, not for ${shares}`, {
      remedy: 'Share one directory that holds the others, or ask for fewer NICs.',
      details: { shares, nics, max },
    });
  }

  /** The daemon's directories may lie behind links as well. */
  async #rules(): Promise<ShareRules> {
    const { rules } = this.#ports;
    const real = async (path: string): Promise<string> => realpath(path).catch(() => path);
    const [home, ownDirs, roots] = await Promise.all([
      real(rules.home),
      Promise.all(rules.ownDirs.map(real)),
      rules.roots === undefined ? undefined : Promise.all(rules.roots.map(real)),
    ]);
    return { ...rules, home, ownDirs, roots };
  }
}

function unreadable(path: string, error: NodeJS.ErrnoException): SkerryError {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') {
    return new SkerryError('not-found', `${path} is not there: there is nothing to share`, {
      remedy: `Make it (\`mkdir -p ${path}\`), or check the path.`,
      details: { path },
    });
  }
  return new SkerryError('refused', `${path} can not be looked at: ${error.message}`, {
    remedy: 'Check the rights of the directories on the way to it.',
    details: { path },
    cause: error,
  });
}

import { readFile } from 'node:fs/promises';
import { SkerryError } from '@skerry/api';
import { lookAtMandatory, MANDATORY_LACKS, run, type Mandatory } from '../../hosts/index.ts';
import type { JailSpec } from '../jail/index.ts';
import { apparmorProfile, pathInFileSystem, profileName, serverProfile, serverProfileName } from './apparmor-plan.ts';
import { selinuxLabels } from './selinux-plan.ts';

/** Loads and removes the policy of each VM, where the kernel has one. */

const PARSER_TIMEOUT_MS = 20_000;

export interface PolicyLaunch {
  readonly runtimeDir: string;
  readonly accelerator: 'kvm' | 'tcg';
}

export interface PolicyOptions {
  /** What there is; by default it is looked at when the first VM starts. */
  readonly look?: (() => Promise<Mandatory | undefined>) | undefined;
  /** What loads profiles; in tests the same with an option that keeps it from the kernel. */
  readonly parser?: readonly [string, ...string[]] | undefined;
}

export class Policies {
  readonly #look: () => Promise<Mandatory | undefined>;
  readonly #parser: readonly [string, ...string[]];
  /** What is done with each profile, one after the other: a VM may start again before the profile of its last run has gone. */
  readonly #work = new Map<string, Promise<unknown>>();
  /** What was prepared last under each name. */
  readonly #latest = new Map<string, JailSpec>();
  #found: Promise<Mandatory | undefined> | undefined;

  constructor({ look = () => lookAtMandatory(), parser = ['apparmor_parser'] }: PolicyOptions = {}) {
    this.#look = look;
    this.#parser = parser;
  }

  /**
   * Makes the kernel ready for the process of `spec`. Where a policy is active but not for us to use, the VM starts with a warning.
   * @returns `spec` with what vmjail has to know
   * @throws SkerryError `refused` when the kernel could have confined the VM, and does not; `invalid`, `timeout`
   */
  async prepare(launch: PolicyLaunch, spec: JailSpec, signal?: AbortSignal): Promise<JailSpec> {
    const found = await (this.#found ??= this.#look());
    if (found === undefined) return spec;
    const uid = spec.owner?.uid;
    const lack = found.lack ?? (uid === undefined ? 'root' : undefined);
    if (lack !== undefined) {
      // Whoever is no root is told by the doctor, once, and not by each VM.
      if (lack === 'root') return spec;
      return {
        ...spec,
        warnings: [...(spec.warnings ?? []), `no ${TITLES[found.kind]}: ${MANDATORY_LACKS[lack].found}`],
      };
    }
    if (found.kind === 'selinux') return { ...spec, policy: { selinux: selinuxLabels(uid as number) } };
    const name = profileName(launch.runtimeDir);
    const text = apparmorProfile({
      name,
      spec,
      usesKvm: launch.accelerator === 'kvm',
      sharePaths: await sharePaths(spec),
    });
    const server = serverOf(spec, name);
    const serverApparmor = server === undefined ? undefined : serverProfileName(name);
    const allowed: JailSpec = { ...spec, policy: { apparmor: name, serverApparmor } };
    this.#latest.set(name, allowed);
    await this.#inTurn(name, () => this.#load(name, `${text}${server ?? ''}`, signal));
    return allowed;
  }

  /**
   * After the end of the process. Does nothing when the VM is being started again: a profile that is removed confines nobody any
   * longer, not even who runs under it. Never fails: one that nobody has is no harm.
   * @param allowed what `prepare` returned for that process; undefined: an earlier daemon's
   */
  async release(launch: Pick<PolicyLaunch, 'runtimeDir'>, allowed?: JailSpec): Promise<void> {
    const found = await (this.#found ??= this.#look());
    if (found?.kind !== 'apparmor' || found.lack !== undefined) return;
    const name = profileName(launch.runtimeDir);
    await this.#inTurn(name, async () => {
      if (this.#latest.get(name) !== allowed) return;
      this.#latest.delete(name);
      // Some VMs have no second one: what can't be removed is passed over, so the first goes first.
      const input = `profile ${name} {}\nprofile ${serverProfileName(name)} {}\n`;
      const options = { input, timeoutMs: PARSER_TIMEOUT_MS, okExitCodes: 'any' } as const;
      await run([...this.#parser, '--remove'], options);
    }).catch(() => undefined);
  }

  async #load(name: string, text: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      await run([...this.#parser, '--replace', '--skip-cache'], {
        input: text,
        timeoutMs: PARSER_TIMEOUT_MS,
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (!(error instanceof SkerryError) || error.code !== 'failed') throw error;
      throw new SkerryError('refused', `The AppArmor profile ${name} could not be loaded: ${error.message}`, {
        remedy: 'See `journalctl -k` and `skerry host doctor`; a VM is not started with less than the host can do.',
        details: { ...error.details, profile: name },
        cause: error,
      });
    }
  }

  async #inTurn<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#work.get(name);
    const mine = (before ?? Promise.resolve()).then(work, work);
    this.#work.set(name, mine);
    try {
      return await mine;
    } finally {
      if (this.#work.get(name) === mine) this.#work.delete(name);
    }
  }
}

function serverOf({ served = {}, server }: JailSpec, name: string): string | undefined {
  const directories = Object.values(served);
  if (directories.length === 0 || server === undefined) return undefined;
  return serverProfile(
    name,
    server[0],
    directories.every(({ readonly }) => readonly),
  );
}

const TITLES = { apparmor: 'AppArmor profile', selinux: 'SELinux label' } as const;

async function sharePaths({ share = {}, owner }: JailSpec) {
  const directories = Object.values(share);
  if (directories.length === 0 || owner === undefined) return [];
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
  return directories.map(({ path, readonly }) => ({ path: pathInFileSystem(path, mountinfo), readonly }));
}

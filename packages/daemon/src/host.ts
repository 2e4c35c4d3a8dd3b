import { readFile } from 'node:fs/promises';
import { allocateUid, doctorReport, probeHost, type Admission, type HostProfile } from '@skerry/engine';
import { SkerryError, type DoctorItem, type HostInfo } from '@skerry/api';
import type { DaemonPaths } from './paths.ts';

/** Facts of this host, probed once, and what a VM's process gets from them. */
export class HostService {
  readonly #paths: DaemonPaths;
  readonly #admission: Admission;
  #facts: ReturnType<typeof probeHost> | undefined;
  #passwd: Promise<{ passwd: string; group: string; subuid: string; subgid: string }> | undefined;

  constructor(paths: DaemonPaths, admission: Admission) {
    this.#paths = paths;
    this.#admission = admission;
  }

  facts(): ReturnType<typeof probeHost> {
    this.#facts ??= probeHost({ cacheDir: this.#paths.cacheDir });
    this.#facts.catch(() => (this.#facts = undefined));
    return this.#facts;
  }

  async info(): Promise<HostInfo> {
    return this.facts();
  }

  async doctor(): Promise<DoctorItem[]> {
    return [...doctorReport(await this.facts()), await this.#admission.doctorItem()];
  }

  async profile(): Promise<HostProfile> {
    const [facts, accounts] = await Promise.all([this.facts(), this.#accounts()]);
    const isRoot = process.getuid?.() === 0;
    const { kind } = facts.accelerator;
    if (kind === 'none') {
      throw new SkerryError('unsupported', 'No VM can run on this host: QEMU is not installed', {
        remedy: 'Install it (Debian: apt-get install qemu-system-x86 qemu-utils), then `skerry host doctor`.',
      });
    }
    return {
      accelerator: kind,
      tscKhz: facts.cpu.tscKhz,
      instance: this.#paths.instance,
      kvmGid: facts.accelerator.kind === 'kvm' ? facts.accelerator.kvmGid : undefined,
      allocateUid: isRoot ? (used) => allocateUid(used, accounts) : undefined,
    };
  }

  #accounts() {
    const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
    this.#passwd ??= (async () => {
      const [passwd, group, subuid, subgid] = await Promise.all(
        ['/etc/passwd', '/etc/group', '/etc/subuid', '/etc/subgid'].map(text),
      );
      return { passwd: passwd ?? '', group: group ?? '', subuid: subuid ?? '', subgid: subgid ?? '' };
    })();
    return this.#passwd;
  }
}

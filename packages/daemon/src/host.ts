import { readFile } from 'node:fs/promises';
import {
  allocateUid,
  doctorReport,
  foreignDoctorItem,
  kernelDoctorItem,
  kernelSupport,
  probeHost,
  readForeignFilters,
  tagOf,
  type Admission,
  type HostProfile,
} from '@skerry/engine';
import { SkerryError, type DoctorItem, type HostInfo } from '@skerry/api';
import type { DaemonPaths } from './paths.ts';

/** Facts of this host, probed once, and what a VM's process gets from them. */
export class HostService {
  readonly #paths: DaemonPaths;
  readonly #admission: Admission;
  readonly #maxDevices: HostProfile['maxDevices'];
  #facts: ReturnType<typeof probeHost> | undefined;
  #passwd: Promise<{ passwd: string; group: string; subuid: string; subgid: string }> | undefined;

  constructor(paths: DaemonPaths, admission: Admission, maxDevices: HostProfile['maxDevices']) {
    this.#paths = paths;
    this.#admission = admission;
    this.#maxDevices = maxDevices;
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
    const facts = await this.facts();
    const kernel = kernelSupport(facts);
    const tag = tagOf(this.#paths.instance);
    const foreign = kernel.lack === undefined ? [foreignDoctorItem(await readForeignFilters(tag, 'BRIDGE'))] : [];
    return [...doctorReport(facts), kernelDoctorItem(kernel), ...foreign, await this.#admission.doctorItem()];
  }

  async profile(): Promise<HostProfile> {
    const [facts, accounts] = await Promise.all([this.facts(), this.#accounts()]);
    const isRoot = process.getuid?.() === 0;
    const { kind, cause, reason } = facts.accelerator;
    if (kind === 'none') {
      throw new SkerryError('unsupported', `No VM can run on this host: ${reason}`, {
        remedy:
          cause === 'no-qemu'
            ? 'Install it (Debian: apt-get install qemu-system-x86 qemu-utils), then `skerry host doctor`.'
            : 'See `skerry host doctor`.',
      });
    }
    return {
      accelerator: kind,
      tscKhz: facts.cpu.tscKhz,
      instance: this.#paths.instance,
      maxDevices: this.#maxDevices,
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

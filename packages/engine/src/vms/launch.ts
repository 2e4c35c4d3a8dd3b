import { randomBytes } from 'node:crypto';
import { hostnameOf, type Vm } from '@skerry/api';
import type { Isolation, VmLaunch } from '../hypervisors/index.ts';
import type { Identity } from './agent/index.ts';
import { vmDisk } from './disks.ts';
import type { BootFiles, VmNic } from './ports.ts';

/** What a VM needs besides its guest's memory: QEMU itself, its translation cache under TCG (at most 1/4 of memory here). */
const OVERHEAD_MIB = 384;

/** What is the same for every VM of a host. */
export interface HostProfile {
  readonly accelerator: 'kvm' | 'tcg';
  readonly tscKhz: number | undefined;
  readonly instance: string;
  readonly kvmGid: number | undefined;
  /** Never two VMs with one user: so it does not wait. Undefined without the right to change users. */
  readonly allocateUid: ((used: ReadonlySet<number>) => number) | undefined;
}

export interface LaunchHost extends HostProfile {
  /** The user of the VM's process alone. */
  readonly uid: number | undefined;
}

export interface LaunchDirs {
  readonly dir: string;
  readonly runtimeDir: string;
}

/** Pure: the start of a VM's process, from what it is and where it runs. */
export function vmLaunch(
  vm: Vm,
  boot: BootFiles,
  nics: readonly VmNic[],
  host: LaunchHost,
  dirs: LaunchDirs,
): VmLaunch {
  return {
    id: vm.id,
    name: vm.name,
    ...dirs,
    cpus: vm.spec.cpus,
    memoryMib: vm.spec.memoryMib,
    kernel: boot.kernel,
    disks: [vmDisk(dirs.dir, boot.image)],
    nics: nics.map(({ mac, socketName }) => ({ mac, socketName })),
    reclaimsMemory: true,
    accelerator: host.accelerator,
    ...(host.tscKhz === undefined ? {} : { tscKhz: host.tscKhz }),
    isolation: isolationOf(vm, host),
  };
}

function isolationOf(vm: Vm, host: LaunchHost): Isolation {
  const shortName = vm.id.slice(-12);
  return {
    ...(host.uid === undefined
      ? {}
      : { uid: host.uid, gid: host.uid, groups: host.kvmGid === undefined ? [] : [host.kvmGid] }),
    cgroup: cgroupOf(host.instance, `vm-${shortName}`),
    memoryMaxBytes: (vm.spec.memoryMib + OVERHEAD_MIB) * 2 ** 20,
    pidsMax: 64 + vm.spec.cpus,
    rlimits: { nofile: 1024, core: 0 },
  };
}

/** Named after the instance, so that two of them do not meet; the system's own is called `skerry` alone. */
export function cgroupOf(instance: string, name: string): string {
  return `${instance === 'skerry' ? instance : `skerry-${instance}`}/${name}`;
}

/** What the guest is told before anything of the user's runs in it. */
export function identityOf(vm: Vm, nics: readonly VmNic[], imageEnv: Readonly<Record<string, string>>): Identity {
  const hostname = hostnameOf(vm.name);
  const first = nics[0];
  const domain = first?.domain;
  return {
    // Clones of one memory image draw the same random bytes until they are told otherwise.
    seed: randomBytes(64),
    unixTimeNs: BigInt(Date.now()) * 1_000_000n,
    hostname,
    machineId: vm.id.replaceAll('-', ''),
    env: { ...imageEnv, ...vm.spec.env },
    nics: nics.map((nic) => ({
      mac: nic.mac,
      addresses: [`${nic.address}/${nic.prefixLength}`],
      ...(nic.gateway === undefined ? {} : { gateway: nic.gateway }),
    })),
    dns: [...new Set(nics.flatMap((nic) => nic.dns))],
    search: domain === undefined ? [] : [domain],
    hosts: [
      {
        address: first?.address ?? '127.0.1.1',
        names: domain === undefined ? [hostname] : [`${hostname}.${domain}`, hostname],
      },
    ],
  };
}

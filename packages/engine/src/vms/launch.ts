import { randomBytes, randomUUID } from 'node:crypto';
import { hostnameOf, type Vm } from '@skerry/api';
import type { Isolation, VmLaunch } from '../hypervisors/index.ts';
import type { Identity } from './agent/index.ts';
import { launchDisk } from './disks.ts';
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
  layers: readonly string[],
): VmLaunch {
  return {
    id: vm.id,
    name: vm.name,
    ...dirs,
    cpus: vm.spec.cpus,
    memoryMib: vm.spec.memoryMib,
    kernel: boot.kernel,
    disks: [launchDisk(dirs.dir, boot.image, layers)],
    nics: nics.map(({ mac, socketName }) => ({ mac, socketName })),
    reclaimsMemory: true,
    accelerator: host.accelerator,
    ...(host.tscKhz === undefined ? {} : { tscKhz: host.tscKhz }),
    isolation: isolationOf(vm.spec, host, `vm-${vm.id.slice(-12)}`),
  };
}

/** The machine of a shape that no VM has yet: for its template. */
export function shapeLaunch(
  { cpus, memoryMib, nics }: { readonly cpus: number; readonly memoryMib: number; readonly nics: number },
  boot: BootFiles,
  host: HostProfile,
): VmLaunch {
  return {
    id: '',
    name: '',
    dir: '/',
    runtimeDir: '/',
    cpus,
    memoryMib,
    kernel: boot.kernel,
    disks: [launchDisk('/', boot.image, [])],
    nics: Array.from({ length: nics }, (_, index) => ({ mac: '', socketName: `nic${index}` })),
    reclaimsMemory: false,
    accelerator: host.accelerator,
    ...(host.tscKhz === undefined ? {} : { tscKhz: host.tscKhz }),
    isolation: {},
  };
}

/** @param name of its control group, in that of the instance */
export function isolationOf(
  { cpus, memoryMib }: { readonly cpus: number; readonly memoryMib: number },
  host: LaunchHost,
  name: string,
): Isolation {
  return {
    ...(host.uid === undefined
      ? {}
      : { uid: host.uid, gid: host.uid, groups: host.kvmGid === undefined ? [] : [host.kvmGid] }),
    cgroup: cgroupOf(host.instance, name),
    memoryMaxBytes: (memoryMib + OVERHEAD_MIB) * 2 ** 20,
    pidsMax: 64 + cpus,
    rlimits: { nofile: 1024, core: 0 },
  };
}

/** Named after the instance, so that two of them do not meet; the system's own is called `skerry` alone. */
export function cgroupOf(instance: string, name: string): string {
  return `${instance === 'skerry' ? instance : `skerry-${instance}`}/${name}`;
}

/** How far a guest has come by itself before it is told who it is. */
export interface GuestOrigin {
  /** Its disk is not mounted yet: it is a clone of a template that serves all images. */
  readonly lacksRoot: boolean;
  /** Its disk may hold keys that others have as well: it starts for the first time, or is a fork. */
  readonly hasForeignKeys: boolean;
  /** It has drawn a boot id already, and another guest the same: it is a fork. */
  readonly hasForeignBootId: boolean;
  /** What its NICs are called so far, if not by their own MACs. */
  readonly currentMacs?: readonly string[] | undefined;
}

/** What the guest is told before anything of the user's runs in it. */
export function identityOf(
  vm: Vm,
  nics: readonly VmNic[],
  imageEnv: Readonly<Record<string, string>>,
  origin: GuestOrigin,
): Identity {
  const hostname = hostnameOf(vm.name);
  const first = nics[0];
  const domain = first?.domain;
  return {
    // Clones of one memory image draw the same random bytes until they are told otherwise.
    seed: randomBytes(64),
    generation: randomUUID(),
    ...(origin.lacksRoot ? { root: 'vda' } : {}),
    ...(origin.hasForeignKeys ? { freshKeys: true } : {}),
    ...(origin.hasForeignBootId ? { bootId: randomUUID() } : {}),
    unixTimeNs: BigInt(Date.now()) * 1_000_000n,
    hostname,
    machineId: vm.id.replaceAll('-', ''),
    env: { ...imageEnv, ...vm.spec.env },
    nics: nics.map((nic, index) => ({
      mac: nic.mac,
      currentMac: origin.currentMacs?.[index],
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

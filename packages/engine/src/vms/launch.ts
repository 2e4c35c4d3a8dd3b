import { randomBytes, randomUUID } from 'node:crypto';
import { hostnameOf, type Vm } from '@skerry/api';
import type { DriverCapabilities, Isolation, LaunchShare, VmLaunch } from '../hypervisors/index.ts';
import type { Identity, NicNames } from './agent/index.ts';
import { launchDisk } from './disks.ts';
import { nicDevices } from './nic-plan.ts';
import type { BootFiles, VmNic } from './ports.ts';

/** What a VM needs besides its guest's memory: QEMU itself, its translated code under TCG (qemu/args.ts). */
const OVERHEAD_MIB = 384;

/** Its pool for files and disks has up to 64 (thread-pool-max), and it ends when it can not make one; and a few others. */
const QEMU_THREADS = 64 + 16;

/** Of a server of a directory: itself, its sandbox, and a thread for each queue; and a few others. */
const SERVER_THREADS = 12;

const DISKS = 1;

/** RFC 4291 section 2.5.4. */
const SUBNET6_PREFIX = 64;
/** A route to it that was asked for is there instead of the network's own. */
const EVERYWHERE = '0.0.0.0/0';

/** What is the same for every VM of a host. */
export interface HostProfile {
  readonly accelerator: 'kvm' | 'tcg';
  readonly tscKhz: number | undefined;
  readonly instance: string;
  readonly kvmGid: number | undefined;
  readonly maxDevices: DriverCapabilities['maxDevices'];
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
  shares: readonly LaunchShare[] = [],
): VmLaunch {
  return {
    id: vm.id,
    name: vm.name,
    ...dirs,
    cpus: vm.spec.cpus,
    memoryMib: vm.spec.memoryMib,
    kernel: boot.kernel,
    disks: [launchDisk(dirs.dir, boot.image, layers)],
    nics: nicDevices(nics, boot.kernel.machine, host.maxDevices[boot.kernel.machine] - DISKS - shares.length),
    ...(shares.length === 0 ? {} : { shares }),
    reclaimsMemory: true,
    generation: randomUUID(),
    accelerator: host.accelerator,
    ...(host.tscKhz === undefined ? {} : { tscKhz: host.tscKhz }),
    isolation: withServers(isolationOf(vm.spec, host, `vm-${vm.id.slice(-12)}`), shares),
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
    nics: nicDevices(
      Array.from({ length: nics }, (_, index) => ({ index, mac: '' })),
      boot.kernel.machine,
      host.maxDevices[boot.kernel.machine] - DISKS,
    ),
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
    // Twice: a write to a private page that the template's memory has a hole for fills the hole as well (Linux, mm/memory.c,
    // do_cow_fault), and who does so first is charged for both.
    memoryMaxBytes: (2 * memoryMib + OVERHEAD_MIB) * 2 ** 20,
    pidsMax: QEMU_THREADS + cpus,
    rlimits: { nofile: 1024, core: 0 },
  };
}

function withServers(isolation: Isolation, shares: readonly LaunchShare[]): Isolation {
  const servers = shares.filter(({ how }) => how === 'virtiofs').length;
  return { ...isolation, pidsMax: (isolation.pidsMax ?? QEMU_THREADS) + servers * SERVER_THREADS };
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
  /** What its machine's NICs are called so far, if not by their own MACs. */
  readonly currentMacs?: readonly string[] | undefined;
}

/** What the guest is told before anything of the user's runs in it. */
export function identityOf(
  vm: Vm,
  nics: readonly VmNic[],
  imageEnv: Readonly<Record<string, string>>,
  secretEnv: Readonly<Record<string, string>>,
  origin: GuestOrigin,
): Identity {
  return {
    ...namesOf(vm, nics),
    // Clones of one memory image draw the same random bytes until they are told otherwise.
    seed: randomBytes(64),
    generation: randomUUID(),
    ...(origin.lacksRoot ? { root: 'vda' } : {}),
    ...(origin.hasForeignKeys ? { freshKeys: true } : {}),
    ...(origin.hasForeignBootId ? { bootId: randomUUID() } : {}),
    unixTimeNs: BigInt(Date.now()) * 1_000_000n,
    machineId: vm.id.replaceAll('-', ''),
    env: { ...imageEnv, ...vm.spec.env, ...secretEnv },
    nics: nics.map((nic) => ({ ...nicIdentity(nic), currentMac: origin.currentMacs?.[nic.index] })),
    ...(vm.spec.role === 'router' ? { router: true } : {}),
  };
}

/** A NIC as the agent is told of it. */
export function nicIdentity({ mac, address, prefixLength, address6, mtu, gateway, routes }: VmNic) {
  return {
    mac,
    addresses: [`${address}/${prefixLength}`, ...(address6 === undefined ? [] : [`${address6}/${SUBNET6_PREFIX}`])],
    ...(mtu === undefined ? {} : { mtu }),
    ...(gateway === undefined || routes.some(({ to }) => to === EVERYWHERE) ? {} : { gateway }),
    ...(routes.length === 0 ? {} : { routes }),
  };
}

/** What of its identity follows from its NICs. */
export function namesOf(vm: Pick<Vm, 'name'>, nics: readonly VmNic[]): NicNames {
  const hostname = hostnameOf(vm.name);
  const first = nics[0];
  const domain = first?.domain;
  // A LAN's server knows none of ours, and who asks it first believes it.
  const namedFirst = nics.toSorted((a, b) => Number(a.domain === undefined) - Number(b.domain === undefined));
  return {
    hostname,
    nics: nics.map(nicIdentity),
    dns: [...new Set(namedFirst.flatMap((nic) => nic.dns))],
    search: [...new Set(nics.flatMap((nic) => nic.domain ?? []))],
    hosts: [
      {
        address: first?.address ?? '127.0.1.1',
        names: domain === undefined ? [hostname] : [`${hostname}.${domain}`, hostname],
      },
    ],
  };
}

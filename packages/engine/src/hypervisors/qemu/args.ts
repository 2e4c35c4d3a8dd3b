import { SkerryError } from '@skerry/api';
import type { LaunchShare, LaunchTap, StateLayout, VmLaunch } from '../contract.ts';
import { diskNodes } from './disks.ts';
import { NO_FEATURES, type QemuFeatures } from './features.ts';
import { kernelArgs } from './kernel-args.ts';
import { Descriptors, vmPaths, type QemuPlan } from './plan.ts';
import { hasVirtiofs, shareDevice } from './share-plan.ts';

/** What of the host the arguments depend on. */
export interface QemuHost {
  /** Name or path of the binary. */
  readonly binary: string;
  /** Default: those of QEMU 7.2. */
  readonly features?: QemuFeatures | undefined;
}

/** A microvm without ACPI has eight virtio-mmio transports; three are the serial ports, the RNG and the balloon. */
export const MAX_MICROVM_DEVICES = 5;
/** PCI slots on q35's root bus, less the built-in and our own three. */
export const MAX_Q35_DEVICES = 24;

/**
 * How to start QEMU for a launch. Pure: the same launch gives the same plan, in the same order of devices (a memory
 * template fits only a machine with its own order).
 * @throws SkerryError `unsupported` when the machine has no room for the devices
 */
export function qemuPlan(launch: VmLaunch, host: QemuHost): QemuPlan {
  requireRoom(launch);
  const descriptors = new Descriptors();
  const paths = vmPaths(launch);
  const args = [
    ...machineArgs(launch),
    ...memoryArgs(launch, descriptors, host.features ?? NO_FEATURES),
    ...kernelImageArgs(launch, descriptors),
    ...monitorArgs('qmp', descriptors.socket('qmp', paths.qmp)),
    ...monitorArgs('cut', descriptors.socket('cut', paths.cut)),
    ...serialArgs(launch, descriptors),
    ...rngArgs(launch),
    ...balloonArgs(launch),
    ...generationArgs(launch),
    ...launch.disks.flatMap((disk, index) => diskArgs(launch, disk, index, descriptors)),
    ...launch.nics.flatMap((nic, index) => nicArgs(launch, nic, index, descriptors)),
    ...(launch.shares ?? []).flatMap((share, index) => shareArgs(launch, share, index, descriptors)),
  ];
  return {
    // Descriptor sets must exist before the arguments that use them.
    argv: [host.binary, ...BASE_ARGS, ...descriptors.fdsetArgs, ...args],
    listen: descriptors.listen,
    open: descriptors.open,
    share: descriptors.share,
    served: descriptors.servedDirectories,
    taps: descriptors.taps,
    objects: descriptors.objects,
    keepPath: launch.origin?.kind === 'template' ? launch.origin.keeperPath : undefined,
    take: descriptors.take,
  };
}

const BASE_ARGS: readonly string[] = [
  '-nodefaults',
  '-no-user-config',
  '-display',
  'none',
  // A reset ends QEMU, and the supervisor decides: without ACPI a power-off is a reset, too.
  '-no-reboot',
  '-sandbox',
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
];

/** For a machine that goes on from memory. */
const INCOMING: readonly string[] = [
  // Its end is told, and not asked for.
  '-global',
  'migration.x-events=on',
  // No announcement of its addresses: they are not its own yet. And QEMU 7.2 ends by SIGSEGV (seen in 2 of 60 clones) when
  // it sends one before its netdev `stream` listens, which it begins in a thread (net/stream.c, qio_channel_writev of NULL).
  '-global',
  'migration.announce-rounds=0',
];

function requireRoom({ kernel, disks, nics, shares = [] }: VmLaunch): void {
  const max = kernel.machine === 'microvm' ? MAX_MICROVM_DEVICES : MAX_Q35_DEVICES;
  const wanted = disks.length + nics.length + shares.length;
  if (wanted <= max) return;
  throw new SkerryError(
    'unsupported',
    `A ${kernel.machine} machine has room for ${max} disks, NICs and shares together, not for ${wanted}`,
    {
      remedy:
        shares.length > 0
          ? 'Share fewer directories: one that holds the others, for example.'
          : 'Ask for fewer NICs, or for the kernel `distro`, whose machine has more room.',
      details: { disks: disks.length, nics: nics.length, shares: shares.length, max },
    },
  );
}

/**
 * Of translated code, thrown away when it is full. QEMU's own limit is 1 GiB (DEFAULT_CODE_GEN_BUFFER_SIZE in tcg/region.c), more
 * than a VM's control group has: some hundred commands of a guest were enough to have it killed.
 */
const TRANSLATIONS_MIB = 128;

function machineArgs(launch: VmLaunch): string[] {
  const { id, name, kernel, accelerator, cpus, memoryMib } = launch;
  const machine =
    kernel.machine === 'microvm'
      ? // acpi=on hangs at random on QEMU 7.2; without an RTC the kernel waits two seconds for one.
        ['microvm', 'acpi=off', 'isa-serial=off', 'rtc=on']
      : // What no guest of ours uses costs its kernel time to look for.
        ['q35', 'smm=off', 'vmport=off', 'hpet=off', 'sata=off', 'smbus=off', 'i8042=off', 'usb=off'];
  return [
    '-name',
    `guest=${quoted(name)},debug-threads=on`,
    '-uuid',
    id,
    '-machine',
    [...machine, 'memory-backend=mem'].join(','),
    '-accel',
    accelerator === 'kvm' ? 'kvm' : `tcg,tb-size=${TRANSLATIONS_MIB}`,
    '-cpu',
    // Emulated, the string instructions behind these two flags are slower than the loops they replace.
    accelerator === 'kvm' ? 'host' : 'max,-erms,-fsrm',
    '-smp',
    String(cpus),
    '-m',
    `${memoryMib}M`,
  ];
}

/** Memory, and the state that a machine goes on from. Always of one name, by which a saved one finds its place. */
function memoryArgs(launch: VmLaunch, descriptors: Descriptors, features: QemuFeatures): string[] {
  const { origin, memoryMib } = launch;
  const size = `size=${memoryMib}M`;
  if (hasVirtiofs(launch.shares)) return sharedMemoryArgs(launch, size);
  const own = ['-object', `memory-backend-ram,id=mem,${size}`];
  if (origin === undefined) return own;
  if (origin.kind === 'saved') return [...own, ...INCOMING, ...fromFile(origin.statePath, origin.layout, descriptors)];
  const object = (descriptor: string, how: string): string[] => [
    '-object',
    `memory-backend-file,id=mem,${size},mem-path=/proc/self/fd/${descriptor},${how}`,
  ];
  if (origin.kind === 'template') {
    const memory = descriptors.object('memory', memoryMib * 2 ** 20);
    descriptors.object('devices', 0);
    return [
      ...object(memory, 'share=on'),
      ...INCOMING,
      ...(origin.statePath === undefined ? [] : fromFile(origin.statePath, origin.layout, descriptors)),
    ];
  }
  descriptors.taken('devices', origin.keeperPath);
  return [
    // A mapping of its own: what it writes stays its own, and the kernel refuses to write a sealed object anyway.
    ...object(
      descriptors.taken('memory', origin.keeperPath),
      features.readOnlyBacking ? 'share=off,readonly=on,rom=off' : 'share=off',
    ),
    ...INCOMING,
    // Deferred: QEMU has no option that says that the shared memory is not in the state.
    '-incoming',
    'defer',
    ...(origin.paused === true ? ['-S'] : []),
  ];
}

/** For servers of directories, which read and write the guest's queues themselves. */
function sharedMemoryArgs({ origin, kernel }: VmLaunch, size: string): string[] {
  if (origin !== undefined) throw new SkerryError('internal', 'A VM with virtiofs goes on from no memory: it boots');
  return [
    '-object',
    `memory-backend-memfd,id=mem,${size},share=on`,
    // Such servers know no other devices than those of virtio 1 (libvhost-user: "virtio legacy devices aren't supported").
    ...(kernel.machine === 'microvm' ? ['-global', 'virtio-mmio.force-legacy=false'] : []),
  ];
}

function fromFile(path: string, layout: StateLayout | undefined, descriptors: Descriptors): string[] {
  if (layout !== 'mapped') return ['-incoming', `fd:${descriptors.number('state', path)}`];
  return ['-global', 'migration.mapped-ram=on', '-incoming', `file:${descriptors.file('state', path, 'r')}`];
}

function kernelImageArgs(launch: VmLaunch, descriptors: Descriptors): string[] {
  // What goes on from memory has its kernel there.
  if (launch.origin?.kind === 'clone' || launch.origin?.kind === 'saved') return [];
  return [
    '-kernel',
    descriptors.plainFile('kernel', launch.kernel.path),
    '-initrd',
    descriptors.plainFile('initrd', launch.kernel.initrdPath),
    '-append',
    kernelArgs(launch).join(' '),
  ];
}

function monitorArgs(id: string, socket: string): string[] {
  return ['-chardev', `socket,id=${id},fd=${socket},server=on,wait=off`, '-mon', `chardev=${id},mode=control`];
}

/** Console, agent port and service log. All three stay open while nobody is connected: the guest never blocks on us. */
function serialArgs(launch: VmLaunch, descriptors: Descriptors): string[] {
  const paths = vmPaths(launch);
  const consoleSocket = descriptors.socket('con', paths.console);
  const consoleLog = descriptors.file('conlog', paths.consoleLog, 'a');
  const agentSocket = descriptors.socket('agent', paths.agent);
  const serviceLog = descriptors.file('svclog', paths.serviceLog, 'a');
  return [
    '-chardev',
    `socket,id=con,fd=${consoleSocket},server=on,wait=off,logfile=${consoleLog},logappend=on`,
    '-chardev',
    `socket,id=agent,fd=${agentSocket},server=on,wait=off`,
    '-chardev',
    `file,id=svclog,path=${serviceLog},append=on`,
    '-device',
    virtio(launch, 'serial', 'id=serial', 'max_ports=4'),
    ...(launch.kernel.machine === 'microvm'
      ? ['-device', 'virtconsole,chardev=con']
      : ['-device', 'isa-serial,chardev=con']),
    '-device',
    'virtserialport,chardev=agent,name=skerry.agent',
    '-device',
    'virtserialport,chardev=svclog,name=skerry.log',
  ];
}

function rngArgs(launch: VmLaunch): string[] {
  return ['-object', 'rng-builtin,id=rng0', '-device', virtio(launch, 'rng', 'rng=rng0')];
}

function balloonArgs(launch: VmLaunch): string[] {
  const reporting = launch.reclaimsMemory ? ['free-page-reporting=on'] : [];
  return ['-device', virtio(launch, 'balloon', 'id=balloon', ...reporting, 'deflate-on-oom=on')];
}

/** Found by ACPI, which a microvm does not have (docs/specs/vmgenid.rst): there the agent alone tells the kernel. */
function generationArgs({ kernel, generation = 'auto' }: VmLaunch): string[] {
  return kernel.machine === 'q35' ? ['-device', `vmgenid,id=genid,guid=${generation}`] : [];
}

function diskArgs(
  launch: VmLaunch,
  disk: VmLaunch['disks'][number],
  index: number,
  descriptors: Descriptors,
): string[] {
  const name = `disk${index}`;
  return [
    ...diskNodes(disk, name, descriptors),
    '-device',
    virtio(launch, 'blk', `drive=${name}`, `id=vd${index}`, `serial=${name}`),
  ];
}

function nicArgs(launch: VmLaunch, nic: VmLaunch['nics'][number], index: number, descriptors: Descriptors): string[] {
  const name = `nic${index}`;
  // guest_announce: with `announce-rounds=0` QEMU 7.2 frees the device's announce timer when it takes memory over, and ends by
  // SIGSEGV when the guest powers off and resets the device (virtio_net_reset, timer_del of NULL).
  // An option ROM is for booting from the network, and another package to install.
  const rom = launch.kernel.machine === 'q35' ? ['romfile='] : [];
  return [
    '-netdev',
    nic.tap === undefined
      ? `stream,id=${name},server=on,addr.type=fd,addr.str=${descriptors.socket(name, vmPaths(launch).nic(nic.socketName))}`
      : tapBackend(name, nic.tap, descriptors),
    '-device',
    virtio(launch, 'net', `netdev=${name}`, `id=eth${index}`, `mac=${nic.mac}`, 'guest_announce=off', ...rom),
  ];
}

/** No part of the device: a clone with a tap goes on from a template with a socket, for it may use less than its tap can. */
function tapBackend(name: string, { name: interfaceName, vhost }: LaunchTap, descriptors: Descriptors): string {
  const backend = `tap,id=${name},fd=${descriptors.tapDevice(name, interfaceName)}`;
  return vhost ? `${backend},vhost=on,vhostfd=${descriptors.device(`vhost${name}`, '/dev/vhost-net')}` : backend;
}

function shareArgs(launch: VmLaunch, share: LaunchShare, index: number, descriptors: Descriptors): string[] {
  const { backend, kind, properties } = shareDevice(share, index, descriptors);
  return [
    ...backend,
    '-device',
    kind === '9p' ? virtio(launch, kind, ...properties) : onBus(launch, `vhost-${kind}`, ...properties),
  ];
}

/** A virtio device on the machine's bus: virtio-mmio on microvm, PCI on q35. */
function virtio(launch: VmLaunch, kind: string, ...properties: readonly string[]): string {
  return onBus(launch, `virtio-${kind}`, ...properties);
}

function onBus({ kernel }: VmLaunch, device: string, ...properties: readonly string[]): string {
  return [`${device}-${kernel.machine === 'microvm' ? 'device' : 'pci'}`, ...properties].join(',');
}

/** QEMU's option parser ends a value at a comma unless it is doubled. */
function quoted(value: string): string {
  return value.replaceAll(',', ',,');
}

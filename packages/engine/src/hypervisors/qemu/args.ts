import { SkerryError } from '@skerry/api';
import type { VmLaunch } from '../contract.ts';
import { diskNodes } from './disks.ts';
import { kernelArgs } from './kernel-args.ts';
import { Descriptors, vmPaths, type QemuPlan } from './plan.ts';

/** What of the host the arguments depend on. */
export interface QemuHost {
  /** Name or path of the binary. */
  readonly binary: string;
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
    ...memoryArgs(launch, descriptors),
    ...kernelImageArgs(launch, descriptors),
    ...monitorArgs('qmp', descriptors.socket('qmp', paths.qmp)),
    ...monitorArgs('cut', descriptors.socket('cut', paths.cut)),
    ...serialArgs(launch, descriptors),
    ...rngArgs(launch),
    ...balloonArgs(launch),
    ...launch.disks.flatMap((disk, index) => diskArgs(launch, disk, index, descriptors)),
    ...launch.nics.flatMap((nic, index) => nicArgs(launch, nic, index, descriptors)),
  ];
  return {
    // Descriptor sets must exist before the arguments that use them.
    argv: [host.binary, ...BASE_ARGS, ...descriptors.fdsetArgs, ...args],
    listen: descriptors.listen,
    open: descriptors.open,
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

function requireRoom({ kernel, disks, nics }: VmLaunch): void {
  const max = kernel.machine === 'microvm' ? MAX_MICROVM_DEVICES : MAX_Q35_DEVICES;
  if (disks.length + nics.length <= max) return;
  throw new SkerryError(
    'unsupported',
    `A ${kernel.machine} machine has room for ${max} disks and NICs together, not for ${disks.length + nics.length}`,
    {
      remedy: 'Ask for fewer NICs, or for the kernel `distro`, whose machine has more room.',
      details: { disks: disks.length, nics: nics.length, max },
    },
  );
}

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
    [...machine, `accel=${accelerator}`, 'memory-backend=mem'].join(','),
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
function memoryArgs({ origin, memoryMib }: VmLaunch, descriptors: Descriptors): string[] {
  const size = `size=${memoryMib}M`;
  const own = ['-object', `memory-backend-ram,id=mem,${size}`];
  if (origin === undefined) return own;
  const incoming = (state: string): string[] => ['-incoming', `fd:${state}`];
  if (origin.kind === 'saved') return [...own, ...INCOMING, ...incoming(descriptors.number('state', origin.statePath))];
  const object = (descriptor: string, share: 'on' | 'off'): string[] => [
    '-object',
    `memory-backend-file,id=mem,${size},mem-path=/proc/self/fd/${descriptor},share=${share}`,
  ];
  if (origin.kind === 'template') {
    const memory = descriptors.object('memory', memoryMib * 2 ** 20);
    descriptors.object('devices', 0);
    return [
      ...object(memory, 'on'),
      ...INCOMING,
      ...(origin.statePath === undefined ? [] : incoming(descriptors.number('state', origin.statePath))),
    ];
  }
  descriptors.taken('devices', origin.keeperPath);
  return [
    // A mapping of its own: what it writes stays its own, and the kernel refuses to write a sealed object anyway.
    ...object(descriptors.taken('memory', origin.keeperPath), 'off'),
    ...INCOMING,
    // Deferred: QEMU has no option that says that the shared memory is not in the state.
    '-incoming',
    'defer',
    ...(origin.paused === true ? ['-S'] : []),
  ];
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
  const socket = descriptors.socket(name, vmPaths(launch).nic(nic.socketName));
  // An option ROM is for booting from the network, and another package to install.
  const rom = launch.kernel.machine === 'q35' ? ['romfile='] : [];
  return [
    '-netdev',
    `stream,id=${name},server=on,addr.type=fd,addr.str=${socket}`,
    '-device',
    virtio(launch, 'net', `netdev=${name}`, `id=eth${index}`, `mac=${nic.mac}`, ...rom),
  ];
}

/** A virtio device on the machine's bus: virtio-mmio on microvm, PCI on q35. */
function virtio({ kernel }: VmLaunch, kind: string, ...properties: readonly string[]): string {
  return [`virtio-${kind}-${kernel.machine === 'microvm' ? 'device' : 'pci'}`, ...properties].join(',');
}

/** QEMU's option parser ends a value at a comma unless it is doubled. */
function quoted(value: string): string {
  return value.replaceAll(',', ',,');
}

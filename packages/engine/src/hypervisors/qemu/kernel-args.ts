import type { VmLaunch } from '../contract.ts';

/** Rate that our patched kernel believes of the local APIC's timer instead of measuring it: QEMU's is fixed at 1 GHz. */
const LAPIC_KHZ = 1_000_000;

/** The kernel command line. What each saves was measured: see docs/decisions on the boot path. */
export function kernelArgs(launch: VmLaunch): string[] {
  const { kernel, accelerator } = launch;
  return [
    // On q35 virtio is a module of the distribution's kernel: only a serial port shows the early boot.
    `console=${kernel.machine === 'microvm' ? 'hvc0' : 'ttyS0'}`,
    // A triple fault is the one reset that works without ACPI; -no-reboot makes it QEMU's end.
    'reboot=t',
    'panic=-1',
    'quiet',
    ...(accelerator === 'tcg' ? emulationArgs(launch) : []),
    // This driver makes an interface when it is built in.
    ...(kernel.which === 'micro' ? ['dummy.numdummies=0'] : []),
    // A template mounts nothing: each clone has a disk of its own, and is told of it.
    ...(launch.disks.length > 0 ? [`skerry.root=${launch.origin?.kind === 'template' ? 'later' : 'vda'}`] : []),
    ...(launch.extraKernelArgs ?? []),
  ];
}

/** Under KVM the guest has a clock of the host's; under emulation it measures its timers, slowly, unless it is told. */
function emulationArgs({ kernel, tscKhz }: VmLaunch): string[] {
  return [
    ...(kernel.patched && tscKhz !== undefined ? [`tsc_early_khz=${tscKhz}`, `lapic_khz=${LAPIC_KHZ}`] : []),
    'tsc=reliable',
    'no_timer_check',
    'noreplace-smp',
    // Emulation is no boundary between tenants anyway, and what they cost is translated code.
    'mitigations=off',
  ];
}

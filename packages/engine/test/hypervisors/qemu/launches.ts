import type { LaunchDisk, LaunchNic, VmLaunch } from '../../../src/hypervisors/index.ts';

/** A launch as the controller makes it, for tests to change. */
export function launchOf(changes: Partial<VmLaunch> = {}): VmLaunch {
  return {
    id: '0198c5a4-7b1e-7cc3-9a52-3f6f0a1d2e4b',
    name: 'web',
    dir: '/data/vms/0198c5a4-7b1e-7cc3-9a52-3f6f0a1d2e4b',
    runtimeDir: '/run/v/0198c5a47b1e',
    cpus: 1,
    memoryMib: 128,
    kernel: microKernel(),
    disks: [],
    nics: [],
    reclaimsMemory: true,
    accelerator: 'tcg',
    tscKhz: 2_100_000,
    isolation: {},
    ...changes,
  };
}

export function microKernel(changes: Partial<VmLaunch['kernel']> = {}): VmLaunch['kernel'] {
  return {
    which: 'micro',
    path: '/cache/kernels/micro/vmlinux',
    initrdPath: '/cache/kernels/micro/initrd.cpio',
    patched: true,
    machine: 'microvm',
    ...changes,
  };
}

export function distroKernel(): VmLaunch['kernel'] {
  return {
    which: 'distro',
    path: '/cache/kernels/distro/vmlinuz',
    initrdPath: '/cache/kernels/distro/initrd.cpio',
    patched: false,
    machine: 'q35',
  };
}

export function overlay(): LaunchDisk {
  return {
    path: '/data/vms/0198c5a4-7b1e-7cc3-9a52-3f6f0a1d2e4b/disk.qcow2',
    format: 'qcow2',
    readonly: false,
    backing: { path: '/data/images/sha256-ab/root.qcow2', format: 'qcow2' },
  };
}

export function nic(index: number): LaunchNic {
  return { mac: `52:54:00:00:00:0${index}`, socketName: `nic${index}` };
}

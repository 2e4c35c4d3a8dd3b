/** The pure half of the kernels. */

export type KernelKind = 'micro' | 'distro';

/** A kernel in the cache; `kernel.json` is this without the paths. */
export interface Kernel {
  readonly version: 1;
  readonly kind: KernelKind;
  /** Of its inputs; also the name of its directory. */
  readonly hash: string;
  /** What `uname -r` says in the guest. */
  readonly release: string;
  /** ELF with a PVH entry (micro) or bzImage (distro). */
  readonly path: string;
  /** Micro boots on both, q35 where hot-plug is needed; distro on q35 alone (it has no VIRTIO_MMIO_CMDLINE_DEVICES). */
  readonly machine: 'microvm' | 'q35';
  /** `lapic_khz=` and a `tsc_early_khz=` that skips the calibration work: `guest/micro-kernel.patch` is in. */
  readonly patched: boolean;
  readonly minMemoryMib: number;
  /** NAME=VERSION of the package it was made from. */
  readonly sourcePackage: string;
  readonly builtAt: string;
  readonly buildSeconds: number;
  /** Modules that the initramfs loads, in order; none for micro. */
  readonly modulesDir?: string;
}

/**
 * For a VM of the micro image. MemAvailable once its agent answers, under QEMU 7.2: micro (6.12) 2 MiB of 48, and with 40
 * the agent is killed; distro (Debian's 6.1) 69 MiB of 128, 37 of 96, 18 of 80. The rest of distro's 128 is room for a host's
 * own kernel, which serves where Debian's can't be had.
 */
export const MIN_MEMORY_MIB_OF: Readonly<Record<KernelKind, number>> = { micro: 48, distro: 128 };

/** Without these no VM of ours starts. The seed names more than one version's spelling of some others, so a lack is no news. */
export const ESSENTIAL_OPTIONS: readonly string[] = [
  'BINFMT_ELF',
  'BLK_DEV_INITRD',
  'CGROUPS',
  'DEVTMPFS',
  'EXT4_FS',
  'NET',
  'PVH',
  'VIRTIO_BLK',
  'VIRTIO_CONSOLE',
  'VIRTIO_MMIO_CMDLINE_DEVICES',
  'VIRTIO_NET',
  'VIRTIO_PCI',
];

/** Object files that `make vmlinux` compiles for linux 6.12 with `guest/micro.config`; only the progress depends on it. */
const EXPECTED_OBJECTS = 1540;

/** The configuration without what does not change the kernel, so that a comment does not cost a build. */
export function effectiveConfig(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .toSorted()
    .join('\n');
}

/** Options that the seed turns on and the resulting .config has not. */
export function droppedOptions(seed: string, dotConfig: string): string[] {
  const set = new Set(dotConfig.split('\n').filter((line) => line.endsWith('=y')));
  return effectiveConfig(seed)
    .split('\n')
    .filter((line) => line.endsWith('=y') && !set.has(line))
    .map((line) => line.slice('CONFIG_'.length, -'=y'.length));
}

/** Counts what make says it compiles; gives the share of the build that is done, or undefined for other lines. */
export function compileProgress(): (line: string) => number | undefined {
  let compiled = 0;
  return (line) => {
    if (!/^ {2}(?:CC|AS|HOSTCC) /.test(line)) return undefined;
    compiled += 1;
    return Math.min(compiled / EXPECTED_OBJECTS, 0.99);
  };
}

/** What tar leaves packed of the source: 700 MB of drivers and texts that this configuration never looks at. */
export const UNUSED_SOURCE: readonly string[] = [
  '*.rst',
  '*.dts',
  '*.dtsi',
  '*/drivers/gpu/*.[ch]',
  '*/drivers/media/*.[ch]',
  '*/drivers/net/ethernet/*.[ch]',
  '*/drivers/net/wireless/*.[ch]',
  '*/drivers/staging/*.[ch]',
  '*/sound/*.c',
  '*/tools/testing/*.[ch]',
];

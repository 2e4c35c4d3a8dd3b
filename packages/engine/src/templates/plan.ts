import { join } from 'node:path';
import type { TemplateShape } from '@skerry/api';
import type { DiskImage, Isolation, VmLaunch } from '../hypervisors/index.ts';
import type { TemplateWant } from '../vms/index.ts';

/** Pure: what a template is made of, and which ones have to go. */

/** In the place of what differs from VM to VM, so that the same shape gives the same machine. */
const NO_ID = '00000000-0000-4000-8000-000000000000';

/** The MAC that the template's NIC of this index has until a clone is told its own. */
export function templateMac(index: number): string {
  return `52:54:00:00:00:${index.toString(16).padStart(2, '0')}`;
}

/**
 * Mounting costs under emulation alone, as all code of the kernel that a clone touches first: half of its start there, and
 * about a millisecond with KVM, which is not worth the memory.
 */
export function mountsRoot({ launch, root }: TemplateWant): boolean {
  return root !== undefined && launch.accelerator === 'tcg';
}

/** What a template has in the place of shared directories; its guest mounts none. */
export function emptyDir(dir: string): string {
  return join(dir, 'empty');
}

export interface TemplatePlace {
  readonly dir: string;
  readonly keeperPath: string;
  readonly isolation: Isolation;
  /** Instead of a disk that nothing can be read from: the one that it mounts. */
  readonly root?: DiskImage | undefined;
}

/** The machine that a VM can be a clone of: the same devices in the same order, with nothing of its own. */
export function templateLaunch(launch: VmLaunch, diskBytes: readonly number[], place: TemplatePlace): VmLaunch {
  return {
    ...launch,
    id: NO_ID,
    name: 'template',
    dir: place.dir,
    runtimeDir: place.dir,
    disks: diskBytes.map((sizeBytes, index) =>
      index === 0 && place.root !== undefined
        ? { ...place.root, readonly: false }
        : { format: 'placeholder', sizeBytes },
    ),
    // With sockets alone: what is behind a device is no part of it.
    nics: launch.nics.map(({ tap: _, ...nic }, index) => ({
      ...nic,
      mac: nic.isSpare === true ? nic.mac : templateMac(index),
    })),
    ...(launch.shares === undefined
      ? {}
      : { shares: launch.shares.map(() => ({ path: emptyDir(place.dir), readonly: true })) }),
    reclaimsMemory: false,
    origin: { kind: 'template', keeperPath: place.keeperPath },
    isolation: place.isolation,
  };
}

export function cloneLaunch(launch: VmLaunch, keeperPath: string, paused = false): VmLaunch {
  return {
    ...launch,
    nics: launch.nics.map((nic, index) => ({ ...nic, mac: nic.isSpare === true ? nic.mac : templateMac(index) })),
    reclaimsMemory: false,
    origin: { kind: 'clone', keeperPath, paused },
  };
}

export function shapeOf({ cpus, memoryMib, disks, nics, shares, kernel, accelerator }: VmLaunch): TemplateShape {
  return {
    cpus,
    memoryMib,
    disks: disks.length,
    nics: nics.filter(({ isSpare }) => isSpare !== true).length,
    ...(shares === undefined || shares.length === 0 ? {} : { shares: shares.length }),
    kernel: kernel.which,
    machine: kernel.machine,
    accelerator,
  };
}

export interface Evictable {
  readonly id: string;
  readonly state: 'building' | 'ready' | 'stale';
  readonly usedAtMs: number;
  readonly memoryBytes: number;
}

export interface EvictionLimits {
  /** Templates that nobody used for so long go. */
  readonly unusedForMs: number;
  /** Of all templates together: the ones that were not used for longest go. */
  readonly memoryBytes: number;
}

/** Ids of those to let go of: the stale, the old, and the least lately used as long as there is too much. */
export function planEviction(templates: readonly Evictable[], limits: EvictionLimits, nowMs: number): string[] {
  const gone = new Set<string>();
  for (const { id, state, usedAtMs } of templates) {
    if (state === 'stale' || (state === 'ready' && nowMs - usedAtMs > limits.unusedForMs)) gone.add(id);
  }
  const kept = templates.filter(({ id, state }) => state === 'ready' && !gone.has(id));
  let bytes = kept.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  // The one that was used last stays in any case: it is being used.
  for (const { id, memoryBytes } of kept.toSorted((a, b) => a.usedAtMs - b.usedAtMs).slice(0, -1)) {
    if (bytes <= limits.memoryBytes) break;
    gone.add(id);
    bytes -= memoryBytes;
  }
  return [...gone];
}

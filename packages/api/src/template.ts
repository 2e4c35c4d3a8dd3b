import { z } from 'zod';
import { Name } from './names.ts';
import { MAX_CPUS, VmSpec } from './vm.ts';

/** Templates: booted machines, frozen, that VMs of the same shape are cloned from. They live in memory, not in the store. */

/** `auto`: built on the first start of a shape. `eager`: also for an image that nobody has started. `never`: cold boots. */
export const TemplatePolicy = z.enum(['auto', 'eager', 'never']);
export type TemplatePolicy = z.infer<typeof TemplatePolicy>;

/** What a machine has to have in common with its template, beside versions of hypervisor, kernel and agent. */
export const TemplateShape = z.object({
  cpus: z.int(),
  memoryMib: z.int(),
  disks: z.int(),
  nics: z.int(),
  /** Directories of the host; absent: none. */
  shares: z.int().optional(),
  kernel: z.enum(['micro', 'distro']),
  machine: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
});
export type TemplateShape = z.infer<typeof TemplateShape>;

export const Template = z.object({
  /** Hash of all that goes into it: another QEMU, kernel or shape is another template. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** `stale`: what it was made of has changed; it is not used any more. */
  state: z.enum(['building', 'ready', 'stale']),
  origin: z.enum(['boot', 'fork']),
  shape: TemplateShape,
  /** Its root disk, of this image, is mounted: for VMs whose disk nobody has written to. Absent: for VMs of any image. */
  image: z.string().optional(),
  qemuVersion: z.string(),
  createdAt: z.iso.datetime(),
  usedAt: z.iso.datetime(),
  /** VMs that were cloned from it since the daemon started. */
  clones: z.int(),
  /** Memory that it holds, once for all of its clones. */
  memoryBytes: z.int(),
  stateBytes: z.int(),
  /** How long it took to make. */
  buildMs: z.number(),
});
export type Template = z.infer<typeof Template>;

export const TemplateBuild = z.strictObject({
  image: Name.default('micro'),
  cpus: z.int().min(1).max(MAX_CPUS).default(1),
  memoryMib: VmSpec.shape.memoryMib.default(128),
  nics: z.int().min(0).max(4).default(1),
  kernel: VmSpec.shape.kernel,
});
export type TemplateBuild = z.infer<typeof TemplateBuild>;

export const TemplatePrune = z.strictObject({
  /** Those not used for so long; all that are not in use when 0. */
  unusedForMs: z.int().min(0).default(0),
});

export const Pool = z.object({
  image: z.string(),
  /** How many shall wait; 0 removes the pool. */
  size: z.int(),
  ready: z.int(),
  cpus: z.int(),
  memoryMib: z.int(),
  /** Ids of those that wait, or are being made: each becomes that of the VM that takes it. */
  members: z.array(z.string()),
  /** Why there are fewer than asked, if so. */
  message: z.string().optional(),
});
export type Pool = z.infer<typeof Pool>;

export const PoolSet = z.strictObject({
  size: z.int().min(0).max(1000),
  cpus: z.int().min(1).max(MAX_CPUS).default(1),
  memoryMib: VmSpec.shape.memoryMib.default(128),
});
export type PoolSet = z.infer<typeof PoolSet>;

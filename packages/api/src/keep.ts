import { z } from 'zod';
import { Name } from './names.ts';
import { NodeUp } from './node.ts';

/** Keeping what a daemon has, and taking it elsewhere: backups, bundles, and what an upgrade would do. */

/** On the daemon's host. */
const FilePath = z.string().regex(/^\/[^\0]*$/, 'write an absolute path');

export const BackupCreate = z.strictObject({
  to: FilePath,
  /** Disks of VMs that have no process, too. */
  disks: z.boolean().default(false),
  /** Replace a file that is there. */
  force: z.boolean().default(false),
});
export type BackupCreate = z.infer<typeof BackupCreate>;

export const BackupResult = z.object({
  path: z.string(),
  sizeBytes: z.int(),
  createdAt: z.iso.datetime(),
  vms: z.int(),
  /** VMs whose disks are in it. */
  disks: z.array(z.string()),
  /** VMs that have disks which are not in it, though disks were asked for. */
  leftOut: z.array(z.string()),
});
export type BackupResult = z.infer<typeof BackupResult>;

export const RestoreResult = z.object({
  /** When the backup was made, and the version that made it. */
  createdAt: z.iso.datetime(),
  skerry: z.string(),
  vms: z.int(),
  nodes: z.int(),
  disks: z.array(z.string()),
  /** VMs that had a disk and will get a new one. */
  withoutDisk: z.array(z.string()),
  /** Images that have to be built or loaded from a bundle. */
  missingImages: z.array(z.string()),
  /** Resources that were brought to today's form. */
  upgraded: z.int(),
});
export type RestoreResult = z.infer<typeof RestoreResult>;

export const BundleCreate = z.strictObject({
  to: FilePath,
  /** Names or digests; with no node either, all that there are, or `micro`. */
  images: z.array(z.string()).max(1000).default([]),
  /** Declarations whose images are built if they are not there. */
  nodes: z.array(NodeUp).max(100).default([]),
  force: z.boolean().default(false),
});
export type BundleCreate = z.infer<typeof BundleCreate>;

export const BundleImage = z.object({ name: Name, digest: z.string().regex(/^[0-9a-f]{64}$/) });

export const BundleResult = z.object({
  path: z.string(),
  sizeBytes: z.int(),
  images: z.array(BundleImage),
  /** Releases, as of uname -r. */
  kernels: z.array(z.string()),
});
export type BundleResult = z.infer<typeof BundleResult>;

export const BundleLoad = z.strictObject({ from: FilePath });
export type BundleLoad = z.infer<typeof BundleLoad>;

export const BundleLoadResult = z.object({
  images: z.array(BundleImage),
  kernels: z.array(z.string()),
  /** How much of it was not there before: files of images, kernels and initramfs. */
  loaded: z.int(),
});
export type BundleLoadResult = z.infer<typeof BundleLoadResult>;

/** One thing that an upgrade would meet. `blocked`: it would not go through. */
export const UpgradeFinding = z.object({
  id: z.enum(['store', 'resources', 'vms', 'agents', 'qemu', 'templates']),
  state: z.enum(['ok', 'attention', 'blocked']),
  message: z.string(),
  remedy: z.string().optional(),
});
export type UpgradeFinding = z.infer<typeof UpgradeFinding>;

export const UpgradeReport = z.object({
  /** Version of the daemon that runs; absent: none does. */
  running: z.string().optional(),
  /** This Skerry. */
  version: z.string(),
  findings: z.array(UpgradeFinding),
});
export type UpgradeReport = z.infer<typeof UpgradeReport>;

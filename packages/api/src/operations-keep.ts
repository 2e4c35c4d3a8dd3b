import { BackupCreate, BackupResult, BundleCreate, BundleLoad, BundleLoadResult, BundleResult } from './keep.ts';
import type { Operation } from './operation.ts';

/** Calls about backups and bundles. A part of OPERATIONS. Paths are those of the daemon's host: it reads and writes the files. */
export const KEEP_OPERATIONS = {
  'daemon.backup': {
    method: 'POST',
    path: '/daemon/backup',
    kind: 'task',
    summary: 'Write the store, the settings and, if asked, disks of stopped VMs into a file',
    body: BackupCreate,
    result: BackupResult,
  },
  'bundle.create': {
    method: 'POST',
    path: '/bundles',
    kind: 'task',
    summary: 'Write images, kernels and initramfs into a file, for hosts without a network',
    body: BundleCreate,
    result: BundleResult,
  },
  'bundle.load': {
    method: 'POST',
    path: '/bundles/load',
    kind: 'task',
    summary: 'Take what is in a bundle, unless it is there',
    body: BundleLoad,
    result: BundleLoadResult,
  },
} as const satisfies Record<string, Operation>;

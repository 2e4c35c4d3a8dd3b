import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ShareStatus, SkerryError } from '@skerry/api';
import { z } from 'zod';
import type { StateLayout } from '../hypervisors/index.ts';

/**
 * A VM's memory on disk: `memory.state`, which QEMU writes and reads, and `memory.json`, which says what it is. The latter
 * is written last and goes first, so a VM with it can go on from there, and one without it can not.
 *
 * Once the guest has run on, its disk is no longer what the memory believes: so just before that the record becomes
 * `memory.used.json`, and nobody goes on from that memory a second time.
 */

export const MemoryRecord = z.object({
  /** 2: its state has a place for each page of memory (QEMU 9.0 and newer). */
  version: z.union([z.literal(1), z.literal(2)]),
  savedAt: z.iso.datetime(),
  qemuVersion: z.string(),
  /** The machine that it was made by; see StartReport. */
  kernel: z.enum(['micro', 'distro']),
  machine: z.enum(['microvm', 'q35']),
  /** As in the launch: the machine that goes on has to be the same. */
  reclaimsMemory: z.boolean(),
  /** What its machine's NICs, spare ones too, are called in that memory. */
  macs: z.array(z.string()),
  /** Those of them, by number, that had a tap: QEMU goes on with a tap at those only. */
  taps: z.array(z.int()).optional(),
  /** Directories of the host that the machine has devices for, in their order. They are not mounted in that memory. */
  shares: z.array(ShareStatus).optional(),
  /** Of another VM: this one has to get an identity of its own before its processes go on. */
  isFork: z.boolean(),
  /** Files of the disk, the lowest first, that belong to this memory. */
  layers: z.array(z.string()),
});
export type MemoryRecord = z.infer<typeof MemoryRecord>;

const VERSIONS = { stream: 1, mapped: 2 } as const;

export function versionOf(layout: StateLayout): MemoryRecord['version'] {
  return VERSIONS[layout];
}

export function layoutOf({ version }: MemoryRecord): StateLayout {
  return version === VERSIONS.mapped ? 'mapped' : 'stream';
}

const STATE = 'memory.state';
const RECORD = 'memory.json';
const USED = 'memory.used.json';

export function statePath(dir: string): string {
  return join(dir, STATE);
}

/** @throws SkerryError `unsupported` when a newer Skerry wrote it */
export function savedMemory(dir: string): Promise<MemoryRecord | undefined> {
  return readRecord(dir, RECORD);
}

/** What the guest had begun to go on from when the daemon died. */
export function usedMemory(dir: string): Promise<MemoryRecord | undefined> {
  return readRecord(dir, USED);
}

async function readRecord(dir: string, name: string): Promise<MemoryRecord | undefined> {
  const text = await readFile(join(dir, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const record = MemoryRecord.safeParse(JSON.parse(text));
  if (record.success) return record.data;
  throw new SkerryError('unsupported', `The memory saved in ${dir} was written by another version of Skerry`, {
    remedy: 'Go back to that version, or give its memory up: `skerry start VM --discard-memory`.',
    cause: record.error,
  });
}

/** The state file is complete. @param durable it shall survive a crash of the host, too */
export async function recordMemory(dir: string, record: MemoryRecord, durable: boolean): Promise<void> {
  if (durable) await sync(join(dir, STATE));
  const path = join(dir, RECORD);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(record)}\n`);
    if (durable) await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  if (durable) await sync(dir);
}

export async function markUsed(dir: string): Promise<void> {
  await rename(join(dir, RECORD), join(dir, USED));
  await sync(dir);
}

export async function removeMemory(dir: string): Promise<void> {
  for (const name of [RECORD, USED, STATE]) await rm(join(dir, name), { force: true });
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

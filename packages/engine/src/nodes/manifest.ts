import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NetworkSpec, NetworkStatus, NodeSpec, SkerryError, VmSpec, VmStatus, type NodeSave } from '@skerry/api';
import { z } from 'zod';
import { MemoryRecord } from '../vms/index.ts';

/**
 * What was saved of a node: `SAVES/NODE-ID/NAME/manifest.json`, and a directory for each VM with its memory and its layers,
 * as a VM's own directory has them. A save appears whole, by a rename, or not at all.
 */

/** Frames that were on their way, of one guest: not yet taken in from it, under way from it, under way to it. */
const Frames = z.array(z.base64()).readonly();
const KeptFrames = z.object({ held: Frames, out: Frames, in: Frames }).readonly();

export const SaveManifest = z.object({
  version: z.literal(1),
  node: z.string(),
  name: z.string(),
  createdAt: z.iso.datetime(),
  spec: NodeSpec,
  networks: z.array(
    z.object({
      name: z.string(),
      spec: NetworkSpec,
      status: NetworkStatus,
      /** By the MAC of the guest, as a number. Saves of before have none. */
      onTheWay: z.record(z.string(), KeptFrames).readonly().optional(),
    }),
  ),
  vms: z.array(
    z.object({
      /** Inside the node, and the directory's name. */
      name: z.string(),
      spec: VmSpec,
      nics: VmStatus.shape.nics,
      imageDigest: z.string(),
      state: z.enum(['running', 'paused', 'stopped']),
      start: VmStatus.shape.start,
      layers: z.array(z.string()),
      memory: MemoryRecord.optional(),
    }),
  ),
});
export type SaveManifest = z.infer<typeof SaveManifest>;
export type SavedVm = SaveManifest['vms'][number];
export type SavedNetwork = SaveManifest['networks'][number];

const MANIFEST = 'manifest.json';
/** Names of saves are DNS labels: none begins with a dot. */
const UNFINISHED = /^\.(?:new|gone)-/;

export async function readManifest(dir: string): Promise<SaveManifest | undefined> {
  const text = await readFile(join(dir, MANIFEST), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const manifest = SaveManifest.safeParse(JSON.parse(text));
  if (manifest.success) return manifest.data;
  throw new SkerryError('unsupported', `The save in ${dir} was written by another version of Skerry`, {
    remedy: 'Go back to that version, or delete the save.',
    cause: manifest.error,
  });
}

/** Durable: the directory may be renamed to its name afterwards. */
export async function writeManifest(dir: string, manifest: SaveManifest): Promise<void> {
  const file = await open(join(dir, MANIFEST), 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify(manifest)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await syncDirectory(dir);
}

export async function syncDirectory(dir: string): Promise<void> {
  const directory = await open(dir, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Removes it in a way that never shows half of it. */
export async function removeSave(dir: string): Promise<void> {
  const gone = join(dir, '..', `.gone-${Date.now().toString(36)}-${process.pid}`);
  await rename(dir, gone);
  await rm(gone, { recursive: true, force: true });
}

/** What a daemon that died was about to write or to remove. */
export async function sweepSaves(root: string): Promise<void> {
  for (const node of await readdir(root).catch(() => [] as string[])) {
    for (const name of await readdir(join(root, node)).catch(() => [] as string[])) {
      if (UNFINISHED.test(name)) await rm(join(root, node, name), { recursive: true, force: true });
    }
  }
}

export async function listSaves(dir: string): Promise<NodeSave[]> {
  const names = await readdir(dir).catch(() => [] as string[]);
  const found = await Promise.all(
    names.filter((name) => !name.startsWith('.')).map((name) => describe(join(dir, name))),
  );
  return found.filter((save) => save !== undefined).toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}

/** Of all nodes. One that another version wrote is not asked. @param savesDir has a directory for each node */
export async function findSave(
  savesDir: string,
  matches: (manifest: SaveManifest) => boolean,
): Promise<SaveManifest | undefined> {
  for (const node of await readdir(savesDir).catch(() => [] as string[])) {
    for (const name of await readdir(join(savesDir, node)).catch(() => [] as string[])) {
      const manifest = await readManifest(join(savesDir, node, name)).catch(() => undefined);
      if (manifest !== undefined && matches(manifest)) return manifest;
    }
  }
  return undefined;
}

export async function describe(dir: string): Promise<NodeSave | undefined> {
  const manifest = await readManifest(dir);
  if (manifest === undefined) return undefined;
  const counted = new Set<number>();
  const vms = await Promise.all(
    manifest.vms.map(async ({ name, spec, state }) => ({
      name,
      memoryMib: spec.memoryMib,
      state,
      bytes: await usedBytes(join(dir, name), counted),
    })),
  );
  return {
    node: manifest.node,
    name: manifest.name,
    createdAt: manifest.createdAt,
    vms,
    bytes: vms.reduce((sum, { bytes }) => sum + bytes, 0),
    qemuVersion: manifest.vms.find(({ memory }) => memory !== undefined)?.memory?.qemuVersion ?? '',
  };
}

/** What the files take on disk; one that several have is counted once. */
async function usedBytes(dir: string, counted: Set<number>): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir)) {
    const { ino, blocks } = await stat(join(dir, name));
    if (counted.has(ino)) continue;
    counted.add(ino);
    bytes += blocks * 512;
  }
  return bytes;
}

export async function makeDirectory(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
}

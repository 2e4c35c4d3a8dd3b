import { constants, copyFile, link, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { basename, join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import type { DiskImage, LaunchDisk } from '../hypervisors/index.ts';
import type { BootFiles } from './ports.ts';

/**
 * A VM's own disk: layers that hold only what differs from what is under them, its image at the bottom. `disk.json` names
 * them, the lowest first; a disk that was never cut has one, `disk.qcow2`, and no such file. Under that one may lie
 * `template.qcow2`, of the template that the VM was cloned from: by its name, as writing a list down safely waits for the disk.
 *
 * Layers below the top never change, so forks and saves have hard links to them: the file system counts who still uses one.
 * No layer's header names the one below: QEMU is told the chain, and a guest could write anything.
 */

const CHAIN_FILE = 'disk.json';
const FIRST_LAYER = 'disk.qcow2';
const TEMPLATE_LAYER = 'template.qcow2';
const LAYER = /^layer-[0-9a-f]+\.qcow2$/;
/** Each layer costs a lookup a read. */
const MAX_LAYERS = 64;

type BaseImage = Pick<BootFiles['image'], 'disk' | 'virtualSizeBytes'>;

/**
 * Virtual size of a VM's disk. Without a wish of its own, 1 GiB or the next power of two that holds the image: a template
 * fits disks of one size, so one serves VMs of all images. The file takes only what is written.
 */
export function diskSizeBytes(image: Pick<BaseImage, 'virtualSizeBytes'>, diskMib: number | undefined): number {
  if (diskMib !== undefined) return diskMib * 2 ** 20;
  return 2 ** Math.max(30, Math.ceil(Math.log2(image.virtualSizeBytes)));
}

/** The disk of the VM in `dir` as QEMU gets it. @param layers from `diskLayers` */
export function launchDisk(dir: string, image: Pick<BaseImage, 'disk'>, layers: readonly string[]): LaunchDisk {
  let disk: DiskImage = image.disk;
  for (const layer of layers) disk = { path: join(dir, layer), format: 'qcow2', backing: disk };
  return { ...disk, readonly: false };
}

/** Names of the files in `dir`, the lowest first. @throws SkerryError `unsupported` when a newer Skerry wrote them */
export async function diskLayers(dir: string): Promise<string[]> {
  const text = await readFile(join(dir, CHAIN_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return [...((await exists(join(dir, TEMPLATE_LAYER))) ? [TEMPLATE_LAYER] : []), FIRST_LAYER];
  const { version, layers } = JSON.parse(text) as { version: number; layers: string[] };
  if (version !== 1) {
    throw new SkerryError('unsupported', `The disk in ${dir} has version ${version}; this Skerry knows 1`, {
      remedy: 'A newer Skerry wrote it: upgrade this one.',
    });
  }
  return layers.map((layer) => basename(layer));
}

/**
 * Makes the disk if it is not there.
 * @param diskMib virtual size; a default when undefined
 * @throws SkerryError `invalid` (smaller than the image), `no-space`, `failed`
 */
export async function ensureDisk(
  dir: string,
  image: BaseImage,
  diskMib: number | undefined,
  signal?: AbortSignal,
): Promise<void> {
  if (await hasDisk(dir)) return;
  assertDiskSize(image, diskMib);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const top = (await diskLayers(dir)).at(-1) ?? FIRST_LAYER;
  await makeLayer(join(dir, top), diskSizeBytes(image, diskMib), signal);
}

/** A disk that is not there has not been written to. */
export async function hasDisk(dir: string): Promise<boolean> {
  return exists(join(dir, (await diskLayers(dir)).at(-1) ?? FIRST_LAYER));
}

export interface Cut {
  /** Path of the new layer, which nothing has been written to. */
  readonly path: string;
  /** Those under it, which will not change any more. */
  readonly below: readonly string[];
  /** Takes it back, when QEMU did not take it. */
  undo(): Promise<void>;
}

/**
 * Puts an empty layer on a disk. It is written down before QEMU is told of it: an empty layer more changes nothing for a
 * VM that starts again, a layer that nobody knows of would lose what was written to it.
 */
export async function addLayer(dir: string, sizeBytes: number, signal?: AbortSignal): Promise<Cut> {
  const below = await diskLayers(dir);
  if (below.length >= MAX_LAYERS) {
    throw new SkerryError('refused', `This disk has ${below.length} layers already: each fork and save adds one`, {
      remedy: 'Make a new VM and copy what you need into it (`skerry cp`).',
    });
  }
  const layer = newLayerName();
  const path = join(dir, layer);
  await makeLayer(path, sizeBytes, signal);
  await writeChain(dir, [...below, layer]);
  return {
    path,
    below,
    async undo() {
      await writeChain(dir, below);
      await rm(path, { force: true });
    },
  };
}

/**
 * Gives the directory `to` hard links to layers of the disk in `from`, which do not change any more.
 * @returns their names there
 */
export async function linkLayers(from: string, layers: readonly string[], to: string): Promise<string[]> {
  const names: string[] = [];
  for (const layer of layers) {
    // Other names mean another file in each directory.
    const name = LAYER.test(layer) ? layer : newLayerName();
    await link(join(from, layer), join(to, name)).catch((error: NodeJS.ErrnoException) => {
      // A layer's name is its own for ever: it is there because it is shared already.
      if (error.code !== 'EEXIST') throw error;
    });
    names.push(name);
  }
  return names;
}

/** A disk of its own on layers that are linked there. */
export async function startChain(
  dir: string,
  layers: readonly string[],
  sizeBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const own = newLayerName();
  await makeLayer(join(dir, own), sizeBytes, signal);
  await writeChain(dir, [...layers, own]);
}

/** The same on the layer of the template that the VM is a clone of. @returns false when that has gone */
export async function startOnLayer(
  dir: string,
  layerPath: string,
  sizeBytes: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const path = join(dir, TEMPLATE_LAYER);
  // Of a start that was cut off here.
  await rm(path, { force: true });
  try {
    await link(layerPath, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw diskFullError(error) ?? error;
  }
  await makeLayer(join(dir, FIRST_LAYER), sizeBytes, signal);
  return true;
}

/** Removes the layers that the chain does not name. */
export async function removeUnused(dir: string): Promise<void> {
  const used = new Set(await diskLayers(dir));
  for (const name of await readdir(dir)) {
    if (isLayer(name) && !used.has(name)) await rm(join(dir, name), { force: true });
  }
}

/** All files of the disk in `dir`. */
export async function diskFiles(dir: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name === CHAIN_FILE || isLayer(name));
}

function isLayer(name: string): boolean {
  return name === FIRST_LAYER || name === TEMPLATE_LAYER || LAYER.test(name);
}

function newLayerName(): string {
  return `layer-${randomUUID().replaceAll('-', '').slice(0, 16)}.qcow2`;
}

export async function writeChain(dir: string, layers: readonly string[]): Promise<void> {
  const path = join(dir, CHAIN_FILE);
  const file = await open(`${path}.new`, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ version: 1, layers })}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
}

export function assertDiskSize(image: Pick<BaseImage, 'virtualSizeBytes'>, diskMib: number | undefined): void {
  const imageMib = Math.ceil(image.virtualSizeBytes / 2 ** 20);
  if (diskMib === undefined || diskMib >= imageMib) return;
  throw new SkerryError('invalid', `A disk of ${diskMib} MiB is smaller than its image, which has ${imageMib} MiB`, {
    remedy: `Ask for at least ${imageMib}Mi, or leave the size out.`,
  });
}

/** An empty qcow2 file: a copy of one that qemu-img made, for a process costs 20 ms and a copy of 200 KiB none. */
export async function makeLayer(path: string, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  // Beside the directories of all VMs, so that a copy can be a reflink.
  const blank = join(path, '../../..', `blank-${sizeBytes}.qcow2`);
  const temporary = `${path}.new`;
  try {
    if (!(await exists(blank))) await makeBlank(blank, sizeBytes, signal);
    await copyFile(blank, temporary, constants.COPYFILE_FICLONE);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw diskFullError(error) ?? error;
  }
}

async function makeBlank(path: string, sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
  const temporary = `${path}.${randomUUID().slice(0, 8)}`;
  try {
    await run(
      ['qemu-img', 'create', '-q', '-f', 'qcow2', temporary, String(sizeBytes)],
      signal === undefined ? {} : { signal },
    );
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

function diskFullError(error: unknown): SkerryError | undefined {
  const text = error instanceof Error ? error.message : '';
  if (!/No space left|ENOSPC/.test(text)) return undefined;
  return new SkerryError('no-space', 'The disk of this host is full', {
    remedy: 'Delete VMs or images that are not needed (`skerry list`, `skerry image list`), or add room.',
    cause: error,
  });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

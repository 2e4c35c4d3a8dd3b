import { readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { z } from 'zod';
import { readJson } from './publish.ts';

/** The catalogue on disk: `<imagesDir>/<digest>/{image.json, root.qcow2|root.raw}`; never changed once there. */

const IMAGE_VERSION = 1;
const DIGEST = /^[0-9a-f]{64}$/;
const MIN_DIGEST_PREFIX = 8;
const TRASH_PREFIX = '.trash-';

export const ImageManifest = z.object({
  version: z.literal(IMAGE_VERSION),
  name: z.string(),
  /** Of all inputs: recipe, base files, the packages' versions. Also the name of its directory. */
  digest: z.string().regex(DIGEST),
  /** Of the inputs that can be known without asking apt; images built from the same recipe share it. */
  recipeHash: z.string(),
  from: z.literal('micro').nullable(),
  createdAt: z.string(),
  /** What has to be underneath: our agent as PID 1 from the initramfs, and drivers for its disk. */
  requires: z.object({ agent: z.literal(true), kernel: z.literal('virtio-blk+ext4') }),
  minMemoryMib: z.int(),
  rootDisk: z.object({
    file: z.enum(['root.qcow2', 'root.raw']),
    format: z.enum(['qcow2', 'raw']),
    virtualSizeBytes: z.int(),
    sha256: z.string(),
  }),
  /** Name -> version of every package in it. */
  packages: z.record(z.string(), z.string()),
  env: z.record(z.string(), z.string()),
  command: z.array(z.string()).optional(),
});
export type ImageManifest = z.infer<typeof ImageManifest>;

/** An image that is ready. Its root disk is a whole-disk ext4 file system, to be used as a backing file only. */
export interface Image extends ImageManifest {
  readonly dir: string;
  readonly rootDiskPath: string;
  /** Allocated bytes of the root disk. */
  readonly sizeBytes: number;
}

export interface Catalogue {
  /** Newest first. */
  list(): Promise<Image[]>;
  /** By name (the newest one), digest, or the first 8 or more digits of a digest. */
  find(nameOrDigest: string): Promise<Image | undefined>;
  /** @throws SkerryError `not-found` */
  get(nameOrDigest: string): Promise<Image>;
  findByRecipe(recipeHash: string): Promise<Image | undefined>;
  /** Who calls has made sure that no VM uses it. @throws SkerryError `not-found` */
  delete(nameOrDigest: string): Promise<void>;
}

export function openCatalogue(imagesDir: string): Catalogue {
  async function list(): Promise<Image[]> {
    const names = await readdir(imagesDir).catch(() => []);
    const images = await Promise.all(
      names.filter((name) => DIGEST.test(name)).map((name) => readImage(imagesDir, name).catch(unlessNewer)),
    );
    return images
      .filter((image) => image !== undefined)
      .toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
  }

  async function find(nameOrDigest: string): Promise<Image | undefined> {
    const images = await list();
    const named = images.find((image) => image.name === nameOrDigest);
    if (named !== undefined || nameOrDigest.length < MIN_DIGEST_PREFIX) return named;
    const digests = images.filter((image) => image.digest.startsWith(nameOrDigest));
    return digests.length === 1 ? digests[0] : undefined;
  }

  async function get(nameOrDigest: string): Promise<Image> {
    const image = await find(nameOrDigest);
    if (image !== undefined) return image;
    const names = [...new Set((await list()).map((known) => known.name))];
    throw new SkerryError('not-found', `There is no image '${nameOrDigest}'`, {
      remedy:
        nameOrDigest === 'micro'
          ? 'Build it: `skerry image build micro`.'
          : `Build it with \`skerry image build RECIPE.yaml\`; there ${names.length === 0 ? 'are none yet' : `is: ${names.join(', ')}`}.`,
      details: { images: names },
    });
  }

  return {
    list,
    find,
    get,
    findByRecipe: async (recipeHash) => (await list()).find((image) => image.recipeHash === recipeHash),
    async delete(nameOrDigest) {
      const image = await get(nameOrDigest);
      // Out of the list in one step; what a crash leaves of the rest goes with the next one.
      await rename(image.dir, join(imagesDir, `${TRASH_PREFIX}${image.digest}`));
      const trash = (await readdir(imagesDir)).filter((entry) => entry.startsWith(TRASH_PREFIX));
      await Promise.all(trash.map((entry) => rm(join(imagesDir, entry), { recursive: true, force: true })));
    },
  };
}

/**
 * One image by its whole digest; undefined when there is none, or only part of one.
 * @throws SkerryError `unsupported` when a newer Skerry wrote it
 */
export async function readImage(imagesDir: string, digest: string): Promise<Image | undefined> {
  const dir = join(imagesDir, digest);
  const json = await readJson(join(dir, 'image.json'));
  const version = (json as { version?: unknown } | undefined)?.version;
  if (typeof version === 'number' && version > IMAGE_VERSION) {
    throw new SkerryError(
      'unsupported',
      `The image ${digest.slice(0, 12)} was made by a newer Skerry (format ${version})`,
      {
        remedy: `Update Skerry, or remove ${dir}.`,
      },
    );
  }
  const manifest = ImageManifest.safeParse(json);
  if (!manifest.success) return undefined;
  const rootDiskPath = join(dir, manifest.data.rootDisk.file);
  const disk = await stat(rootDiskPath).catch(() => undefined);
  if (disk === undefined) return undefined;
  return { ...manifest.data, dir, rootDiskPath, sizeBytes: disk.blocks * 512 };
}

/** One image of a newer format does not hide the others. */
function unlessNewer(error: unknown): undefined {
  if (!(error instanceof SkerryError) || error.code !== 'unsupported') throw error;
}

import { mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BundleResult } from '@skerry/api';
import { writeArchive, type ArchiveWork } from '../archives/index.ts';
import { BUNDLE } from './bundle-kind.ts';
import type { Image } from './catalogue.ts';
import { buildInitrd } from './initrd.ts';
import type { Kernel } from './kernel-plan.ts';
import { microRecipeHash } from './kernel-micro.ts';
import type { ImagePaths } from './types.ts';

export interface BundleWish {
  readonly to: string;
  readonly force: boolean;
  /** Of this Skerry. */
  readonly version: string;
  readonly images: readonly Image[];
  readonly kernels: readonly Kernel[];
}

/** Writes what VMs of these images need beside QEMU and Skerry itself. @throws SkerryError what `writeArchive` throws */
export async function createBundle(paths: ImagePaths, wish: BundleWish, work: ArchiveWork = {}): Promise<BundleResult> {
  const images = [...new Map(wish.images.map((image) => [image.digest, image])).values()];
  const files = images.flatMap(({ dir, digest, rootDisk, rootDiskPath }) => [
    { name: `images/${digest}/image.json`, path: join(dir, 'image.json') },
    { name: `images/${digest}/${rootDisk.file}`, path: rootDiskPath },
  ]);
  const initrds = new Map<string, string>();
  for (const kernel of wish.kernels) {
    files.push(...(await kernelFiles(kernel)));
    const { hash, path } = await buildInitrd(paths, kernel, work);
    initrds.set(hash, path);
  }
  files.push(...[...initrds].map(([hash, path]) => ({ name: `initrd/${hash}.cpio`, path })));
  const recipeHash = await microRecipeHash(paths.guestDir);
  const about = {
    images: images.map(({ name, digest }) => ({ name, digest })),
    kernels: wish.kernels.map(({ kind, hash, release }) => ({
      kind,
      hash,
      release,
      ...(kind === 'micro' ? { recipeHash } : {}),
    })),
    initrds: [...initrds.keys()],
  };
  await mkdir(paths.cacheDir, { recursive: true });
  const { sizeBytes } = await writeArchive(
    BUNDLE,
    { to: wish.to, force: wish.force, skerry: wish.version, about, files, workDir: paths.cacheDir },
    work,
  );
  return { path: wish.to, sizeBytes, images: about.images, kernels: about.kernels.map(({ release }) => release) };
}

/** A kernel's directory has files, and at most one level of directories with files (its modules). */
async function kernelFiles({ path, kind }: Kernel): Promise<Array<{ name: string; path: string }>> {
  const dir = dirname(path);
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((file) => ({ name: `kernels/${kind}${file.slice(dir.length)}`, path: file }));
}

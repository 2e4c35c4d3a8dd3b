import { chmod, mkdir, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type BundleLoadResult } from '@skerry/api';
import { openArchive, type Archive, type ArchiveWork } from '../archives/index.ts';
import { BUNDLE, type BundleAbout } from './bundle-kind.ts';
import { ImageManifest, readImage } from './catalogue.ts';
import { KernelFile, kernelsDir, readKernel, setKernel } from './kernel.ts';
import { microRecipeHash } from './kernel-micro.ts';
import { withLock } from './lock.ts';
import { explainFailure, openWorkDir, publishDir, readJson } from './publish.ts';
import type { ImagePaths } from './types.ts';

/** Takes what is in a bundle into the catalogue and the cache, where what has been built lies as well. */

interface Place {
  /** What its files in the archive begin with. */
  readonly prefix: string;
  /** Where they go. */
  readonly target: string;
}

/**
 * What is there already is left as it is. Everything is unpacked and compared with its digests before anything gets its place.
 * @throws SkerryError `invalid` (hostile, or no bundle), `failed` (damaged), `unsupported` (of another Skerry), `no-space`
 */
export async function loadBundle(paths: ImagePaths, from: string, work: ArchiveWork = {}): Promise<BundleLoadResult> {
  const archive = await openArchive(from, BUNDLE);
  const { about } = archive.manifest;
  const recipeHash = await microRecipeHash(paths.guestDir);
  if (about.kernels.some((kernel) => kernel.kind === 'micro' && kernel.recipeHash !== recipeHash)) {
    throw new SkerryError('unsupported', `The kernel in ${from} is not the one of this Skerry`, {
      remedy: 'Make the bundle with the same version of Skerry as this host has: `skerry version`.',
      details: { skerry: archive.manifest.skerry },
    });
  }
  // On the disks where they belong, for a rename to put them in their places.
  const works = { images: join(paths.imagesDir, '.work-bundle'), cache: join(paths.cacheDir, '.work-bundle') };
  return withLock(join(paths.cacheDir, 'locks', 'bundle.lock'), { signal: work.signal }, async () => {
    await using _images = await openWorkDir(works.images);
    await using _cache = await openWorkDir(works.cache);
    try {
      const images = await missing(imagePlaces(paths, about), async (_, index) => {
        const digest = about.images[index]?.digest ?? '';
        return (await readImage(paths.imagesDir, digest)) === undefined;
      });
      const kernels = await missing(kernelPlaces(paths, about), async (_, index) => {
        return (await readKernel(paths, about.kernels[index]?.hash ?? '')) === undefined;
      });
      const initrds = await missing(initrdPlaces(paths, about), async ({ target }) => !(await isThere(target)));
      await archive.extract(works.images, isIn(images), work);
      await archive.extract(works.cache, isIn([...kernels, ...initrds]), work);
      await assertImages(works.images, about);
      await assertKernels(works.cache, kernels, about);

      for (const dir of [paths.imagesDir, kernelsDir(paths), join(paths.cacheDir, 'initrd')]) {
        await mkdir(dir, { recursive: true });
      }
      for (const { prefix, target } of images) await publish(join(works.images, prefix), target);
      for (const { prefix, target } of kernels) await publish(join(works.cache, prefix), target);
      for (const { prefix, target } of initrds) {
        await chmod(join(works.cache, prefix), 0o644);
        await rename(join(works.cache, prefix), target);
      }
      for (const { kind, hash } of about.kernels) await setKernel(paths, kind, hash);
      return resultOf(archive, images.length + kernels.length + initrds.length);
    } catch (error) {
      throw explainFailure(error, paths.imagesDir);
    }
  });
}

function imagePlaces({ imagesDir }: ImagePaths, { images }: BundleAbout): Place[] {
  return images.map(({ digest }) => ({ prefix: `images/${digest}`, target: join(imagesDir, digest) }));
}

function kernelPlaces(paths: ImagePaths, { kernels }: BundleAbout): Place[] {
  return kernels.map(({ kind, hash }) => ({ prefix: `kernels/${kind}`, target: join(kernelsDir(paths), hash) }));
}

function initrdPlaces({ cacheDir }: ImagePaths, { initrds }: BundleAbout): Place[] {
  return initrds.map((hash) => ({ prefix: `initrd/${hash}.cpio`, target: join(cacheDir, 'initrd', `${hash}.cpio`) }));
}

async function missing(
  places: readonly Place[],
  isMissing: (place: Place, index: number) => Promise<boolean>,
): Promise<Place[]> {
  const answers = await Promise.all(places.map(isMissing));
  return places.filter((_, index) => answers[index] === true);
}

function isIn(places: readonly Place[]): (name: string) => boolean {
  return (name) => places.some(({ prefix }) => name === prefix || name.startsWith(`${prefix}/`));
}

/** The manifests inside say the same as the one outside, and their disks are what they say. */
async function assertImages(workDir: string, { images }: BundleAbout): Promise<void> {
  const unpacked = await readdir(join(workDir, 'images')).catch(() => []);
  for (const digest of unpacked) {
    const dir = join(workDir, 'images', digest);
    const manifest = ImageManifest.safeParse(await readJson(join(dir, 'image.json')));
    const named = images.find((image) => image.digest === digest);
    const isRight =
      manifest.success &&
      manifest.data.digest === digest &&
      manifest.data.name === named?.name &&
      (await isThere(join(dir, manifest.data.rootDisk.file)));
    if (!isRight) throw unfit(`the image ${digest.slice(0, 12)} is not what it says`);
  }
}

async function assertKernels(workDir: string, places: readonly Place[], { kernels }: BundleAbout): Promise<void> {
  for (const { prefix } of places) {
    const file = KernelFile.safeParse(await readJson(join(workDir, prefix, 'kernel.json')));
    const named = kernels.find(({ kind }) => prefix === `kernels/${kind}`);
    // Its names lead to files: only such as are in the bundle beside it.
    const isRight =
      file.success &&
      file.data.kind === named?.kind &&
      file.data.hash === named.hash &&
      !/[/]|^\./.test(file.data.file) &&
      !/[/]|^\./.test(file.data.modulesDir ?? 'modules') &&
      (await isThere(join(workDir, prefix, file.data.file)));
    if (!isRight) throw unfit(`its ${named?.kind ?? ''} kernel is not what it says`);
  }
}

/** Readable for the users that VMs run as, as what was built here. */
async function publish(from: string, to: string): Promise<void> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  for (const entry of entries) await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  await chmod(from, 0o755);
  await publishDir(from, to);
}

function resultOf({ manifest: { about } }: Archive<BundleAbout>, loaded: number): BundleLoadResult {
  return { images: about.images, kernels: about.kernels.map(({ release }) => release), loaded };
}

function unfit(problem: string): SkerryError {
  return new SkerryError('invalid', `This is no bundle of Skerry: ${problem}`, {
    remedy: 'Give a bundle as `skerry bundle create` has written it.',
  });
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

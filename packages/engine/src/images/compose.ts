import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type ImageRecipe } from '@skerry/api';
import { run } from '../hosts/index.ts';
import { openApt } from './apt.ts';
import type { ResolvedPackage } from './apt-plan.ts';
import { runInGuest, type BootBuilder } from './builder.ts';
import { openCatalogue, readImage, type Image, type ImageManifest } from './catalogue.ts';
import { digestOf, uuidOf } from './digest.ts';
import { withLock } from './lock.ts';
import { explainFailure, openWorkDir, publishDir, writeJson } from './publish.ts';
import { lonePackages } from './ssh-plan.ts';
import { requireBuildTools } from './tools.ts';
import { baseFiles, createTree } from './tree.ts';
import { signalOf, type BuildOptions, type ImagePaths } from './types.ts';

export interface ImageBuildOptions extends BuildOptions {
  /** Default qcow2. */
  readonly format?: 'qcow2' | 'raw' | undefined;
  /** Ask apt for newer package versions even if an image of this recipe is there. */
  readonly refresh?: boolean | undefined;
  /** Needed for recipes with `run`. */
  readonly bootBuilder?: BootBuilder | undefined;
}

const BUSYBOX = 'busybox-static';
/** One more whenever the same inputs come to give another tree, so that images which are there are made anew. */
const LAYOUT = 2;

/** Of the inputs that need no package manager to be known. */
export async function hashRecipe(
  paths: ImagePaths,
  recipe: ImageRecipe,
  from: 'micro' | null,
  options: Pick<ImageBuildOptions, 'format'>,
): Promise<string> {
  return digestOf({
    layout: LAYOUT,
    recipe,
    from,
    format: options.format ?? 'qcow2',
    base: await baseFiles(paths.guestDir),
  });
}

/**
 * The image of a recipe: the one that is there, without asking apt, or a new one. A second caller of the same build, in
 * this process or another, waits for the first.
 * @throws SkerryError `invalid` (size), `not-found` (package), `unavailable`, `unsupported`, `failed` (a command), `no-space`, `cancelled`
 */
export async function composeImage(
  paths: ImagePaths,
  recipe: ImageRecipe,
  from: 'micro' | null,
  options: ImageBuildOptions,
): Promise<Image> {
  const recipeHash = await hashRecipe(paths, recipe, from, options);
  const catalogue = openCatalogue(paths.imagesDir);
  const ready = options.refresh === true ? undefined : await catalogue.findByRecipe(recipeHash);
  if (ready !== undefined) return ready;
  await requireBuildTools('image');
  if (recipe.run.length > 0 && options.bootBuilder === undefined) throw noBuilder();
  const onWait = (): void => options.onProgress?.(`Waiting: another build of ${recipe.name} runs`);
  const lock = join(paths.cacheDir, 'locks', `image-${recipeHash.slice(0, 16)}.lock`);
  return withLock(lock, { signal: options.signal, onWait }, async () => {
    const made = options.refresh === true ? undefined : await catalogue.findByRecipe(recipeHash);
    if (made !== undefined) return made;
    try {
      return await make(paths, recipe, from, recipeHash, options);
    } catch (error) {
      throw explainFailure(error, paths.imagesDir);
    }
  });
}

/** Runs under the recipe's lock. */
async function make(
  paths: ImagePaths,
  recipe: ImageRecipe,
  from: 'micro' | null,
  recipeHash: string,
  options: ImageBuildOptions,
): Promise<Image> {
  const apt = openApt(paths.cacheDir);
  options.onProgress?.('Looking up packages', 0);
  const resolved = await apt.resolve([BUSYBOX, ...recipe.packages], options);
  const lone = lonePackages(recipe, resolved).map((name) => apt.candidate(name, options));
  const packages = [...resolved, ...(await Promise.all(lone))];
  const versions = Object.fromEntries(packages.map((deb) => [deb.name, deb.version]));
  const digest = digestOf({ recipeHash, versions });
  const ready = await readImage(paths.imagesDir, digest);
  if (ready !== undefined) return ready;

  await using work = await openWorkDir(join(paths.imagesDir, `.work-${recipeHash.slice(0, 16)}`));
  const format = options.format ?? 'qcow2';
  const rootDisk = await makeDisk(paths, recipe, packages, digest, { dir: work.path, format }, options);
  const manifest: ImageManifest = {
    version: 1,
    name: recipe.name,
    digest,
    recipeHash,
    from,
    createdAt: new Date().toISOString(),
    requires: { agent: true, kernel: 'virtio-blk+ext4' },
    minMemoryMib: recipe.minMemoryMib,
    rootDisk,
    packages: versions,
    env: recipe.env,
    ...(recipe.command === undefined ? {} : { command: recipe.command }),
  };
  const result = join(work.path, 'result');
  await writeJson(join(result, 'image.json'), manifest);
  await publishDir(result, join(paths.imagesDir, digest));
  const image = await readImage(paths.imagesDir, digest);
  if (image === undefined) throw new SkerryError('internal', `The image ${digest} can't be read back`);
  return image;
}

/** Leaves `result/root.<format>` in the work directory. */
async function makeDisk(
  paths: ImagePaths,
  recipe: ImageRecipe,
  packages: readonly ResolvedPackage[],
  digest: string,
  work: { dir: string; format: 'qcow2' | 'raw' },
  options: ImageBuildOptions,
): Promise<ImageManifest['rootDisk']> {
  const debs = await openApt(paths.cacheDir).download(packages, options);
  const tree = await createTree(join(work.dir, 'tree'), paths.guestDir, options);
  await tree.unpack(debs, options);
  for (const file of recipe.files) await tree.put(file.path, Buffer.from(file.contentBase64, 'base64'), file.mode);
  await tree.finish(options);

  options.onProgress?.('Making the root disk');
  const raw = join(work.dir, 'root.raw');
  await tree.makeExt4(raw, recipe.sizeMib, uuidOf(digest), options);
  if (recipe.run.length > 0) {
    await runInGuest(paths, { path: raw, format: 'raw' }, recipe, options.bootBuilder ?? noGuest, options);
  }
  const file = `root.${work.format}` as const;
  const final = join(work.dir, 'result', file);
  await run(['mkdir', join(work.dir, 'result')]);
  // Raw to raw as well: it leaves holes where mke2fs wrote zeros (tables, journal), 12 MB of them.
  await run(['qemu-img', 'convert', '-f', 'raw', '-O', work.format, raw, final], signalOf(options));
  await rm(raw);
  const { stdout } = await run(['sha256sum', '--', final], signalOf(options));
  const virtualSizeBytes = work.format === 'raw' ? (await stat(final)).size : recipe.sizeMib * 2 ** 20;
  return { file, format: work.format, virtualSizeBytes, sha256: stdout.slice(0, 64) };
}

function noGuest(): never {
  throw noBuilder();
}

function noBuilder(): SkerryError {
  return new SkerryError('unsupported', 'A recipe with `run` needs QEMU: its commands run in a VM', {
    remedy: 'apt-get install --no-install-recommends qemu-system-x86',
  });
}

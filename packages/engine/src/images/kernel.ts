import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { openApt } from './apt.ts';
import { distroHash, distroSourceName, findDistroSource, unpackDistroKernel } from './kernel-distro.ts';
import { buildMicroKernel, microHash, microRecipeHash } from './kernel-micro.ts';
import { MIN_MEMORY_MIB_OF, type Kernel, type KernelKind } from './kernel-plan.ts';
import { withLock } from './lock.ts';
import { explainFailure, openWorkDir, publishDir, readJson, writeJson } from './publish.ts';
import { requireBuildTools } from './tools.ts';
import type { BuildOptions, ImagePaths } from './types.ts';

/**
 * Kernels in the cache: `kernels/<hash of the inputs>/{kernel.json, the kernel, modules/}`, and `kernels/<kind>.json`
 * that points to the current one, so that looking it up costs no call of apt.
 */

export const KernelFile = z.object({
  version: z.literal(1),
  kind: z.enum(['micro', 'distro']),
  hash: z.string(),
  release: z.string(),
  file: z.string(),
  machine: z.enum(['microvm', 'q35']),
  patched: z.boolean(),
  minMemoryMib: z.int(),
  sourcePackage: z.string(),
  builtAt: z.string(),
  buildSeconds: z.number(),
  modulesDir: z.string().optional(),
});
export type KernelFile = z.infer<typeof KernelFile>;

const Pointer = z.object({ version: z.literal(1), hash: z.string(), recipeHash: z.string().optional() });

/** The kernel that is ready to boot, or undefined: three small files are read. */
export async function findKernel(paths: ImagePaths, kind: KernelKind): Promise<Kernel | undefined> {
  const pointer = Pointer.safeParse(await readJson(pointerPath(paths, kind)));
  if (!pointer.success) return undefined;
  if (kind === 'micro' && pointer.data.recipeHash !== (await microRecipeHash(paths.guestDir))) return undefined;
  return readKernel(paths, pointer.data.hash);
}

/**
 * Builds (micro) or unpacks (distro) a kernel unless the cache has it; a second caller, in this process or another, waits
 * for the first and takes its result.
 * @throws SkerryError `unsupported` (tools, source), `unavailable` (network), `no-space`, `cancelled`, `failed`
 */
export async function buildKernel(paths: ImagePaths, kind: KernelKind, options: BuildOptions = {}): Promise<Kernel> {
  if (kind === 'micro') await requireBuildTools('kernel');
  const lockOptions = {
    signal: options.signal,
    onWait: () => options.onProgress?.(`Waiting: another ${kind} kernel build runs`),
  };
  return withLock(join(kernelsDir(paths), `${kind}.lock`), lockOptions, async () => {
    try {
      return kind === 'micro' ? await makeMicro(paths, options) : await makeDistro(paths, options);
    } catch (error) {
      throw explainFailure(error, paths.cacheDir);
    }
  });
}

async function makeMicro(paths: ImagePaths, options: BuildOptions): Promise<Kernel> {
  const recipeHash = await microRecipeHash(paths.guestDir);
  const source = await openApt(paths.cacheDir).linuxSource(options);
  const hash = await microHash(recipeHash, source);
  const kernel = await make(paths, 'micro', hash, async (workDir, scratchDir) => ({
    ...(await buildMicroKernel(paths, source, workDir, scratchDir, options)),
    machine: 'microvm',
    sourcePackage: `${source.name}=${source.version}`,
  }));
  await setKernel(paths, 'micro', hash);
  return kernel;
}

async function makeDistro(paths: ImagePaths, options: BuildOptions): Promise<Kernel> {
  const source = await findDistroSource(paths.cacheDir, options);
  const hash = distroHash(source);
  const kernel = await make(paths, 'distro', hash, async (workDir, scratchDir) => ({
    ...(await unpackDistroKernel(paths.cacheDir, source, workDir, scratchDir, options)),
    machine: 'q35',
    patched: false,
    sourcePackage: distroSourceName(source),
  }));
  await setKernel(paths, 'distro', hash);
  return kernel;
}

type Made = Pick<KernelFile, 'release' | 'file' | 'machine' | 'patched' | 'sourcePackage' | 'modulesDir'>;

/** Runs under the kind's lock. */
async function make(
  paths: ImagePaths,
  kind: KernelKind,
  hash: string,
  build: (workDir: string, scratchDir: string) => Promise<Made>,
): Promise<Kernel> {
  const ready = await readKernel(paths, hash);
  if (ready !== undefined) return ready;
  await using work = await openWorkDir(join(kernelsDir(paths), `.work-${kind}`));
  const result = join(work.path, 'result');
  const scratch = join(work.path, 'scratch');
  await mkdir(result);
  await mkdir(scratch);
  const startedMs = Date.now();
  const made = await build(result, scratch);
  const file: KernelFile = {
    version: 1,
    kind,
    hash,
    ...made,
    minMemoryMib: MIN_MEMORY_MIB_OF[kind],
    builtAt: new Date().toISOString(),
    buildSeconds: Math.round((Date.now() - startedMs) / 1000),
  };
  await writeJson(join(result, 'kernel.json'), file);
  const final = join(kernelsDir(paths), hash);
  // One without a valid kernel.json is in the way.
  await rm(final, { recursive: true, force: true });
  await publishDir(result, final);
  return toKernel(paths, file);
}

/** Has a kernel that is in the cache be the one of its kind. */
export async function setKernel(paths: ImagePaths, kind: KernelKind, hash: string): Promise<void> {
  const recipe = kind === 'micro' ? { recipeHash: await microRecipeHash(paths.guestDir) } : {};
  await writeJson(pointerPath(paths, kind), { version: 1, hash, ...recipe });
}

export async function readKernel(paths: ImagePaths, hash: string): Promise<Kernel | undefined> {
  const file = KernelFile.safeParse(await readJson(join(kernelsDir(paths), hash, 'kernel.json')));
  return file.success ? toKernel(paths, file.data) : undefined;
}

function toKernel(paths: ImagePaths, { file, modulesDir, ...rest }: KernelFile): Kernel {
  const dir = join(kernelsDir(paths), rest.hash);
  return {
    ...rest,
    path: join(dir, file),
    ...(modulesDir === undefined ? {} : { modulesDir: join(dir, modulesDir) }),
  };
}

export function kernelsDir(paths: ImagePaths): string {
  return join(paths.cacheDir, 'kernels');
}

function pointerPath(paths: ImagePaths, kind: KernelKind): string {
  return join(kernelsDir(paths), `${kind}.json`);
}

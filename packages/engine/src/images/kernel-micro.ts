import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run, type Argv } from '../hosts/index.ts';
import { openApt } from './apt.ts';
import type { ResolvedPackage } from './apt-plan.ts';
import { digestOf } from './digest.ts';
import { compileProgress, droppedOptions, effectiveConfig, ESSENTIAL_OPTIONS, UNUSED_SOURCE } from './kernel-plan.ts';
import { signalOf, type BuildOptions, type ImagePaths } from './types.ts';

/** The micro kernel: from the distribution's kernel source, with a configuration of our own. */

const CONFIG_FILE = 'micro.config';
const PATCH_FILE = 'micro-kernel.patch';
/** Shares of the build: fetching and unpacking take a minute, compiling ten, linking (with objtool) another. */
const FRACTION = { fetched: 0.03, unpacked: 0.06, compiled: 0.93 };

/** Of what the repository says about the kernel: if it changed, a kernel in the cache is not the one that is meant. */
export async function microRecipeHash(guestDir: string): Promise<string> {
  const [config, patch] = await Promise.all([
    readFile(join(guestDir, CONFIG_FILE), 'utf8'),
    readFile(join(guestDir, PATCH_FILE), 'utf8').catch(() => ''),
  ]);
  return digestOf({ config: effectiveConfig(config), patch });
}

export async function microHash(recipeHash: string, source: ResolvedPackage): Promise<string> {
  const compiler = (await run(['gcc', '--version'])).stdout.split('\n')[0];
  return digestOf({ kind: 'micro', recipeHash, source: `${source.name}=${source.version}`, compiler });
}

export interface MicroKernelFiles {
  readonly release: string;
  readonly file: string;
  readonly patched: boolean;
}

/** Builds in `scratchDir` (1 GB) and puts the stripped kernel into `workDir`. */
export async function buildMicroKernel(
  paths: ImagePaths,
  source: ResolvedPackage,
  workDir: string,
  scratchDir: string,
  options: BuildOptions,
): Promise<MicroKernelFiles> {
  const tree = await unpackSource(paths, source, scratchDir, options);
  const patched = await applyPatch(tree, join(paths.guestDir, PATCH_FILE), options);
  const output = join(scratchDir, 'build');
  await mkdir(output);
  const make = (target: string): Argv => politely(['make', '-C', tree, `O=${output}`, target]);
  const env = {
    // The same inputs give the same bytes, and no host or user name gets into a guest.
    KBUILD_BUILD_USER: 'skerry',
    KBUILD_BUILD_HOST: 'skerry',
    KBUILD_BUILD_TIMESTAMP: '@0',
    KCONFIG_ALLCONFIG: join(paths.guestDir, CONFIG_FILE),
  };
  const common = { env, ...signalOf(options) };
  await run(make('allnoconfig'), common);
  await checkConfig(join(paths.guestDir, CONFIG_FILE), join(output, '.config'));

  const fractionOf = compileProgress();
  const compile = politely(['make', '-C', tree, `O=${output}`, `-j${availableParallelism()}`, 'vmlinux']);
  await run(compile, {
    ...common,
    onLine: (line) => {
      const share = fractionOf(line);
      if (share === undefined) {
        if (/^ {2}LD +vmlinux\.o/.test(line)) options.onProgress?.('Linking the micro kernel', FRACTION.compiled);
        return;
      }
      const fraction = FRACTION.unpacked + share * (FRACTION.compiled - FRACTION.unpacked);
      options.onProgress?.('Compiling the micro kernel', fraction);
    },
  });
  const { stdout } = await run(['make', '-s', '-C', tree, `O=${output}`, 'kernelrelease'], common);
  await run(['strip', '-o', join(workDir, 'vmlinux'), join(output, 'vmlinux')], common);
  await openApt(paths.cacheDir).forget([source]);
  return { release: stdout.trim(), file: 'vmlinux', patched };
}

/**
 * Lowest priority; and should this process be killed, make (which ends its compilers on SIGTERM) ends too instead of
 * building on for nobody.
 */
function politely(command: Argv): Argv {
  return ['setpriv', '--pdeathsig', 'TERM', 'nice', '-n', '19', ...command];
}

async function unpackSource(
  paths: ImagePaths,
  source: ResolvedPackage,
  scratchDir: string,
  options: BuildOptions,
): Promise<string> {
  options.onProgress?.(`Fetching ${source.name} ${source.version}`, 0);
  const [deb = ''] = await openApt(paths.cacheDir).download([source], {
    ...options,
    onProgress: () => options.onProgress?.(`Fetching ${source.name} ${source.version}`, 0.01),
  });
  options.onProgress?.(`Unpacking ${source.name}`, FRACTION.fetched);
  const debTree = join(scratchDir, 'deb');
  await run(['dpkg-deb', '--extract', deb, debTree], signalOf(options));
  const archives = await readdir(join(debTree, 'usr/src'));
  const archive = archives.find((name) => /^linux-source-.*\.tar\.\w+$/.test(name));
  if (archive === undefined) {
    throw new SkerryError('failed', `${source.name} holds no source archive`, {
      remedy: 'Use the distribution’s kernel: `skerry image build micro --kernel distro`.',
    });
  }
  const tree = join(scratchDir, 'source');
  await mkdir(tree);
  const excludes = UNUSED_SOURCE.map((pattern) => `--exclude=${pattern}`);
  await run(
    ['tar', '-x', '-f', join(debTree, 'usr/src', archive), '-C', tree, '--strip-components=1', ...excludes],
    signalOf(options),
  );
  await rm(debTree, { recursive: true });
  return tree;
}

/** All hunks or none: half a patch is nobody's kernel. */
async function applyPatch(tree: string, patch: string, options: BuildOptions): Promise<boolean> {
  const apply: Argv = [
    'patch',
    '--strip=1',
    '--batch',
    '--forward',
    '--fuzz=2',
    `--directory=${tree}`,
    `--input=${patch}`,
  ];
  const trial = await run([...apply, '--dry-run'], { ...signalOf(options), okExitCodes: 'any' });
  if (trial.exitCode !== 0) {
    options.onProgress?.(
      'The patch does not fit this kernel source: building without it (starts are slower without KVM)',
    );
    return false;
  }
  await run(apply, signalOf(options));
  return true;
}

async function checkConfig(seedPath: string, dotConfigPath: string): Promise<void> {
  const dropped = droppedOptions(await readFile(seedPath, 'utf8'), await readFile(dotConfigPath, 'utf8'));
  const fatal = dropped.filter((option) => ESSENTIAL_OPTIONS.includes(option));
  if (fatal.length > 0) {
    throw new SkerryError('unsupported', `This kernel source does not give what a VM needs: ${fatal.join(', ')}`, {
      remedy: 'Use the distribution’s kernel: `skerry image build micro --kernel distro`.',
      details: { dropped },
    });
  }
}

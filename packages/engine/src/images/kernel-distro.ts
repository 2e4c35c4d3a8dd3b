import { access, constants, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { release as hostRelease } from 'node:os';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run } from '../hosts/index.ts';
import { openApt } from './apt.ts';
import type { ResolvedPackage } from './apt-plan.ts';
import { digestOf } from './digest.ts';
import { GUEST_MODULES, loadOrder, moduleName, parseModinfo, type ModuleInfo } from './modules.ts';
import { signalOf, type BuildOptions } from './types.ts';

/** The distribution's cloud kernel: downloaded and unpacked into the cache, nothing is installed on the host. */

export type DistroSource =
  | { readonly kind: 'package'; readonly deb: ResolvedPackage }
  | { readonly kind: 'host'; readonly release: string };

export interface DistroKernelFiles {
  readonly release: string;
  /** File names inside the directory it was made in. */
  readonly file: string;
  readonly modulesDir: string;
}

/** The package, or the host's own kernel when packages can't be had. */
export async function findDistroSource(cacheDir: string, options: BuildOptions): Promise<DistroSource> {
  try {
    return { kind: 'package', deb: await openApt(cacheDir).cloudKernel(options) };
  } catch (error) {
    const code = error instanceof SkerryError ? error.code : undefined;
    if (code !== 'unavailable' && code !== 'not-found' && code !== 'unsupported') throw error;
    const release = hostRelease();
    const readable = await access(`/boot/vmlinuz-${release}`, constants.R_OK).then(
      () => true,
      () => false,
    );
    if (!readable) throw error;
    options.onProgress?.(`Taking this host's own kernel ${release}: the distribution's package can not be had`);
    return { kind: 'host', release };
  }
}

export function distroHash(source: DistroSource): string {
  return digestOf({
    kind: 'distro',
    from: source.kind === 'package' ? { ...source.deb } : source.release,
    modules: GUEST_MODULES,
  });
}

export function distroSourceName(source: DistroSource): string {
  return source.kind === 'package' ? `${source.deb.name}=${source.deb.version}` : `host=${source.release}`;
}

/** Puts the kernel and the modules a guest needs into `workDir`. */
export async function unpackDistroKernel(
  cacheDir: string,
  source: DistroSource,
  workDir: string,
  scratchDir: string,
  options: BuildOptions,
): Promise<DistroKernelFiles> {
  let root = '/';
  if (source.kind === 'package') {
    options.onProgress?.(`Fetching ${source.deb.name}`);
    const [deb] = await openApt(cacheDir).download([source.deb], options);
    options.onProgress?.(`Unpacking ${source.deb.name}`);
    await run(['dpkg-deb', '--extract', deb ?? '', scratchDir], signalOf(options));
    root = scratchDir;
  }
  const release = source.kind === 'host' ? source.release : await packagedRelease(root);
  await copyFile(join(root, 'boot', `vmlinuz-${release}`), join(workDir, 'vmlinuz'));
  await harvestModules(await modulesRoot(root, release), join(workDir, 'modules'), options);
  return { release, file: 'vmlinuz', modulesDir: 'modules' };
}

async function packagedRelease(root: string): Promise<string> {
  const image = (await readdir(join(root, 'boot'))).find((name) => name.startsWith('vmlinuz-'));
  if (image === undefined) {
    throw new SkerryError('failed', 'The kernel package holds no kernel', {
      remedy: 'Build ours: `skerry image build micro`.',
    });
  }
  return image.slice('vmlinuz-'.length);
}

/** Newer releases of Debian have them under /usr/lib. */
async function modulesRoot(root: string, release: string): Promise<string> {
  const merged = join(root, 'usr/lib/modules', release);
  return access(merged).then(
    () => merged,
    () => join(root, 'lib/modules', release),
  );
}

/** Copies what GUEST_MODULES and their needs name, uncompressed, and writes `load-order`. */
async function harvestModules(from: string, to: string, options: BuildOptions): Promise<void> {
  await mkdir(to, { recursive: true });
  const files = new Map<string, string>();
  for (const path of await readdir(from, { recursive: true })) {
    const fileName = path.slice(path.lastIndexOf('/') + 1);
    if (/\.ko(?:\.\w+)?$/.test(fileName)) files.set(moduleName(fileName), join(from, path));
  }
  const infoOf = async (name: string): Promise<ModuleInfo | undefined> => {
    const source = files.get(name);
    if (source === undefined) return undefined;
    const target = join(to, `${name}.ko`);
    await copyFile(source, `${target}${/\.(?:xz|zst|gz)$/.exec(source)?.[0] ?? ''}`);
    await decompress(target, source, options);
    return parseModinfo(name, await readFile(target));
  };
  const order = await loadOrder(GUEST_MODULES, infoOf);
  await writeFile(join(to, 'load-order'), order.map((name) => `/lib/modules/${name}.ko\n`).join(''));
}

async function decompress(target: string, source: string, options: BuildOptions): Promise<void> {
  const tools: Record<string, string> = { '.xz': 'xz', '.zst': 'zstd', '.gz': 'gzip' };
  const extension = /\.(?:xz|zst|gz)$/.exec(source)?.[0];
  if (extension === undefined) return;
  await run([tools[extension] ?? 'xz', '--decompress', '--quiet', '--force', `${target}${extension}`], {
    ...signalOf(options),
  });
}

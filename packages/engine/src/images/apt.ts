import { access, mkdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError } from '@skerry/api';
import { run, type RunResult } from '../hosts/index.ts';
import {
  aptConf,
  debFileName,
  metaPackageTarget,
  newestLinuxSource,
  parseShow,
  parseSimulation,
  providedStatus,
  unknownPackages,
  type ResolvedPackage,
} from './apt-plan.ts';
import { withLock } from './lock.ts';
import { signalOf, type BuildOptions } from './types.ts';

/** Lists older than this are fetched anew before anything is resolved. */
const LISTS_MAX_AGE_MS = 24 * 3600 * 1000;
const DOWNLOAD_TIMEOUT_MS = 15 * 60 * 1000;

/** The distribution's packages by its own tools, with package lists and an (empty) package state of our own. */
export interface Apt {
  /** The closure of what is requested (NAME or NAME=VERSION), sorted by name. */
  resolve(requests: readonly string[], options?: BuildOptions): Promise<ResolvedPackage[]>;
  /** One package as apt would choose it, without what it depends on. */
  candidate(name: string, options?: BuildOptions): Promise<ResolvedPackage>;
  linuxSource(options?: BuildOptions): Promise<ResolvedPackage>;
  cloudKernel(options?: BuildOptions): Promise<ResolvedPackage>;
  /** Paths of the .deb files, in the order given; what is in the cache is not fetched again. */
  download(packages: readonly ResolvedPackage[], options?: BuildOptions): Promise<string[]>;
  /** Removes .deb files that are not needed again (a kernel's source has 150 MB). */
  forget(packages: readonly ResolvedPackage[]): Promise<void>;
}

/** @throws SkerryError `unavailable` when lists or packages can't be fetched, `not-found` for an unknown package */
export function openApt(cacheDir: string): Apt {
  const dir = join(cacheDir, 'apt');
  const conf = join(dir, 'apt.conf');
  const stamp = join(dir, 'updated');
  const debs = join(dir, 'debs');
  const lock = join(dir, 'lock');

  const cache = (args: readonly string[], options: BuildOptions): Promise<RunResult> =>
    run(['apt-cache', '-c', conf, ...args], { ...signalOf(options), okExitCodes: 'any', maxOutputBytes: 16 * 2 ** 20 });

  async function setUp(): Promise<void> {
    await mkdir(join(dir, 'state', 'lists', 'partial'), { recursive: true });
    await mkdir(join(debs, 'partial'), { recursive: true });
    await mkdir(join(dir, 'log'), { recursive: true });
    await writeFile(conf, aptConf(dir));
    await writeFile(join(dir, 'status'), '');
  }

  async function update(options: BuildOptions, force: boolean): Promise<void> {
    const updated = await stat(stamp).catch(() => undefined);
    if (!force && updated !== undefined && Date.now() - updated.mtimeMs < LISTS_MAX_AGE_MS) return;
    options.onProgress?.('Fetching the package lists');
    try {
      await run(['apt-get', '-c', conf, '-qq', '--error-on=any', 'update'], {
        ...signalOf(options),
        timeoutMs: DOWNLOAD_TIMEOUT_MS,
      });
    } catch (error) {
      // Old lists may still do: without a network, with everything in the cache, work goes on.
      if (updated === undefined || isCancelled(error)) throw unavailable('The package lists can not be fetched', error);
      options.onProgress?.('The package lists can not be fetched: going on with the old ones');
      return;
    }
    await writeFile(stamp, '');
    await utimes(stamp, new Date(), new Date());
  }

  /** Lists are fetched when old, and once more when what is asked for is not in them. */
  function withLists<T>(
    options: BuildOptions,
    ask: () => Promise<T | undefined>,
    missing: () => SkerryError,
  ): Promise<T> {
    return withLock(lock, options, async () => {
      await setUp();
      await update(options, false);
      const first = await ask();
      if (first !== undefined) return first;
      await update(options, true);
      const second = await ask();
      if (second === undefined) throw missing();
      return second;
    });
  }

  async function candidate(name: string, options: BuildOptions = {}): Promise<ResolvedPackage> {
    return withLists(
      options,
      async () => parseShow((await cache(['show', '--no-all-versions', name], options)).stdout),
      () => noSuchPackage([name]),
    );
  }

  return {
    candidate,

    async resolve(requests, options = {}) {
      if (requests.length === 0) return [];
      let lastError = '';
      return withLists(
        options,
        async () => {
          await writeFile(join(dir, 'status'), providedStatus(requests));
          const result = await run(
            ['apt-get', '-c', conf, '--simulate', '--no-install-recommends', 'install', '--', ...requests],
            { ...signalOf(options), okExitCodes: 'any', maxOutputBytes: 16 * 2 ** 20 },
          );
          lastError = result.stderr;
          return result.exitCode === 0 ? parseSimulation(result.stdout) : undefined;
        },
        () => noSuchPackage(unknownPackages(lastError), lastError),
      );
    },

    async linuxSource(options = {}) {
      const name = await withLists(
        options,
        async () =>
          newestLinuxSource((await cache(['search', '--names-only', '^linux-source-[0-9.]+$'], options)).stdout),
        () =>
          new SkerryError('unsupported', 'The distribution has no linux-source package of version 6.1 or newer', {
            remedy: 'Use the distribution’s kernel: `skerry image build micro --kernel distro`.',
          }),
      );
      return candidate(name, options);
    },

    async cloudKernel(options = {}) {
      const meta = 'linux-image-cloud-amd64';
      const name = await withLists(
        options,
        async () => metaPackageTarget((await cache(['show', '--no-all-versions', meta], options)).stdout),
        () => noSuchPackage([meta]),
      );
      return candidate(name, options);
    },

    async download(packages, options = {}) {
      const paths = packages.map((deb) => join(debs, debFileName(deb)));
      return withLock(lock, options, async () => {
        const present = await Promise.all(paths.map(exists));
        const missing = packages.filter((_, index) => present[index] !== true);
        if (missing.length === 0) return paths;
        await setUp();
        await fetchInto(missing, options);
        return paths;
      });
    },

    async forget(packages) {
      await Promise.all(packages.map((deb) => rm(join(debs, debFileName(deb)), { force: true })));
    },
  };

  /** `apt-get download` writes into its working directory; into `partial` first, so that no half file is ever taken. */
  async function fetchInto(missing: readonly ResolvedPackage[], options: BuildOptions): Promise<void> {
    const requests = missing.map((deb) => `${deb.name}:${deb.architecture}=${deb.version}`.replace(':all=', '='));
    let done = 0;
    const get = (): Promise<RunResult> =>
      run(['apt-get', '-c', conf, '-o', 'Dpkg::Use-Pty=0', 'download', '--', ...requests], {
        cwd: join(debs, 'partial'),
        ...signalOf(options),
        timeoutMs: DOWNLOAD_TIMEOUT_MS,
        onLine: (line) => {
          if (!line.startsWith('Get:')) return;
          done += 1;
          options.onProgress?.(`Fetching packages (${Math.min(done, missing.length)} of ${missing.length})`);
        },
      });
    try {
      await get();
    } catch (error) {
      if (isCancelled(error)) throw error;
      // A version that left the mirror: with fresh lists the caller's next resolve finds its successor.
      await update(options, true);
      done = 0;
      await get().catch((again: unknown) => {
        throw unavailable('Packages can not be fetched', again);
      });
    }
    for (const deb of missing) {
      const name = debFileName(deb);
      await run(['mv', '--', join(debs, 'partial', name), join(debs, name)]);
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function isCancelled(error: unknown): boolean {
  return (error instanceof SkerryError && error.code === 'cancelled') || (error as Error).name === 'AbortError';
}

function unavailable(what: string, error: unknown): unknown {
  if (isCancelled(error)) return error;
  return new SkerryError('unavailable', `${what}: ${(error as Error).message}`, {
    remedy:
      'Check the network and /etc/apt/sources.list, then try again; without a network: `skerry bundle load FILE`.',
    cause: error,
  });
}

function noSuchPackage(names: readonly string[], stderr?: string): SkerryError {
  const which = names.length === 0 ? 'These packages can not be had together' : `No such package: ${names.join(', ')}`;
  return new SkerryError('not-found', which, {
    remedy: 'Look the name up with `apt-cache search`; the package must be in the sources of this host.',
    details: { packages: names, ...(stderr === undefined ? {} : { stderr: stderr.slice(-2048) }) },
  });
}

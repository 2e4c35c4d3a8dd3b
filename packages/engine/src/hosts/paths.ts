import { randomBytes } from 'node:crypto';
import { link, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { SkerryError } from '@skerry/api';

/** What nobody else may do in a directory of ours; the cache holds nothing secret, but nobody else may write to it. */
const PRIVATE_MASK = 0o077;
const SHARED_MASK = 0o022;

export interface HostPaths {
  /** What must not be lost: the store, VM directories, images. */
  readonly dataDir: string;
  /** Sockets; gone after a restart of the host. */
  readonly runtimeDir: string;
  /** What can be made again. */
  readonly cacheDir: string;
}

const SYSTEM_PATHS: HostPaths = {
  dataDir: '/var/lib/skerry',
  runtimeDir: '/run/skerry',
  cacheDir: '/var/cache/skerry',
};

/** A unix socket's path has at most 107 bytes (unix(7)); ours are RUNTIME/v/<12 hex>/<name of at most 8>. */
const RUNTIME_DIR_MAX_BYTES = 107 - '/v/0123456789ab/12345678'.length;

/**
 * The directories of the daemon that `uid` runs: the system's for root, else by the XDG base directory specification. Pure.
 * SKERRY_DATA_DIR, SKERRY_RUNTIME_DIR and SKERRY_CACHE_DIR take precedence, each by itself.
 * @throws SkerryError `invalid`: a relative path, no HOME, or a runtime directory too long for sockets in it
 */
export function hostPaths(env: Readonly<Record<string, string | undefined>>, uid: number): HostPaths {
  const given = (name: string): string | undefined => {
    const value = env[name];
    if (value === undefined || value === '') return undefined;
    if (isAbsolute(value)) return value;
    throw new SkerryError('invalid', `${name} is not an absolute path: ${value}`, {
      remedy: `Set ${name} to a path that starts with /.`,
    });
  };
  // The specification: a relative path in an XDG variable is to be ignored.
  const xdg = (name: string, fallback: () => string): string => {
    const value = env[name];
    return join(value !== undefined && isAbsolute(value) ? value : fallback(), 'skerry');
  };
  const home = (): string => {
    const value = env['HOME'];
    if (value !== undefined && isAbsolute(value)) return value;
    throw new SkerryError('invalid', 'HOME is not set', {
      remedy: 'Set HOME, or SKERRY_DATA_DIR and SKERRY_CACHE_DIR.',
    });
  };
  const userRuntimeDir = (): string => {
    const value = env['XDG_RUNTIME_DIR'];
    return value !== undefined && isAbsolute(value) ? join(value, 'skerry') : `/tmp/skerry-${uid}`;
  };
  const isRoot = uid === 0;
  const paths = {
    dataDir:
      given('SKERRY_DATA_DIR') ??
      (isRoot ? SYSTEM_PATHS.dataDir : xdg('XDG_DATA_HOME', () => join(home(), '.local/share'))),
    runtimeDir: given('SKERRY_RUNTIME_DIR') ?? (isRoot ? SYSTEM_PATHS.runtimeDir : userRuntimeDir()),
    cacheDir:
      given('SKERRY_CACHE_DIR') ??
      (isRoot ? SYSTEM_PATHS.cacheDir : xdg('XDG_CACHE_HOME', () => join(home(), '.cache'))),
  };
  if (Buffer.byteLength(paths.runtimeDir) > RUNTIME_DIR_MAX_BYTES) {
    throw new SkerryError(
      'invalid',
      `The runtime directory's path is too long for sockets in it: ${paths.runtimeDir}`,
      {
        remedy: `Set SKERRY_RUNTIME_DIR to a path of at most ${RUNTIME_DIR_MAX_BYTES} bytes.`,
      },
    );
  }
  return paths;
}

/**
 * Makes the directories, 0700, and the instance's name. A directory that is there has to be ours alone: a path under /tmp could be somebody's trap, and the
 * mode of a directory that we did not make is not ours to change.
 * @throws SkerryError `refused`
 */
export async function ensurePaths(
  paths: HostPaths,
  uid = process.getuid?.() ?? 0,
): Promise<{ paths: HostPaths; instance: string }> {
  for (const path of [paths.dataDir, paths.runtimeDir, paths.cacheDir]) {
    await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
      // EEXIST: a file, or a link to nowhere: the check below says so.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unmakeable(path, error);
    });
    const status = await lstat(path);
    const wrong = !status.isDirectory()
      ? 'is not a directory'
      : status.uid !== uid
        ? `belongs to uid ${status.uid}, not to ${uid}`
        : (status.mode & (path === paths.cacheDir ? SHARED_MASK : PRIVATE_MASK)) !== 0
          ? 'is open to other users'
          : undefined;
    if (wrong === undefined) continue;
    throw new SkerryError('refused', `${path} ${wrong}`, {
      remedy: wrong.startsWith('is open')
        ? `chmod ${path === paths.cacheDir ? '755' : '700'} ${path}`
        : 'Move it away, or set the SKERRY_..._DIR variable to another path.',
      details: { path },
    });
  }
  return { paths, instance: await instanceId(paths.dataDir) };
}

function unmakeable(path: string, error: unknown): SkerryError {
  return new SkerryError('refused', `${path} can't be made: ${(error as Error).message}`, {
    remedy: 'Set SKERRY_DATA_DIR, SKERRY_RUNTIME_DIR or SKERRY_CACHE_DIR to a path that you may write to.',
    details: { path },
    cause: error,
  });
}

/**
 * The name that tells this state directory's tables, interfaces and control groups from another's on the same host: 4 hex
 * digits, made once and kept in DATA/instance; `skerry` for the system's default directory.
 * @throws SkerryError `failed` when the file holds something else
 */
export async function instanceId(dataDir: string): Promise<string> {
  if (dataDir === SYSTEM_PATHS.dataDir) return 'skerry';
  const path = join(dataDir, 'instance');
  const kept = await readFile(path, 'utf8').catch(() => undefined);
  if (kept === undefined) await makeInstance(path);
  const id = (kept ?? (await readFile(path, 'utf8'))).trim();
  if (/^[0-9a-f]{4}$/.test(id)) return id;
  throw new SkerryError('failed', `${path} does not hold an instance id`, {
    remedy: `Write the 4 hex digits that this instance's control groups are named with into it, or remove it if nothing runs.`,
  });
}

/** Whole or not at all, and the first of several at once wins. */
async function makeInstance(path: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(temporary, `${randomBytes(2).toString('hex')}\n`, { mode: 0o600, flush: true });
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(temporary, { force: true });
  }
}

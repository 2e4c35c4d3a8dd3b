import { accessSync, constants, lstatSync } from 'node:fs';

/**
 * Where a daemon keeps its socket and its data: root has the system's, everybody else their own. This file is on the
 * way of `skerry list` (bar: twice `node -e 0`), so it imports nothing but fs, which Node has loaded anyway.
 */

type Env = Readonly<Record<string, string | undefined>>;

export const SYSTEM_RUNTIME_DIR = '/run/skerry';
const SYSTEM_DATA_DIR = '/var/lib/skerry';
const SOCKET_NAME = 'skerryd.sock';

export interface Endpoint {
  /** A unix socket, or else `url`. */
  readonly socketPath?: string | undefined;
  readonly url?: string | undefined;
  /** True: this user's own daemon, which may be started when it does not run. */
  readonly own: boolean;
}

export function runtimeDir(env: Env = process.env, uid: number = process.getuid?.() ?? 0): string {
  if (env['SKERRY_RUNTIME_DIR']) return env['SKERRY_RUNTIME_DIR'];
  if (uid === 0) return SYSTEM_RUNTIME_DIR;
  const base = absolute(env['XDG_RUNTIME_DIR']);
  return base === undefined ? `/tmp/skerry-${uid}` : `${base}/skerry`;
}

export function dataDir(env: Env = process.env, uid: number = process.getuid?.() ?? 0): string {
  if (env['SKERRY_DATA_DIR']) return env['SKERRY_DATA_DIR'];
  if (uid === 0) return SYSTEM_DATA_DIR;
  return `${absolute(env['XDG_DATA_HOME']) ?? `${env['HOME'] ?? ''}/.local/share`}/skerry`;
}

export function daemonLogPath(env: Env = process.env): string {
  return `${dataDir(env)}/skerryd.log`;
}

/**
 * Which daemon: `--host`, SKERRY_HOST, this user's own, the system's when this user may open its socket. A host is
 * `unix:///path`, a path, or `http://ADDRESS:PORT`.
 */
export function findEndpoint(host?: string, env: Env = process.env): Endpoint {
  const named = host ?? (env['SKERRY_HOST'] || undefined);
  if (named !== undefined) {
    if (/^https?:\/\//.test(named)) return { url: named, own: false };
    return { socketPath: named.replace(/^unix:(?:\/\/)?/, ''), own: false };
  }
  const own = `${runtimeDir(env)}/${SOCKET_NAME}`;
  const system = `${SYSTEM_RUNTIME_DIR}/${SOCKET_NAME}`;
  if (own !== system && !env['SKERRY_RUNTIME_DIR'] && !exists(own) && writable(system)) {
    return { socketPath: system, own: false };
  }
  return { socketPath: own, own: true };
}

/**
 * Anyone can make /tmp/skerry-UID first and listen there in our place: it is trusted only if it is ours alone.
 * @returns what is wrong with it, or undefined
 */
export function distrust(endpoint: Endpoint, uid: number = process.getuid?.() ?? 0): string | undefined {
  const directory = endpoint.socketPath?.slice(0, endpoint.socketPath.lastIndexOf('/'));
  if (!endpoint.own || !directory?.startsWith('/tmp/')) return undefined;
  const stat = lstatSync(directory, { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (!stat.isDirectory()) return `${directory} is no directory`;
  if (stat.uid !== uid) return `${directory} belongs to user ${stat.uid}, not to you`;
  return (stat.mode & 0o022) === 0 ? undefined : `others may write in ${directory}`;
}

/** A relative path in an XDG variable is to be ignored (XDG base directory specification). */
function absolute(path: string | undefined): string | undefined {
  return path?.startsWith('/') === true ? path : undefined;
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function writable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

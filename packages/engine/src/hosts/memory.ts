import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Memory that this host has, and has left, where it is a container as well. */
export interface HostMemory {
  readonly totalMib: number;
  /** Could be had without swapping: the kernel's own estimate. */
  readonly availableMib: number;
}

export interface HostMemoryOptions {
  /** Another tree than /, for tests. */
  readonly root?: string | undefined;
  readonly uid?: number | undefined;
}

const MIB_BYTES = 2 ** 20;
const MIB_KIB = 2 ** 10;

/** @throws Error where there is no /proc */
export async function hostMemory({
  root = '/',
  uid = process.getuid?.() ?? 0,
}: HostMemoryOptions = {}): Promise<HostMemory> {
  const text = (path: string): Promise<string> => readFile(join(root, path), 'latin1').catch(() => '');
  const meminfo = await readFile(join(root, 'proc/meminfo'), 'latin1');
  const kib = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0);
  let totalMib = kib('MemTotal') / MIB_KIB;
  let availableMib = kib('MemAvailable') / MIB_KIB;
  for (const group of await groupsAbove(text, uid)) {
    const limit = await limitOf(text, group);
    if (limit === undefined) continue;
    totalMib = Math.min(totalMib, limit.maxBytes / MIB_BYTES);
    availableMib = Math.min(availableMib, Math.max(0, limit.maxBytes - limit.usedBytes) / MIB_BYTES);
  }
  return { totalMib: Math.floor(totalMib), availableMib: Math.floor(availableMib) };
}

type ReadText = (path: string) => Promise<string>;

interface Group {
  readonly version: 1 | 2;
  readonly dir: string;
}

/**
 * Control groups whose limits hold for VMs. Root's VMs are put beside the daemon, under the top of what is mounted (in a
 * container that is the container's own group); others' below the daemon's own.
 */
async function groupsAbove(text: ReadText, uid: number): Promise<Group[]> {
  const own = await text('proc/self/cgroup');
  const groups: Group[] = [];
  for (const line of (await text('proc/self/mounts')).split('\n')) {
    const [, mount = '', type, options = ''] = line.split(' ');
    const version = type === 'cgroup2' ? 2 : type === 'cgroup' && options.split(',').includes('memory') ? 1 : undefined;
    if (version === undefined) continue;
    const path =
      (version === 2 ? /^0::(\/.*)$/m : /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(\/.*)$/m).exec(own)?.[1] ?? '/';
    for (let at = uid === 0 ? '/' : path; ; at = dirname(at)) {
      groups.push({ version, dir: join(mount, at) });
      if (at === '/') break;
    }
  }
  return groups;
}

/** Page cache that nobody uses is given up before anything is refused, so it does not count as used. */
async function limitOf(
  text: ReadText,
  { version, dir }: Group,
): Promise<{ readonly maxBytes: number; readonly usedBytes: number } | undefined> {
  const [maxFile, usedFile, cacheName] =
    version === 2
      ? ['memory.max', 'memory.current', 'inactive_file']
      : ['memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'];
  const max = (await text(join(dir, maxFile))).trim();
  // Version 1 says "no limit" as the largest number of pages.
  if (!/^\d+$/.test(max) || Number(max) >= 2 ** 62) return undefined;
  const [used, stat] = await Promise.all([text(join(dir, usedFile)), text(join(dir, 'memory.stat'))]);
  const cache = Number(new RegExp(`^${cacheName} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
  return { maxBytes: Number(max), usedBytes: Math.max(0, Number(used) - cache) };
}

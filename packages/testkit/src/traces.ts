import { readdir, readFile, readlink, rmdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a daemon and its VMs leave on a machine, found by looking at the machine and not by asking the product. */

export interface HostDirs {
  readonly dataDir: string;
  readonly runtimeDir: string;
}

/** What may be there. */
export interface Expected {
  readonly daemonPid: number | undefined;
  readonly vmIds: readonly string[];
  /** VMs that have a process. */
  readonly runningIds: readonly string[];
  /** Whether the switch and the ways out may run. */
  readonly hasNetwork: boolean;
  readonly templateIds: readonly string[];
  /** Clones that wait in pools: as VMs, but that no VM has their ids yet. */
  readonly poolIds: readonly string[];
}

interface Process {
  readonly pid: number;
  readonly parentPid: number;
  readonly commandLine: string;
  /** Open files, sockets by path included as far as the kernel names them. */
  readonly openPaths: readonly string[];
  readonly isZombie: boolean;
}

const CGROUP_ROOT = '/sys/fs/cgroup';

/** One line for each thing that is there and not expected. */
export async function findTraces(dirs: HostDirs, expected: Expected): Promise<string[]> {
  const [processes, sockets, groups, directories] = await Promise.all([
    findProcesses(dirs),
    boundSockets(dirs),
    findGroups(dirs),
    vmDirectories(dirs),
  ]);
  const isWanted = allowance(dirs, expected);
  const wantedPids = isWanted.processes(processes);
  return [
    ...processes.filter(({ pid }) => !wantedPids.has(pid)).map((each) => `process ${each.pid}: ${each.commandLine}`),
    ...sockets.filter((path) => !isWanted.path(path)).map((path) => `socket ${path}`),
    ...groups.filter((path) => !isWanted.group(path)).map((path) => `control group ${path}`),
    ...directories.filter((path) => !isWanted.path(path)).map((path) => `directory ${path}`),
  ];
}

/** Ends and removes all of it, so that one failed test does not spoil the next. The directories are the caller's. */
export async function removeTraces(dirs: HostDirs): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const processes = await findProcesses(dirs);
    if (processes.length === 0) break;
    for (const { pid } of processes) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone meanwhile.
      }
    }
    await sleep(50);
  }
  // Children first.
  const groups = (await findGroups(dirs)).toSorted((a, b) => b.length - a.length);
  for (const group of groups) await rmdir(group).catch(() => undefined);
}

function allowance({ dataDir, runtimeDir }: HostDirs, expected: Expected) {
  const { daemonPid, templateIds, poolIds } = expected;
  const vmIds = [...expected.vmIds, ...poolIds];
  const runningIds = [...expected.runningIds, ...poolIds];
  const shortIds = runningIds.map((id) => id.replaceAll('-', '').slice(-12));
  const isShared = (text: string): boolean =>
    expected.hasNetwork && ['switch', 'egress', 'kernel'].some((name) => text.includes(join(runtimeDir, name)));
  const isOfTemplate = (text: string): boolean =>
    templateIds.some((id) => text.includes(join(runtimeDir, 't', id.slice(0, 12))));
  const isOfVm = (text: string): boolean =>
    isOfTemplate(text) ||
    runningIds.some((id) => text.includes(id)) ||
    shortIds.some((id) => text.includes(`/v/${id}`));
  return {
    /** Those that run for a VM, or for all; with their children. */
    processes(all: readonly Process[]): Set<number> {
      const wanted = all.filter((each) => {
        const traces = [each.commandLine, ...each.openPaths].join('\n');
        // It ends with the daemon, as its stdin then does.
        const isSpare = each.parentPid === daemonPid && each.commandLine.endsWith('vmjail --wait');
        return isSpare || isOfVm(traces) || isShared(traces);
      });
      const pids = withChildren(wanted, all);
      if (daemonPid !== undefined) pids.add(daemonPid);
      return pids;
    },
    path(path: string): boolean {
      if (daemonPid !== undefined && path === join(runtimeDir, 'skerryd.sock')) return true;
      const inData = relative(join(dataDir, 'vms'), path).split('/')[0] ?? '';
      return vmIds.includes(inData) || isOfVm(path) || isShared(path);
    },
    group(path: string): boolean {
      const ofTemplate = templateIds.some((id) => path.endsWith(`template-${id.slice(0, 12)}`));
      const isUsed = runningIds.length > 0 || templateIds.length > 0;
      return (
        ofTemplate || (isUsed && (/\/skerry-\w+$/.test(path) || runningIds.some((id) => path.endsWith(id.slice(-12)))))
      );
    },
  };
}

/**
 * By command line, by open file and by working directory, with all their children: QEMU itself is given descriptors, so
 * its argv names nothing.
 */
async function findProcesses({ dataDir, runtimeDir }: HostDirs): Promise<Process[]> {
  const isInside = (text: string): boolean => text.includes(`${dataDir}/`) || text.includes(`${runtimeDir}/`);
  const pids = (await readdir('/proc')).map(Number).filter((pid) => Number.isInteger(pid) && pid !== process.pid);
  const all = (await Promise.all(pids.map(readProcess))).filter((each) => each !== undefined && !each.isZombie);
  const alive = all as Process[];
  const ours = alive.filter((each) => isInside(each.commandLine) || each.openPaths.some(isInside));
  const found = withChildren(ours, alive);
  return alive.filter(({ pid }) => found.has(pid)).toSorted((a, b) => a.pid - b.pid);
}

function withChildren(some: readonly Process[], all: readonly Process[]): Set<number> {
  const found = new Set(some.map(({ pid }) => pid));
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const { pid, parentPid } of all) if (found.has(parentPid)) found.add(pid);
  }
  return found;
}

async function readProcess(pid: number): Promise<Process | undefined> {
  try {
    const [commandLine, stat] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'latin1'),
    ]);
    // Field 2, the name, may hold spaces and parentheses (proc(5)).
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const numbers = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(
      ['cwd', ...numbers.map((fd) => `fd/${fd}`)].map((link) => readlink(`/proc/${pid}/${link}`).catch(() => '')),
    );
    return {
      pid,
      parentPid: Number(parent),
      commandLine: commandLine.replaceAll('\0', ' ').trimEnd(),
      openPaths: links.filter((link) => link.startsWith('/')),
      isZombie: state === 'Z' || state === 'X',
    };
  } catch {
    return undefined; // It ended while it was read.
  }
}

/** Unix sockets that somebody is bound to, and those whose name was left behind. */
async function boundSockets({ runtimeDir }: HostDirs): Promise<string[]> {
  const table = await readFile('/proc/net/unix', 'utf8');
  const bound = table.split('\n').flatMap((line) => {
    const path = line.trim().split(/ +/)[7];
    return path?.startsWith(`${runtimeDir}/`) === true ? [path] : [];
  });
  const entries = await readdir(runtimeDir, { recursive: true, withFileTypes: true }).catch(() => []);
  const named = entries
    .filter((entry) => entry.isSocket() || entry.isFIFO())
    .map((entry) => join(entry.parentPath, entry.name));
  return [...new Set([...bound, ...named])].toSorted();
}

async function vmDirectories({ dataDir, runtimeDir }: HostDirs): Promise<string[]> {
  const inside = async (dir: string): Promise<string[]> =>
    (await readdir(dir).catch(() => [])).map((name) => join(dir, name));
  return (await Promise.all([inside(join(dataDir, 'vms')), inside(join(runtimeDir, 'b'))])).flat();
}

async function findGroups({ dataDir }: HostDirs): Promise<string[]> {
  const instance = (await readFile(join(dataDir, 'instance'), 'utf8').catch(() => '')).trim();
  if (instance === '') return [];
  const entries = await readdir(CGROUP_ROOT, { recursive: true, withFileTypes: true }).catch(() => []);
  const base = `skerry-${instance}`;
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.split('/').includes(base))
    .toSorted();
}

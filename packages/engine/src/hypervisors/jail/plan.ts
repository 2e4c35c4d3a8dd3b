import type { Argv } from '../../hosts/index.ts';

/** Where a server's directory lies in its own namespace (native/vmjail/server.c). */
export const SERVED_AT = '/mnt';

/** How vmjail hands a file to the child: read, read and write, or append (made with mode 0600 if it is missing). */
export interface JailFile {
  readonly path: string;
  readonly mode: 'r' | 'rw' | 'a';
}

/** A memory object of a vmjail that listens at `keepPath`. */
export interface KeptObject {
  readonly keepPath: string;
  readonly object: string;
}

export type RlimitName = 'nofile' | 'fsize' | 'nproc' | 'core' | 'memlock' | 'as' | 'cpu' | 'stack';

/**
 * One confined process. All paths are absolute. In `command`, `{name}` stands for the number of the descriptor of that
 * name in `listen` or `open`. The child needs no way into any directory for what it gets as a descriptor: directories stay
 * 0700 and the daemon's own. What it opens by a path (firmware, `/proc/self/fd/{kernel}`) its uid has to be able to read.
 */
export interface JailSpec {
  /** Holds `lock`, `alive`, `pid` and `exit.json`. Exists, 0700, owned by us. */
  readonly dir: string;
  readonly command: Argv;
  /** Only root may give another uid than its own. */
  readonly owner?: { readonly uid: number; readonly gid: number; readonly groups?: readonly number[] } | undefined;
  /** The control group; its name starts with `skerry`. */
  readonly group?:
    | {
        readonly name: string;
        readonly memoryMaxBytes?: number | undefined;
        readonly pidsMax?: number | undefined;
        /** Percent of one processor. */
        readonly cpuMaxPercent?: number | undefined;
      }
    | undefined;
  readonly rlimits?: Partial<Record<RlimitName, number>> | undefined;
  readonly nice?: number | undefined;
  /** False: its memory is never backed by transparent huge pages, of which a little that is used takes 2 MiB. */
  readonly hugePages?: boolean | undefined;
  /** What the kernel's own policies know it as: a profile that is loaded, or contexts. */
  readonly policy?:
    | { readonly apparmor: string; readonly serverApparmor?: string | undefined }
    | { readonly selinux: { readonly process: string; readonly own: string; readonly read: string } }
    | undefined;
  /** What of the confinement was found not to be had, before the start: told with what vmjail finds. */
  readonly warnings?: readonly string[] | undefined;
  /** Name -> path (at most 107 bytes) of a unix socket: 0600, the owner's, already listening. */
  readonly listen?: Readonly<Record<string, string>> | undefined;
  readonly open?: Readonly<Record<string, JailFile>> | undefined;
  /** Name -> directory of the host, of which the child gets a descriptor: it may do there what its owner may, and no more. */
  readonly share?: Readonly<Record<string, { readonly path: string; readonly readonly: boolean }>> | undefined;
  /**
   * Name -> directory of the host that a `server` of its own gives: the child gets a socket that is connected to that. Each has
   * namespaces of its own, ends with the child, and the child with it.
   */
  readonly served?: Readonly<Record<string, { readonly path: string; readonly readonly: boolean }>> | undefined;
  /** Command of those servers, which find the directory at `SERVED_AT`; `--fd=N` is added, the socket to listen on. */
  readonly server?: Argv | undefined;
  /**
   * Name -> interface `sk...`: a tap that is made, down, in our network namespace, and goes with the child; '': in one of its own.
   * Needs root.
   */
  readonly taps?: Readonly<Record<string, string>> | undefined;
  /** Name -> size in bytes of a memory object: see `keepPath`. */
  readonly objects?: Readonly<Record<string, number>> | undefined;
  /**
   * Path (at most 107 bytes) of a socket at which vmjail hands its objects to others. When the child has ended well they
   * are sealed, and vmjail keeps them until it is ended, too.
   */
  readonly keepPath?: string | undefined;
  /** Name -> an object of another vmjail. */
  readonly take?: Readonly<Record<string, KeptObject>> | undefined;
  /** The child's stdout and stderr, cut at `capBytes`. */
  readonly log?: { readonly path: string; readonly capBytes: number } | undefined;
}

/** What the host offers for starting one: see `findJailHost`. */
export interface JailHost {
  readonly vmjailPath: string;
  /** Which systemd manager makes a transient scope, so that VMs outlive the daemon's unit. */
  readonly scope: 'none' | 'system' | 'user';
  /** Added to the environment: what `systemd-run --user` finds its manager by. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Instead of the mounted control groups; for tests. */
  readonly cgroupRoot?: string | undefined;
}

/** The arguments that start `spec`: vmjail's, behind systemd-run's where systemd is the init. Pure. */
export function planJail(spec: JailSpec, host: JailHost): Argv {
  const jail: string[] = [host.vmjailPath, '--dir', spec.dir];
  if (spec.owner !== undefined) {
    jail.push('--uid', String(spec.owner.uid), '--gid', String(spec.owner.gid));
    for (const group of spec.owner.groups ?? []) jail.push('--group', String(group));
  }
  if (host.scope === 'none') jail.push(...groupOptions(spec, host));
  for (const [name, value] of Object.entries(spec.rlimits ?? {})) jail.push('--rlimit', `${name}=${value}`);
  if (spec.nice !== undefined) jail.push('--nice', String(spec.nice));
  if (spec.hugePages === false) jail.push('--huge-pages', '0');
  jail.push(...policyOptions(spec));
  for (const [name, path] of Object.entries(spec.listen ?? {})) jail.push('--listen', `${name}=${path}`);
  for (const [name, file] of Object.entries(spec.open ?? {})) jail.push('--open', `${name}=${file.path}:${file.mode}`);
  for (const [name, { path, readonly }] of Object.entries(spec.share ?? {}))
    jail.push('--share', `${name}=${path}:${readonly ? 'ro' : 'rw'}`);
  for (const [name, { path, readonly }] of Object.entries(spec.served ?? {}))
    jail.push('--served', `${name}=${path}:${readonly ? 'ro' : 'rw'}`);
  for (const argument of spec.server ?? []) jail.push('--server', argument);
  for (const [name, tap] of Object.entries(spec.taps ?? {})) jail.push('--tap', `${name}=${tap}`);
  for (const [name, bytes] of Object.entries(spec.objects ?? {})) jail.push('--object', `${name}=${bytes}`);
  for (const [name, { keepPath, object }] of Object.entries(spec.take ?? {}))
    jail.push('--take', `${name}=${keepPath}:${object}`);
  if (spec.keepPath !== undefined) jail.push('--keep', spec.keepPath);
  if (spec.log !== undefined) jail.push('--log', `${spec.log.path}:${spec.log.capBytes}`);
  const [command, ...args] = [
    ...(host.scope === 'none' ? [] : scopePrefix(spec, host.scope)),
    ...jail,
    '--',
    ...spec.command,
  ];
  return [command as string, ...args];
}

function policyOptions({ policy, warnings = [] }: JailSpec): string[] {
  const told = warnings.flatMap((warning) => ['--warning', warning]);
  if (policy === undefined) return told;
  if ('apparmor' in policy) {
    const { apparmor, serverApparmor } = policy;
    const server = serverApparmor === undefined ? [] : ['--server-apparmor', serverApparmor];
    return ['--apparmor', apparmor, ...server, ...told];
  }
  const { process, own, read } = policy.selinux;
  return ['--selinux', process, '--selinux-own', own, '--selinux-read', read, ...told];
}

function groupOptions(spec: JailSpec, host: JailHost): string[] {
  const { group } = spec;
  if (group === undefined) return [];
  return [
    '--cgroup',
    group.name,
    ...(host.cgroupRoot === undefined ? [] : ['--cgroup-root', host.cgroupRoot]),
    ...(group.memoryMaxBytes === undefined ? [] : ['--memory-max', String(group.memoryMaxBytes)]),
    ...(group.pidsMax === undefined ? [] : ['--pids-max', String(group.pidsMax)]),
    ...(group.cpuMaxPercent === undefined ? [] : ['--cpu-max', String(group.cpuMaxPercent)]),
  ];
}

/**
 * systemd owns the control groups where it is the init, so the limits are the scope's. systemd-run --scope executes the command
 * in its own process (systemd-run(1)), so pid and pipes stay. vmjail is in the scope too: one task more.
 */
function scopePrefix(spec: JailSpec, scope: 'system' | 'user'): string[] {
  const { group } = spec;
  const properties: string[] = [];
  if (group?.memoryMaxBytes !== undefined) properties.push(`MemoryMax=${group.memoryMaxBytes}`);
  if (group?.pidsMax !== undefined) properties.push(`TasksMax=${group.pidsMax + 1}`);
  if (group?.cpuMaxPercent !== undefined) properties.push(`CPUQuota=${group.cpuMaxPercent}%`);
  return [
    'systemd-run',
    ...(scope === 'user' ? ['--user'] : []),
    '--scope',
    '--quiet',
    '--collect',
    ...(group === undefined ? [] : [`--unit=${group.name.replaceAll('/', '-')}.scope`, '--slice=skerry.slice']),
    ...properties.flatMap((property) => ['-p', property]),
    '--',
  ];
}

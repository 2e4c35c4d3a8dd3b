import type { ShareHow } from '@skerry/api';
import type { JailSpec } from './jail/index.ts';

/**
 * What every hypervisor driver offers. A driver starts processes that outlive the daemon and finds them again; what a
 * VM should be, and when, is decided elsewhere.
 */

/** Where one VM keeps its files. Both directories exist before a start. */
export interface VmDirs {
  /** UUID of the VM. */
  readonly id: string;
  /** Lock, pid, exit record, logs. No other VM's. */
  readonly dir: string;
  /** Its sockets; short, for a socket's path is at most 107 bytes. */
  readonly runtimeDir: string;
}

export type DiskFormat = 'qcow2' | 'raw';

/**
 * An image and what lies under it. The chain is named by the caller: formats are never probed and a backing file's name
 * is never taken from an image, for both are the guest's to write.
 */
export interface DiskImage {
  readonly path: string;
  readonly format: DiskFormat;
  readonly backing?: DiskImage | undefined;
}

export interface LaunchDisk extends DiskImage {
  readonly readonly: boolean;
}

/** A disk of a size and without content: a template's, in whose place each clone has its own. */
export interface PlaceholderDisk {
  readonly format: 'placeholder';
  readonly sizeBytes: number;
}

/**
 * Where the machine's memory comes from; absent: it boots.
 * - `template`: it boots (or goes on from `statePath`) with memory that its supervisor keeps when it has ended;
 * - `clone`: it goes on from a template, whose memory it shares until it writes to it;
 * - `saved`: it goes on from a file that `saveState` wrote; it comes up paused.
 */
export type LaunchOrigin =
  | {
      readonly kind: 'template';
      readonly keeperPath: string;
      readonly statePath?: string | undefined;
      /** Of that file; default `stream`. */
      readonly layout?: StateLayout | undefined;
    }
  | { readonly kind: 'clone'; readonly keeperPath: string; readonly paused?: boolean | undefined }
  | { readonly kind: 'saved'; readonly statePath: string; readonly layout: StateLayout };

/** Of a saved state: as it was sent, or with a place of its own for each page of memory. A driver reads what it wrote. */
export type StateLayout = 'stream' | 'mapped';

export interface LaunchNic {
  /** `52:54:00:12:34:56` */
  readonly mac: string;
  /** Name in the runtime directory of the socket that the switch connects to, e.g. `nic0`. */
  readonly socketName: string;
  /** Nobody's yet: for a NIC that is added while the machine runs. */
  readonly isSpare?: boolean | undefined;
  /** Of a NIC on a bridge, which has no socket then. */
  readonly tap?: LaunchTap | undefined;
}

/** An interface of the host that is made for the VM's process, down, and goes with it. */
export interface LaunchTap {
  /** `sk` and at most 13 of a-z and 0-9; empty: it leads nowhere, in a network namespace of its own. */
  readonly name: string;
  /** The kernel moves the frames, without QEMU: where there is /dev/vhost-net. */
  readonly vhost: boolean;
}

/** A directory of the host, for the guest to mount as `shareTag(index)`. */
export interface LaunchShare {
  /** Without any symbolic link in it. */
  readonly path: string;
  readonly readonly: boolean;
  /** File system in the guest; absent: 9p. With virtiofs the machine has no `origin`: another process writes to its memory. */
  readonly how?: ShareHow | undefined;
}

export interface LaunchKernel {
  readonly which: 'micro' | 'distro';
  /** Readable for everybody, like the initrd: the VM's user re-opens both. */
  readonly path: string;
  readonly initrdPath: string;
  /** Has our patch that takes the timers' rates from the command line instead of measuring them. */
  readonly patched: boolean;
  readonly machine: 'microvm' | 'q35';
}

/** What confines the process; each is left out where the host can not give it. */
export interface Isolation {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly groups?: readonly number[] | undefined;
  readonly cgroup?: string | undefined;
  readonly memoryMaxBytes?: number | undefined;
  readonly pidsMax?: number | undefined;
  readonly cpuMaxPercent?: number | undefined;
  readonly rlimits?: JailSpec['rlimits'];
  readonly nice?: number | undefined;
}

export interface VmLaunch extends VmDirs {
  readonly name: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly kernel: LaunchKernel;
  /** In the guest's order: the first is /dev/vda. */
  readonly disks: readonly (LaunchDisk | PlaceholderDisk)[];
  readonly nics: readonly LaunchNic[];
  readonly shares?: readonly LaunchShare[] | undefined;
  readonly origin?: LaunchOrigin | undefined;
  /**
   * Whether memory that the guest frees goes back to the host. Not with memory of a template, in whose place it would
   * punch holes; and a machine that goes on from memory has to be as the one was that it comes from.
   */
  readonly reclaimsMemory: boolean;
  readonly accelerator: 'kvm' | 'tcg';
  /** Rate of the host's time stamp counter, kHz. */
  readonly tscKhz?: number | undefined;
  /** UUID, another at each start: a kernel that sees it change draws new random numbers (vmgenid). Where there is ACPI. */
  readonly generation?: string | undefined;
  readonly extraKernelArgs?: readonly string[] | undefined;
  readonly isolation: Isolation;
}

/** What a template takes of the host's memory. */
export interface KeptBytes {
  readonly memoryBytes: number;
  readonly stateBytes: number;
}

export interface DriverCapabilities {
  readonly machines: readonly LaunchKernel['machine'][];
  readonly pause: boolean;
  readonly adopt: boolean;
  readonly maxCpus: number;
  /** Disks, NICs and shares together, by machine. */
  readonly maxDevices: Readonly<Record<LaunchKernel['machine'], number>>;
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
}

/** `incoming`: it has taken over the memory that it goes on from. */
export type StartPhase = 'spawn' | 'qmp' | 'incoming';

export interface StartOptions extends WaitOptions {
  /** Called as each phase ends; together they are the whole of `start`. */
  readonly onPhase?: ((name: StartPhase, ms: number) => void) | undefined;
}

/** What there is of a VM's process. */
export type Adoption =
  | { readonly state: 'alive'; readonly machine: Machine }
  | { readonly state: 'ended'; readonly exit: MachineExit }
  /** It was never started, or its traces were removed. */
  | { readonly state: 'absent' };

export interface Driver {
  readonly name: string;
  capabilities(): DriverCapabilities;
  /** @throws SkerryError `unsupported` when the hypervisor is not installed or too old */
  probe(options?: WaitOptions): Promise<{ readonly version: string; readonly binary: string }>;
  /** Equal for two launches exactly if one may be a clone of the other, made a template. */
  fingerprint(launch: VmLaunch): Promise<string>;
  /**
   * Starts a VM; resolves once the hypervisor takes commands (the guest boots meanwhile). When it throws, nothing is left.
   * @param options timeoutMs default 20,000
   * @throws SkerryError `unsupported` (also: no virtiofsd), `in-use` (it runs already), `unavailable` (the template has gone), `failed` (with what
   * the hypervisor said), `timeout`, `cancelled`
   */
  start(launch: VmLaunch, options?: StartOptions): Promise<Machine>;
  /**
   * Finds a VM that an earlier daemon started. One that had not taken over yet what it goes on from is ended.
   * @param options timeoutMs default 5,000
   * @throws SkerryError `timeout`, `unavailable` (alive, but does not answer), `cancelled`
   */
  adopt(
    dirs: VmDirs & { readonly nics: readonly Pick<LaunchNic, 'socketName'>[] },
    options?: WaitOptions,
  ): Promise<Adoption>;
}

export interface MachineEvent {
  readonly kind: 'paused' | 'resumed' | 'panicked' | 'shutting-down';
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** The hypervisor's word for why, e.g. `guest-reset`. */
  readonly cause?: string | undefined;
}

export interface MachineExit {
  /** `reset`: the guest rebooted (with acpi=off that is how it powers off, too). `killed`: by us. */
  readonly kind: 'shutdown' | 'reset' | 'crashed' | 'killed';
  readonly code: number | null;
  /** `SIGKILL` and the like. */
  readonly signal: string | null;
  /** A sentence for a reader. */
  readonly reason: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** What is done to all disks of a machine. */
export type DiskFault =
  /** Each request takes so long, one after the other. */
  | { readonly kind: 'latency'; readonly ms: number }
  /** Reads and writes fail: all of them, or those of a share of the blocks, chosen by the seed. */
  | { readonly kind: 'error'; readonly share: number; readonly seed: number };

export interface MachineInfo {
  readonly driver: string;
  readonly version: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly cpus: number;
  readonly memoryMib: number;
}

/** A VM's process, and our connection to it. */
export interface Machine {
  readonly id: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: with the pid, names one process for ever. */
  readonly startTime: string;
  readonly jailPid: number;
  /** Confinement that this host could not give. */
  readonly warnings: readonly string[];
  readonly sockets: { readonly agent: string; readonly console: string; readonly nics: readonly string[] };
  readonly files: { readonly console: string; readonly service: string; readonly stderr: string };
  /** Settles once, never rejects; never after `detach()`. */
  readonly exited: Promise<MachineExit>;
  state(): 'running' | 'paused' | 'ended';
  /** Frames that wait for it at its NICs when this is called have reached the guest's memory. @throws SkerryError as `pause` */
  drain(): Promise<void>;
  /** @throws SkerryError `wrong-state` when it has ended; `timeout`, `unavailable` */
  pause(): Promise<void>;
  /** @throws SkerryError as `pause` */
  resume(): Promise<void>;
  /**
   * Its CPUs stand still until then, whatever `pause` and `resume` say meanwhile, which hold again afterwards; `state` says
   * what those have made of it. They go on by themselves, also when nobody is connected to it.
   * @param untilMs milliseconds since 1970; Infinity: until `thaw`
   * @throws SkerryError as `pause`
   */
  freeze(untilMs: number): Promise<void>;
  /** Ends that; nothing when it is over. @throws SkerryError as `pause` */
  thaw(): Promise<void>;
  isFrozen(): boolean;
  /**
   * Its disks fail or are slow until then; all is as before by itself, also when nobody is connected to it.
   * @param untilMs milliseconds since 1970; Infinity: until `endDiskFault`
   * @throws SkerryError as `pause`; `in-use` (there is one), `invalid` (a share that can not be)
   */
  beginDiskFault(fault: DiskFault, untilMs: number): Promise<void>;
  /** Nothing when there is none. @throws SkerryError as `pause` */
  endDiskFault(kind: DiskFault['kind']): Promise<void>;
  /** @throws SkerryError as `pause` */
  hasDiskFault(): Promise<boolean>;
  /**
   * What the guest sees of the cable of a NIC, by its place in the launch.
   * @param outUntilMs it sees no carrier until then, and then what `isUp` says, also when nobody is connected to it;
   * milliseconds since 1970, Infinity: until this is called again
   * @throws SkerryError as `pause`
   */
  setLink(index: number, isUp: boolean, outUntilMs?: number): Promise<void>;
  /**
   * Writes memory and devices, as they are now, to a new file, and leaves it paused: `resume` goes on. Not synced. Once
   * only in a pause: QEMU refuses a second time, also after one that was cancelled in its last moment.
   * @param path must not exist; it is made with our rights, 0600
   * @returns what the origin `saved` has to be told
   * @param options timeoutMs default 600,000
   * @throws SkerryError `no-space`, `wrong-state` (not paused), `in-use` (the file is there), `failed`, `timeout`,
   * `cancelled` (not if it comes too late). There is no file then, and it is paused still
   */
  saveState(path: string, options?: WaitOptions): Promise<StateLayout>;
  /**
   * Ends a machine of the origin `template`, and leaves its memory and devices with its supervisor for clones, which come
   * up as it was: running, or paused. `exited` settles only when the supervisor has let go of them.
   * @param keeperPath of its origin
   * @param options timeoutMs default 600,000
   * @throws SkerryError `no-space`, `failed`, `timeout`, `cancelled`. Nothing is kept then; whether it still runs is open
   */
  becomeTemplate(keeperPath: string, options?: WaitOptions): Promise<KeptBytes>;
  /**
   * Puts new, empty layers over its disks: from then on what was written before does not change any more, and others may
   * read it.
   * @param layers in the order of the disks: a new qcow2 file each, of the same virtual size, without a backing file
   * @throws SkerryError as `pause`; `failed` (no qcow2), `not-found`, `cancelled`. No disk has a layer more then
   */
  cutDisks(layers: readonly string[], options?: WaitOptions): Promise<void>;
  /** Ends it, like pulling the plug; nothing when it has ended. @throws SkerryError `timeout` when even SIGKILL did not help */
  kill(): Promise<MachineExit>;
  /** @returns what stops the listening */
  onEvent(listener: (event: MachineEvent) => void): () => void;
  /** @throws SkerryError as `pause` */
  info(): Promise<MachineInfo>;
  /** Closes our connections; the VM goes on. */
  detach(): void;
}

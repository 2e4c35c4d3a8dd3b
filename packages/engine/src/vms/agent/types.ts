import type { Duplex, Readable, Writable } from 'node:stream';

/** What the guest's agent can do. All of it may reject with SkerryError `unavailable` (connection lost), `failed`. */
export interface AgentClient extends AsyncDisposable {
  readonly hello: AgentHello;
  /** False once `close` has been emitted. */
  readonly connected: boolean;
  /** Makes the guest itself and no other; may be called again (a fork's new identity). */
  identify(identity: Identity, options?: CallOptions): Promise<void>;
  /**
   * Changes these NICs and no other.
   * @param names absent: they stay
   * @throws SkerryError `unsupported` (an older agent), `invalid` (no such NIC)
   */
  changeNics(changes: readonly NicChange[], names?: NicNames, options?: CallOptions): Promise<void>;
  /**
   * Of a guest that was booted without one: `vda`. All that the guest has written to the disk is there then.
   * @param readPaths files that shall be in the guest's memory; it does not matter if there are none
   */
  mountRoot(device: string, readPaths: readonly string[], options?: CallOptions): Promise<void>;
  /**
   * User processes stand still until `thaw`, also for a later connection; commands are refused meanwhile.
   * @throws SkerryError `unsupported` (no control groups in the guest), `timeout` (a process does not stop)
   */
  freeze(options?: CallOptions): Promise<void>;
  thaw(options?: CallOptions): Promise<void>;
  exec(spec: ExecSpec, options?: { signal?: AbortSignal | undefined }): AgentProcess;
  /**
   * Writes a file: the old one stays until the new one is complete, checked and synced.
   * @throws SkerryError `not-found` (folder), `invalid` (the path is a folder), `no-space`, `refused`
   */
  put(path: string, source: Readable, options?: PutOptions): Promise<{ sha256: string; bytes: number }>;
  /** A symbolic link, in the place of a file or link; a folder there is an error. */
  link(path: string, target: string, options?: CallOptions): Promise<void>;
  /** Reads a file; a checksum that differs is an error of both `body` and `done`. */
  get(path: string, options?: { signal?: AbortSignal | undefined }): FileDownload;
  list(path: string, options?: CallOptions): Promise<AgentFileEntry[]>;
  /** Follows symbolic links. */
  stat(path: string, options?: CallOptions): Promise<AgentFileEntry>;
  mount(spec: MountSpec, options?: CallOptions): Promise<void>;
  unmount(target: string, options?: CallOptions): Promise<void>;
  stats(options?: CallOptions): Promise<GuestStats>;
  /**
   * Makes something go wrong in the guest; one of a kind at a time.
   * @param amount thousandths of a CPU; KiB of memory; milliseconds, also negative, that the clock is set on
   * @param forMs it ends by itself then; undefined: only when it is ended. A crash has no end
   */
  beginFault(kind: GuestFault, amount: number, forMs: number | undefined, options?: CallOptions): Promise<void>;
  /** Nothing when there is none. */
  endFault(kind: GuestFault, options?: CallOptions): Promise<void>;
  /** As it is now: of memory, what has been taken so far. */
  faultStatus(kind: GuestFault, options?: CallOptions): Promise<{ readonly active: boolean; readonly amount: number }>;
  /** A TCP connection made inside the guest, to an IP address or `localhost`. Emits `connect`. */
  forward(port: number, host?: string, options?: { signal?: AbortSignal | undefined }): Duplex;
  readonly service: ServiceControl;
  /** Resolves once the guest has begun; `notify` tells its end, then QEMU exits. */
  powerOff(mode: 'poweroff' | 'reboot', options?: CallOptions & { graceMs?: number | undefined }): Promise<void>;
  /** Ends the session at once. Commands under way get SIGHUP; the service goes on. */
  close(): void;
  on(event: 'notify', listener: (notice: AgentNotice) => void): this;
  on(event: 'close', listener: (error?: Error) => void): this;
  once(event: 'notify', listener: (notice: AgentNotice) => void): this;
  once(event: 'close', listener: (error?: Error) => void): this;
  off(event: 'notify' | 'close', listener: (...args: never[]) => void): this;
}

export type GuestFault = 'crash' | 'cpu' | 'memory' | 'clock';

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Default 30,000. */
  timeoutMs?: number | undefined;
}

export interface AgentHello {
  readonly protocol: number;
  readonly version: string;
  /** Differs between two boots, not between two connections. */
  readonly bootNonce: string;
  /** `uname -r` of the guest. */
  readonly kernel: string;
  /** Since the guest's kernel started: when the agent began, and when it answered this connection. */
  readonly startedUs: number;
  readonly readyUs: number;
  /** Its user processes stand still: it is a fork that has no identity of its own yet. */
  readonly frozen: boolean;
}

export interface Identity {
  /** Disk to mount and make the root, `vda` or `vda:ext4`: of a clone, whose template had none mounted. */
  root?: string | undefined;
  /** A new UUID, for /run/skerry/generation, which programs can watch. */
  generation?: string | undefined;
  /** UUID over the kernel's own boot id: of a fork. */
  bootId?: string | undefined;
  /** Replaces the ssh server's keys, where there is one. */
  freshKeys?: boolean | undefined;
  /** 32 to 256 random bytes for the guest's generator. */
  seed?: Uint8Array | undefined;
  unixTimeNs?: bigint | undefined;
  hostname?: string | undefined;
  /** 32 hex digits. */
  machineId?: string | undefined;
  /** For every later command and the service; replaces what an earlier identity set. */
  env?: Readonly<Record<string, string>> | undefined;
  nics?: readonly NicIdentity[] | undefined;
  /** It passes on packets that are not for itself. */
  router?: boolean | undefined;
  dns?: readonly string[] | undefined;
  search?: readonly string[] | undefined;
  /** Lines of /etc/hosts after those for localhost and the hostname. */
  hosts?: readonly { address: string; names: readonly string[] }[] | undefined;
}

export interface NicIdentity {
  mac?: string | undefined;
  /** What the device has now, if not `mac`: a clone's, that of its template. Without it they are taken in order. */
  currentMac?: string | undefined;
  /** `10.213.4.7/24`; at most 4, IPv4 or IPv6. */
  addresses: readonly string[];
  gateway?: string | undefined;
  /** Beside the default one: `10.0.0.0/8` via a next hop that is on this NIC; IPv4 or IPv6. */
  routes?: readonly { to: string; via: string }[] | undefined;
  mtu?: number | undefined;
}

/** Another network for a NIC of a guest that knows who it is, or none. */
export interface NicChange extends NicIdentity {
  mac: string;
  /** `spare`: it goes down, without any address. */
  state: 'up' | 'spare';
}

/** What of an identity follows from its NICs. */
export type NicNames = Pick<Identity, 'hostname' | 'nics' | 'dns' | 'search' | 'hosts'>;

export interface ExecSpec {
  argv: readonly string[];
  /** On top of PATH, HOME, USER, SHELL and the identity's. */
  env?: Readonly<Record<string, string>> | undefined;
  /** Default `/`. */
  cwd?: string | undefined;
  /** NAME, UID, NAME:GROUP or UID:GID; default root. */
  user?: string | undefined;
  /** A terminal: all output is on stdout. */
  tty?: { cols: number; rows: number } | undefined;
  /** SIGTERM then, SIGKILL 2 s later; `exited` rejects with `timeout`. */
  timeoutMs?: number | undefined;
  /** Default true. False: it reads end of file at once, which is cheaper. */
  stdin?: boolean | undefined;
  /** Its standard input and output are one socket, as inetd has it: for servers of a single connection. */
  socket?: boolean | undefined;
}

export interface AgentProcess {
  readonly stdin: Writable;
  /** Both must be read or destroyed: the command waits when 256 KiB are unread. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  resize(cols: number, rows: number): void;
  /** To its process group; `TERM`, `SIGTERM` or a number. */
  kill(signal: string | number): void;
  /**
   * After the last byte of output has arrived here. 127: not found, 126: not executable, with the reason on stderr.
   * @throws SkerryError `not-found` (user, cwd), `timeout`, `cancelled`, `unavailable`
   */
  readonly exited: Promise<ExitStatus>;
}

export interface ExitStatus {
  readonly exitCode: number | null;
  /** `SIGTERM`, ... */
  readonly signal: string | null;
}

export interface PutOptions {
  /** Default: that of the file that is replaced, else 0o644. */
  mode?: number | undefined;
  /** If known: a lack of room is found at once, a source cut short is refused. */
  sizeBytes?: number | undefined;
  makeParents?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

export interface FileDownload {
  readonly body: Readable;
  readonly done: Promise<{ sha256: string; bytes: number; mode: number }>;
}

export interface AgentFileEntry {
  /** One component, never with `/`. */
  readonly name: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'other';
  readonly sizeBytes: number;
  readonly mode: number;
  readonly mtimeMs: number;
}

export interface MountSpec {
  source: string;
  target: string;
  fstype?: string | undefined;
  /** As mount(8)'s -o. */
  options?: string | undefined;
}

export interface GuestStats {
  readonly memoryTotalKib: number;
  readonly memoryFreeKib: number;
  readonly memoryAvailableKib: number;
  /** 1, 5 and 15 minutes. */
  readonly load: readonly [number, number, number];
  readonly uptimeMs: number;
  /** All CPUs together, since boot. */
  readonly cpuBusyMs: number;
  readonly cpuIdleMs: number;
  readonly processes: number;
  /** Of the root file system. */
  readonly diskTotalKib: number;
  readonly diskFreeKib: number;
}

export interface ServiceSpec {
  argv: readonly string[];
  env?: Readonly<Record<string, string>> | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  /** Default `always`; back-off 100 ms doubling to 10 s. */
  restart?: 'always' | 'on-failure' | 'never' | undefined;
}

export interface ServiceControl {
  /** The same again changes nothing, another replaces it, null stops it. Its output goes to the port `skerry.log`. */
  set(spec: ServiceSpec | null, options?: CallOptions): Promise<void>;
  status(options?: CallOptions): Promise<ServiceStatus>;
}

export interface ServiceStatus {
  /** `running` also between an exit and its restart. */
  readonly state: 'none' | 'running' | 'exited';
  readonly pid?: number | undefined;
  /** Of the last exit. */
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
  readonly restarts: number;
}

export type AgentNotice =
  | { readonly kind: 'poweroff' | 'reboot' }
  | ({ readonly kind: 'service-exit'; readonly restarts: number; readonly willRestart: boolean } & ExitStatus);

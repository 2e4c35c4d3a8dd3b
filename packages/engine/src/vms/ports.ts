import type { Nic, NicStatus, Route, SecretUse, Vm, VmSpec } from '@skerry/api';
import type { DiskImage, LaunchDisk, LaunchKernel, LaunchTap, StateLayout, VmLaunch } from '../hypervisors/index.ts';
import type { GuestSecrets } from '../secrets/index.ts';
import type { Room } from './admission.ts';
import type { LiveVm } from './live.ts';

/** What the VM controller needs of other concerns, so that it can be read, and tested, without them. */

/** All that a VM boots from. */
export interface BootFiles {
  readonly kernel: LaunchKernel;
  readonly kernelMinMemoryMib: number;
  readonly image: {
    readonly digest: string;
    readonly disk: LaunchDisk;
    readonly virtualSizeBytes: number;
    /** Of what is in the image; its kernel may need more. */
    readonly minMemoryMib: number;
    readonly env: Readonly<Record<string, string>>;
    readonly command: readonly string[] | undefined;
  };
}

export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((message: string, fraction?: number) => void) | undefined;
  /** Of a fork: it has its identity and its network, and its processes stand still until this has resolved. */
  readonly beforeThaw?: (() => Promise<void>) | undefined;
  /** Memory that is promised already to those who are started by this. */
  readonly room?: Room | undefined;
  /** Of several forks: where their memory is, loaded once for all of them. */
  readonly keeperPath?: string | undefined;
}

export interface VmImages {
  /**
   * Kernel and image of a VM, made first if they are built in (`micro`) and not there.
   * @param digest of the image that its disk was made from; the newest of that name when undefined
   * @throws SkerryError `not-found`, `unsupported`
   */
  bootFiles(
    spec: Pick<VmSpec, 'image' | 'kernel'>,
    digest: string | undefined,
    options: WorkOptions,
  ): Promise<BootFiles>;
}

export interface VmSecrets {
  /** @throws SkerryError `not-found` */
  assertThere(uses: readonly SecretUse[]): Promise<void>;
  /** Their values, for a guest that is starting. @throws SkerryError `not-found`, `invalid`, `failed` */
  open(uses: readonly SecretUse[]): Promise<GuestSecrets>;
}

/** A NIC as the guest is told of it. */
export interface VmNic {
  /** N of ethN. */
  readonly index: number;
  readonly network: string;
  readonly mac: string;
  readonly address: string;
  readonly prefixLength: number;
  /** In a /64. */
  readonly address6?: string | undefined;
  readonly mtu?: number | undefined;
  /** Absent: nothing beyond its network is reached through it. */
  readonly gateway: string | undefined;
  /** By way of this NIC, beside the default one. */
  readonly routes: readonly Route[];
  readonly dns: readonly string[];
  readonly domain: string | undefined;
  readonly socketName: string;
  /** Of a NIC on the kernel datapath. */
  readonly tap?: LaunchTap | undefined;
}

export interface NicPlace {
  readonly vmId: string;
  /** N of ethN. */
  readonly index: number;
}

export interface VmNetworks {
  /** Whether a VM can have these. @throws SkerryError `not-found` (network), `invalid` (a route), `unsupported` */
  check(spec: Pick<VmSpec, 'nics' | 'routes'>): Promise<void>;
  /**
   * Fixes MACs and addresses of a VM that is about to be made; who asks next finds them given out, unless `write` fails.
   * @param write puts them into the store
   * @throws SkerryError `not-found` (network), `in-use` (address), `no-space`
   */
  allocate<T>(nics: readonly Nic[], write: (allocated: NicStatus[]) => Promise<T>): Promise<T>;
  /**
   * One more for a VM that is there; who asks next finds it given out.
   * @param write puts it into the VM's status
   * @param instead of this one, whose address and MAC it may keep
   * @throws SkerryError `not-found` (network), `in-use` (address, MAC), `invalid` (address), `no-space`
   */
  allocateMore<T>(nic: Nic, write: (allocated: NicStatus) => Promise<T>, instead?: Pick<NicStatus, 'mac'>): Promise<T>;
  /**
   * Whether NIC `index` of a running VM can be on this network: a bridge gets a tap to whatever is behind the device, but the
   * switch needs a socket, which a device that was started with a tap has not.
   * @throws SkerryError `unsupported`
   */
  assertHot(nic: Pick<Nic, 'network'>, runtimeDir: string, index: number): Promise<void>;
  nicsOf(vm: Vm): Promise<VmNic[]>;
  /**
   * Until when the cable of a NIC is out, whatever is asked of the NIC itself: because of faults, and for what has the other end
   * of its link. Milliseconds since 1970; Infinity: until that is changed; 0: it is not.
   */
  cableOutUntilMs(vmId: string, index: number): Promise<number>;
  /** The NIC that has the other end of the link that this one is on. */
  otherEnd(vmId: string, index: number): Promise<NicPlace | undefined>;
  /** Plugs its NICs into the switch; done once frames can pass. */
  attach(vm: Vm, runtimeDir: string): Promise<void>;
  detach(vmId: string): Promise<void>;
  /** What names the VM, such as rules, goes on meaning it. */
  renamed(before: string, after: string): Promise<void>;
}

/** What a VM starts as, as far as it decides which template it can be a clone of. */
export interface TemplateWant {
  readonly launch: VmLaunch;
  /** Virtual size of each disk. */
  readonly diskBytes: readonly number[];
  /** Its name. */
  readonly image: string;
  /** Of a VM whose disk nobody has written to: what is under it. */
  readonly root?: { readonly digest: string; readonly disk: DiskImage } | undefined;
}

/** A VM's start from a template, or why there is none. */
export type CloneChoice =
  | {
      readonly launch: VmLaunch;
      readonly templateId: string;
      /** The guest has its root disk mounted: its disk has to lie on this layer. */
      readonly layerPath?: string | undefined;
    }
  | { readonly coldReason: string };

export interface VmTemplates {
  /**
   * How a VM starts soonest, or why it has to boot; makes the template if there is none.
   * @throws SkerryError `cancelled`
   */
  choose(want: TemplateWant, signal: AbortSignal | undefined): Promise<CloneChoice>;
  /** A clone of it did not come up. */
  distrust(id: string, why: string): Promise<void>;
}

/** Memory and devices, as a machine has written them. */
export interface SavedState {
  readonly statePath: string;
  readonly layout: StateLayout;
  /** Virtual size of its disk. */
  readonly diskBytes: number;
}

export interface VmSharedStates {
  /**
   * Loads a state once for several machines, which share that memory. It may be disposed of when they have taken it over.
   * @param name 12 characters of its own
   * @throws SkerryError what the start of a machine throws; nothing is left of it
   */
  load(
    name: string,
    launch: VmLaunch,
    state: SavedState,
    signal: AbortSignal | undefined,
  ): Promise<AsyncDisposable & { readonly keeperPath: string }>;
}

/** A clone that has waited, paused, and is a VM's from now on. */
export interface PoolMember {
  /** What its NIC is called, of the guest as of the VM. */
  readonly mac: string;
  readonly templateId: string;
  readonly live: LiveVm;
  /** Its process has ended: what it had written goes, and its directories are empty. */
  giveUp(why: string): Promise<void>;
}

export interface VmPools {
  /**
   * A member for a VM that is about to be made and started, if one fits. The VM gets its id, and with it its directories
   * and its disk, and has to ask for its MAC.
   */
  take(spec: VmSpec, boot: BootFiles): Promise<{ readonly id: string; readonly mac: string } | undefined>;
  /** What was taken under the VM's id, once, if it still is what the VM is to be; its process and user are the VM's then. */
  claim(vm: Vm, boot: BootFiles): Promise<PoolMember | undefined>;
  /** Ends what was taken under this id and not claimed; its directories go as well. */
  drop(id: string): Promise<void>;
  /** No member is made while a start is under way, which needs the processors. */
  holdOff(): Disposable;
}

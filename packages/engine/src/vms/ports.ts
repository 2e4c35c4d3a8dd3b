import type { Nic, Vm, VmSpec } from '@skerry/api';
import type { DiskImage, LaunchDisk, LaunchKernel, VmLaunch } from '../hypervisors/index.ts';
import type { Room } from './admission.ts';
import type { LiveVm } from './live.ts';

/** What the VM controller needs of other concerns, so that it can be read, and tested, without them. */

/** All that a VM boots from. */
export interface BootFiles {
  readonly kernel: LaunchKernel;
  readonly image: {
    readonly digest: string;
    readonly disk: LaunchDisk;
    readonly virtualSizeBytes: number;
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

/** A NIC as the guest is told of it. */
export interface VmNic {
  readonly network: string;
  readonly mac: string;
  readonly address: string;
  readonly prefixLength: number;
  /** Absent: nothing beyond its network is reached through it. */
  readonly gateway: string | undefined;
  readonly dns: readonly string[];
  readonly domain: string | undefined;
  readonly socketName: string;
}

export interface VmNetworks {
  /** Fixes MACs and addresses for ever. @throws SkerryError `not-found` (network), `in-use` (address), `no-space` */
  allocate(name: string, nics: readonly Nic[]): Promise<Array<{ network: string; mac: string; address: string }>>;
  nicsOf(vm: Vm): Promise<VmNic[]>;
  /** Plugs its NICs into the switch; done once frames can pass. */
  attach(vm: Vm, runtimeDir: string): Promise<void>;
  detach(vmId: string): Promise<void>;
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

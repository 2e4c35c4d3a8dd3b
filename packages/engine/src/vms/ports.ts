import type { Nic, Vm, VmSpec } from '@skerry/api';
import type { LaunchDisk, LaunchKernel, VmLaunch } from '../hypervisors/index.ts';

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

export interface VmTemplates {
  /**
   * How a VM starts soonest, or why it has to boot; makes the template if there is none.
   * @param diskBytes virtual size of each disk
   * @throws SkerryError `cancelled`
   */
  choose(
    launch: VmLaunch,
    diskBytes: readonly number[],
    image: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly launch: VmLaunch; readonly templateId: string } | { readonly coldReason: string }>;
  /** A clone of it did not come up. */
  distrust(id: string, why: string): Promise<void>;
}

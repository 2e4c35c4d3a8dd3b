import { Shares, SkerryError, type Share, type ShareInfo, type Vm, type VmSpec, type VmStatus } from '@skerry/api';
import type { Resources } from '../store/index.ts';
import type { VmController } from './controller.ts';
import { unmountShares } from './guest-shares.ts';
import type { VmImages, WorkOptions } from './ports.ts';
import type { ShareDirectories } from './share-directories.ts';
import { shareInfos } from './share-plan.ts';

/** What can be asked about a VM's shared directories. */

export interface ShareServicePorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly controller: VmController;
  readonly images: VmImages;
  readonly directories: ShareDirectories;
}

export class ShareService {
  readonly #ports: ShareServicePorts;

  constructor(ports: ShareServicePorts) {
    this.#ports = ports;
  }

  async list(vmId: string): Promise<ShareInfo[]> {
    const vm = (await this.#ports.vms.get(vmId)) as Vm;
    return shareInfos(vm.spec, vm.status);
  }

  /**
   * From its next start on: the machine that runs can be given no device more.
   * @throws SkerryError `refused`, `not-found`, `invalid` (the place in the guest is taken), `wrong-state` (suspended), ...
   */
  async add(vmId: string, share: Share, work: WorkOptions): Promise<ShareInfo[]> {
    const { vms, images, directories } = this.#ports;
    const before = (await vms.get(vmId)) as Vm;
    assertNotSuspended(before);
    const boot = await images.bootFiles(before.spec, before.status.imageDigest, work);
    await directories.check({ ...before.spec, shares: withShare(before.spec, share) }, boot);
    const { spec, status } = await vms.update(vmId, (vm) => {
      assertNotSuspended({ ...vm, name: before.name });
      return { spec: { ...vm.spec, shares: withShare(vm.spec, share) } };
    });
    return shareInfos(spec, status);
  }

  /**
   * A running VM has it unmounted, unless a process is in it.
   * @throws SkerryError `not-found`, `wrong-state` (suspended)
   */
  async remove(vmId: string, guestPath: string): Promise<ShareInfo[]> {
    const { vms, controller } = this.#ports;
    const vm = (await vms.get(vmId)) as Vm;
    assertNotSuspended(vm);
    await vms.update(vmId, ({ spec: { shares, ...spec } }) => {
      const left = shares?.filter((share) => share.guestPath !== guestPath) ?? [];
      if (left.length === (shares?.length ?? 0)) throw notShared(vm, guestPath);
      return { spec: left.length === 0 ? spec : { ...spec, shares: left } };
    });
    // In turn with what needs the VM as it is: its memory may be being written.
    await controller.exclusively(vmId, async ({ name, status }, live) => {
      const has = status.shares?.find((share) => share.guestPath === guestPath && share.mounted);
      if (has === undefined || live === undefined || status.state !== 'running') return;
      const unmounted = await unmountShares(await live.agentSoon(), name, [has]).then(
        () => true,
        () => false,
      );
      if (!unmounted) return;
      await vms.update(vmId, (now) => ({
        status: {
          ...now.status,
          shares: (now.status.shares ?? []).map((each) =>
            each.guestPath === guestPath ? { ...each, mounted: false } : each,
          ),
        },
      }));
    });
    return this.list(vmId);
  }
}

/** @throws SkerryError `invalid` */
function withShare({ shares = [] }: Pick<VmSpec, 'shares'>, share: Share): Share[] {
  const all = Shares.safeParse([...shares, share]);
  if (all.success) return all.data;
  throw new SkerryError('invalid', all.error.issues[0]?.message ?? 'These shares do not go together', {
    remedy: 'Choose another place in the guest, or remove the share that is there: see `skerry share list`.',
    cause: all.error,
  });
}

function assertNotSuspended({ name, status }: Pick<Vm, 'name' | 'status'>): void {
  if (status.state !== 'suspended') return;
  throw new SkerryError('wrong-state', `${name} is suspended: its memory belongs to the shares that it has`, {
    remedy: `Start it first: \`skerry start ${name}\`.`,
  });
}

function notShared({ name, spec }: Vm, guestPath: string): SkerryError {
  const places = spec.shares?.map((share) => share.guestPath) ?? [];
  return new SkerryError('not-found', `${name} has no share at ${guestPath}`, {
    remedy: places.length === 0 ? 'It has none: see `skerry share list`.' : `Name one of ${places.join(', ')}.`,
    details: { guestPath },
  });
}

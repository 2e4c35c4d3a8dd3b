import {
  assertUdpPortFree,
  hostEnds,
  networkForwards,
  newUdpEnds,
  type ForwardService,
  type PortForward,
  type Resources,
} from '@skerry/engine';
import { SkerryError, type Forward, type Network, type Vm, type VmSpec, type VmStatus } from '@skerry/api';

/** Ports of the host follow the VMs that they lead into: whatever changed their state, and whoever. */

export interface VmForwardPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly networks: () => Promise<readonly Network[]>;
  readonly forwarding: ForwardService;
  readonly onError: (error: SkerryError, what: string) => void;
}

export class VmForwards {
  readonly #ports: VmForwardPorts;
  readonly #following = new AbortController();

  constructor(ports: VmForwardPorts) {
    this.#ports = ports;
  }

  async sync(): Promise<void> {
    await this.#ports.forwarding.sync(await this.#wanted());
  }

  /** @param vmIds whose they are to be, instead of those they have now @throws SkerryError `in-use`: a host port is taken */
  async assertFree(forwards: readonly Forward[], vmIds: readonly string[]): Promise<void> {
    const others = await this.#wanted(new Set(vmIds));
    const asked = forwards.map((forward) => portForward(vmIds.length === 1 ? (vmIds[0] ?? '') : '', forward));
    await this.#ports.forwarding.assertPortsFree([...others, ...asked]);
  }

  /** With this network as it is to be: whether all that it asks anew can be had. @throws SkerryError `in-use` */
  async assertFreeWith(changed: Pick<Network, 'id' | 'spec'>): Promise<void> {
    const networks = await this.#ports.networks();
    const vms = (await this.#ports.vms.list()).items as readonly Vm[];
    const before = new Set(hostEnds(networks.filter(({ id }) => id === changed.id)).map(endOf));
    const asked = hostEnds([changed]).filter((each) => !before.has(endOf(each)));
    const others = [
      ...vms.flatMap((vm) => vm.spec.forwards.map((forward) => portForward(vm.id, forward))),
      ...hostEnds(networks.filter(({ id }) => id !== changed.id)),
    ];
    // Whether the others can be had is not asked now: their VMs may not run.
    const taken = asked.flatMap((each) => others.find((other) => endOf(other) === endOf(each)) ?? []);
    await this.#ports.forwarding.assertPortsFree([...taken, ...asked]);
    const isChanged = ({ id }: Pick<Network, 'id'>): boolean => id === changed.id;
    const udp = newUdpEnds(
      changed,
      networks.find(isChanged),
      networks.filter((network) => !isChanged(network)),
    );
    for (const { hostAddress, hostPort } of udp) await assertUdpPortFree(hostAddress, hostPort);
  }

  /** Until it is closed. */
  follow(): void {
    const { signal } = this.#following;
    this.#follow(signal).catch((error: unknown) => {
      if (!signal.aborted) this.#ports.onError(SkerryError.from(error), 'forwards');
    });
  }

  close(): void {
    this.#following.abort();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { vms, onError } = this.#ports;
    const { revision } = await vms.list();
    let known = '';
    for await (const _ of vms.watch({ fromRevision: revision + 1, signal })) {
      const wanted = JSON.stringify(await this.#wanted());
      if (wanted === known) continue;
      known = wanted;
      await this.sync().catch((error: unknown) => onError(SkerryError.from(error), 'forwards'));
    }
  }

  /**
   * Of the VMs that run. `about` are about to change: their own are left out, those that networks have to them are there as if
   * they ran.
   */
  async #wanted(about?: ReadonlySet<string>): Promise<PortForward[]> {
    const vms = (await this.#ports.vms.list()).items as readonly Vm[];
    const isUp = ({ status: { state } }: Vm): boolean => state === 'running' || state === 'paused';
    const own = vms
      .filter((vm) => isUp(vm) && about?.has(vm.id) !== true)
      .flatMap((vm) => vm.spec.forwards.map((forward) => portForward(vm.id, forward)));
    const served = vms.filter((vm) => isUp(vm) || about?.has(vm.id) === true);
    return [...own, ...networkForwards(await this.#ports.networks(), served)];
  }
}

function portForward(vmId: string, { hostAddress, hostPort, guestPort }: Forward): PortForward {
  return { hostAddress, hostPort, to: { vmId, port: guestPort } };
}

function endOf({ hostAddress, hostPort }: PortForward): string {
  return `${hostAddress} ${hostPort}`;
}

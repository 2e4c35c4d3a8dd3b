import { isDeepStrictEqual } from 'node:util';
import {
  SkerryError,
  type DeclaredNic,
  type Nic,
  type NicInfo,
  type NicSet,
  type NicStatus,
  type Vm,
  type VmSpec,
  type VmStatus,
} from '@skerry/api';
import type { DriverCapabilities } from '../hypervisors/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { EventLog } from '../events/index.ts';
import type { AgentClient, NicChange } from './agent/index.ts';
import { setCable, setOtherCable } from './cables.ts';
import type { VmController } from './controller.ts';
import { namesOf, nicIdentity } from './launch.ts';
import type { LiveVm } from './live.ts';
import { nicsAfter, planNics, type NicSteps } from './nic-change-plan.ts';
import {
  assertOwnNic,
  changedNic,
  deviceCount,
  nicIndexes,
  nicInfo,
  nicInfos,
  placeOf,
  spareMac,
  withChanged,
  withNic,
  withoutNic,
} from './nic-plan.ts';
import type { VmImages, VmNetworks, WorkOptions } from './ports.ts';

/**
 * NICs of VMs that are there. What runs has spare devices: a NIC that comes takes one, and one that goes leaves it behind.
 * What is begun is in the VM's status first, so that the next daemon can go on.
 */

export interface NicPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly controller: VmController;
  readonly images: VmImages;
  readonly networks: VmNetworks;
  readonly events: EventLog;
  readonly capabilities: () => DriverCapabilities;
  /** Ends what is written of a NIC that goes, and what is read of it: on a bridge its tap stays with the machine. */
  readonly endCapture: (nic: { readonly vmId: string; readonly index: number }) => Promise<void>;
}

const DISKS = 1;

export class NicService {
  readonly #ports: NicPorts;

  constructor(ports: NicPorts) {
    this.#ports = ports;
  }

  async list(vmId: string): Promise<NicInfo[]> {
    return nicInfos((await this.#ports.vms.get(vmId)) as Vm);
  }

  /**
   * @throws SkerryError `not-found` (network), `invalid` (address), `in-use` (address, MAC, number), `unsupported` (no spare
   * device), `no-space`, `wrong-state` (suspended, paused), `unavailable` (agent). Nothing has changed then
   */
  add(vmId: string, wanted: Nic, work: WorkOptions): Promise<NicInfo> {
    const { vms, networks, controller } = this.#ports;
    return controller.exclusively(vmId, async (vm, held) => {
      const live = machineOf(vm, held);
      await networks.check({ nics: [wanted] });
      const devices = live === undefined ? await this.#room(vm, work) : deviceCount(vm.status);
      const index = placeOf(vm, wanted.index, devices, live !== undefined);
      if (live !== undefined) await networks.assertHot(wanted, controller.dirs(vmId).runtimeDir, index);
      const nic = { ...wanted, index };
      const agent = await live?.agentSoon();
      const now = await networks.allocateMore(nic, async (given) => {
        const marked = live === undefined ? given : begun(given, 'add', spareMac(index));
        return (await vms.update(vmId, (current) => withNic(current, nic, marked))) as Vm;
      });
      if (live !== undefined && agent !== undefined) {
        try {
          await this.#plug(now, live, agent, index);
        } catch (error) {
          await this.#takeOut(now, live, agent, index).catch(() => undefined);
          throw error;
        }
      }
      const done = await this.#settled(vmId, index);
      this.#tell(done, `eth${index} added, on ${nic.network}`);
      return nicInfo(done, index);
    });
  }

  /**
   * Whether `add` can give it this NIC, as far as can be seen now.
   * @throws SkerryError `in-use`, `unsupported`, `wrong-state`
   */
  async assertCanAdd(vmId: string, index: number, work: WorkOptions): Promise<void> {
    const vm = (await this.#ports.vms.get(vmId)) as Vm;
    const runs = this.assertCanChange(vm);
    placeOf(vm, index, runs ? deviceCount(vm.status) : await this.#room(vm, work), runs);
  }

  /**
   * What of its NICs has to go, change and come, as far as can be seen now.
   * @param wanted from `nicsAfter`
   * @throws SkerryError `unsupported`, `wrong-state`, `not-found` (network), `invalid` (address)
   */
  async plan(vm: Vm, wanted: readonly DeclaredNic[], work: WorkOptions): Promise<NicSteps> {
    if (isDeepStrictEqual(nicsAfter(vm.spec.nics, undefined), wanted)) return { remove: [], set: [], add: [] };
    const { networks, controller } = this.#ports;
    const runs = this.assertCanChange(vm);
    const steps = planNics(vm, wanted, runs ? deviceCount(vm.status) : await this.#room(vm, work), runs);
    const changed = steps.set.map(({ index, patch }) => {
      const place = nicIndexes(vm.status.nics).indexOf(index);
      return { ...changedNic(vm.spec.nics[place] as Nic, patch), index };
    });
    const nics = [...changed, ...steps.add];
    await networks.check({ nics });
    const { runtimeDir } = controller.dirs(vm.id);
    for (const nic of runs ? nics : []) await networks.assertHot(nic, runtimeDir, nic.index);
    return steps;
  }

  /** Does what `plan` said. */
  async change(vmId: string, { remove, set, add }: NicSteps, work: WorkOptions): Promise<void> {
    for (const index of remove) await this.remove(vmId, index);
    for (const { index, patch } of set) await this.set(vmId, index, patch);
    for (const nic of add) await this.add(vmId, nic, work);
  }

  /** @returns whether it runs @throws SkerryError `wrong-state`: its guest could not be told */
  assertCanChange(vm: Vm): boolean {
    if (!this.canChange(vm)) throw notNow(vm);
    return vm.status.state === 'running';
  }

  canChange({ status: { state } }: Vm): boolean {
    return state === 'running' || isAtRest(state);
  }

  /** @throws SkerryError `not-found`, `refused` (its node declares it), and as `add` */
  async set(vmId: string, index: number, patch: NicSet): Promise<NicInfo> {
    const { vms, networks, controller } = this.#ports;
    const info = await controller.exclusively(vmId, async (vm, held) => {
      assertOwnNic(vm, index);
      const live = machineOf(vm, held);
      const agent = await live?.agentSoon();
      const place = nicIndexes(vm.status.nics).indexOf(index);
      const [before, had] = [vm.spec.nics[place] as Nic, vm.status.nics[place] as NicStatus];
      const nic = changedNic(before, patch);
      await networks.check({ nics: [nic] });
      if (live !== undefined) await networks.assertHot(nic, controller.dirs(vmId).runtimeDir, index);
      // What it was given stays, unless something else is asked for.
      const asked = { ...nic, mac: nic.mac ?? had.mac, address: patch.address ?? had.address };
      const change = (wanted: Nic, given: NicStatus, mac: string): Promise<Vm> => {
        const marked = live === undefined ? given : begun(given, 'change', mac);
        return vms.update(vmId, (current) => withChanged(current, index, wanted, marked)) as Promise<Vm>;
      };
      const now = await networks.allocateMore(asked, (given) => change(nic, given, had.mac), had);
      if (live !== undefined && agent !== undefined) {
        try {
          await this.#plug(now, live, agent, index);
        } catch (error) {
          const given = now.status.nics[place] as NicStatus;
          await this.#plug(await change(before, had, given.mac), live, agent, index).catch(() => undefined);
          await this.#settled(vmId, index);
          throw error;
        }
      }
      const done = await this.#settled(vmId, index);
      this.#tell(done, `eth${index} changed: ${Object.keys(patch).join(', ')}`);
      return nicInfo(done, index);
    });
    if (patch.link !== undefined) await setOtherCable(controller, networks, vmId, index);
    return info;
  }

  /** @throws SkerryError `not-found`, `refused` (its node declares it), `wrong-state`, `unavailable` */
  remove(vmId: string, index: number): Promise<NicInfo[]> {
    const { vms, controller } = this.#ports;
    return controller.exclusively(vmId, async (vm, held) => {
      assertOwnNic(vm, index);
      const live = machineOf(vm, held);
      const agent = await live?.agentSoon();
      const { network } = nicInfo(vm, index);
      if (live === undefined || agent === undefined) await vms.update(vmId, (now) => withoutNic(now, index));
      else await this.#takeOut(await this.#mark(vmId, index, 'remove'), live, agent, index);
      const done = (await vms.get(vmId)) as Vm;
      this.#tell(done, `eth${index} removed from ${network}`);
      return nicInfos(done);
    });
  }

  /** Goes on with what another daemon had begun. */
  async settle(vmId: string): Promise<void> {
    const { vms, controller, networks } = this.#ports;
    const { status } = (await vms.get(vmId)) as Vm;
    const unsettled = nicIndexes(status.nics).filter((_, place) => status.nics[place]?.pending !== undefined);
    if (unsettled.length === 0) return;
    await controller.exclusively(vmId, async (vm, live) => {
      for (const [place, index] of nicIndexes(vm.status.nics).entries()) {
        const pending = vm.status.nics[place]?.pending;
        if (pending === undefined) continue;
        const agent = vm.status.state === 'running' ? await live?.agentSoon() : undefined;
        if (live === undefined || agent === undefined) {
          if (pending.what === 'remove') await vms.update(vmId, (now) => withoutNic(now, index));
          else await this.#settled(vmId, index);
        } else if (pending.what === 'remove') {
          await this.#takeOut(vm, live, agent, index);
        } else {
          await this.#plug(vm, live, agent, index);
          await this.#settled(vmId, index);
        }
      }
    });
    for (const index of unsettled) await setOtherCable(controller, networks, vmId, index);
  }

  /** What runs has it as its status says, from the cable to the address. */
  async #plug(vm: Vm, live: LiveVm, agent: AgentClient, index: number): Promise<void> {
    const { networks, controller } = this.#ports;
    const place = nicIndexes(vm.status.nics).indexOf(index);
    const pending = vm.status.nics[place]?.pending;
    const attached = networks.attach(vm, controller.dirs(vm.id).runtimeDir);
    attached.catch(() => undefined);
    await setCable(live.machine, vm, index, networks);
    const nics = await networks.nicsOf(vm);
    const nic = nics[place];
    if (nic === undefined) throw new SkerryError('internal', `${vm.name} has no NIC ${index}`);
    const change: NicChange = { ...nicIdentity(nic), currentMac: pending?.mac, state: 'up' };
    await agent.changeNics([change], namesOf(vm, nics));
    await attached;
  }

  /** Its device is a spare one again. */
  async #takeOut(vm: Vm, live: LiveVm, agent: AgentClient, index: number): Promise<void> {
    const { vms, networks, controller } = this.#ports;
    const place = nicIndexes(vm.status.nics).indexOf(index);
    const { mac, pending } = vm.status.nics[place] as NicStatus;
    const left = { ...vm, ...withoutNic(vm, index) };
    await live.machine.setLink(index, false);
    await this.#ports.endCapture({ vmId: vm.id, index });
    const nics = await networks.nicsOf(left);
    const known = pending?.what === 'change' ? pending.mac : mac;
    const change: NicChange = { mac: spareMac(index), currentMac: known, addresses: [], state: 'spare' };
    await agent.changeNics([change], namesOf(left, nics));
    const now = (await vms.update(vm.id, (current) => withoutNic(current, index))) as Vm;
    if (now.status.nics.length === 0) await networks.detach(vm.id);
    else await networks.attach(now, controller.dirs(vm.id).runtimeDir);
  }

  #mark(vmId: string, index: number, what: 'remove'): Promise<Vm> {
    return this.#change(vmId, index, (nic) => begun(nic, what, nic.mac));
  }

  #settled(vmId: string, index: number): Promise<Vm> {
    return this.#change(vmId, index, ({ pending: _, ...nic }) => nic);
  }

  async #change(vmId: string, index: number, change: (nic: NicStatus) => NicStatus): Promise<Vm> {
    return (await this.#ports.vms.update(vmId, ({ status }) => {
      const indexes = nicIndexes(status.nics);
      const nics = status.nics.map((nic, place) => (indexes[place] === index ? change(nic) : nic));
      return { status: { ...status, nics } };
    })) as Vm;
  }

  /** For NICs, in the machine that it will have. */
  async #room(vm: Vm, work: WorkOptions): Promise<number> {
    const { kernel } = await this.#ports.images.bootFiles(vm.spec, vm.status.imageDigest, work);
    return this.#ports.capabilities().maxDevices[kernel.machine] - DISKS - (vm.spec.shares?.length ?? 0);
  }

  #tell(vm: Vm, what: string): void {
    void this.#ports.events.emit({ type: 'vm.nic', subject: refOf(vm), message: `${vm.name}: ${what}` });
  }
}

function begun(nic: NicStatus, what: NonNullable<NicStatus['pending']>['what'], mac: string): NicStatus {
  return { ...nic, pending: { what, mac } };
}

/** @returns undefined of one at rest @throws SkerryError `wrong-state`: its guest could not be told */
function machineOf(vm: Vm, live: LiveVm | undefined): LiveVm | undefined {
  const { state } = vm.status;
  if (isAtRest(state)) return undefined;
  if (state === 'running' && live !== undefined) return live;
  throw notNow(vm);
}

function isAtRest(state: Vm['status']['state']): boolean {
  return state === 'stopped' || state === 'crashed';
}

function notNow({ name, status: { state } }: Vm): SkerryError {
  const remedies: Partial<Record<typeof state, string>> = {
    paused: `Let it go on first: \`skerry resume ${name}\`.`,
    suspended: `Start it first: \`skerry start ${name}\`. Its memory belongs to the NICs that it has.`,
    deleting: 'Choose another VM.',
  };
  return new SkerryError('wrong-state', `${name} is ${state}: its NICs can not be changed`, {
    remedy: remedies[state] ?? `Wait until it runs: \`skerry wait ${name}\`.`,
  });
}

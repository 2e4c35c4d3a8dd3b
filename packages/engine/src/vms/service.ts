import {
  SkerryError,
  VmSpec,
  type Autostart,
  type Forward,
  type Vm,
  type VmCreate,
  type VmStatus,
  type WaitCondition,
} from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, uuidv7, type Resources } from '../store/index.ts';
import type { Admission } from './admission.ts';
import { isConnectionLost, type AgentClient } from './agent/index.ts';
import type { StopOptions } from './controller-ports.ts';
import type { VmController } from './controller.ts';
import { assertMeant } from './change-plan.ts';
import { assertDiskSize } from './disks.ts';
import { assertMemory } from './memory-need-plan.ts';
import { describeState, isAlive, newVmStatus, splitVmName } from './model.ts';
import type { VmImages, VmNetworks, VmPools, VmSecrets, WorkOptions } from './ports.ts';
import type { ShareDirectories } from './share-directories.ts';

/** What can be asked of VMs. Each verb writes the wish and waits until the controller has made it so. */

export interface VmServicePorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly controller: VmController;
  readonly events: EventLog;
  readonly images: VmImages;
  readonly networks: VmNetworks;
  readonly pools: VmPools;
  readonly admission: Admission;
  readonly shares: Pick<ShareDirectories, 'check'>;
  readonly secrets: VmSecrets;
  /** @throws SkerryError `in-use`: a host port is taken */
  readonly assertPortsFree: (forwards: readonly Forward[], vmId: string | undefined) => Promise<void>;
  /** Of a VM that is about to be deleted. @returns what takes its links away, once it is gone */
  readonly leaveLinks: (vmId: string) => Promise<() => Promise<void>>;
}

export interface NewVm {
  /** NAME or NODE/NAME */
  readonly name: string;
  readonly title?: string | undefined;
  readonly labels?: Record<string, string> | undefined;
  readonly spec: VmSpec;
  /** It is started as soon as it is there: it may be made from a pool's member. */
  readonly starts?: boolean | undefined;
}

const DEFAULT_MEMORY_MIB = 128;
const DEFAULT_NETWORK = 'default';
/** After the connection to its agent, the end of a VM's process. */
const ENDS_WITHIN_MS = 1000;
const SHOWN_ID = /^[0-9a-f]{8,12}$/;

/** From what a person asks to a whole spec. */
export function specOf(input: VmCreate): VmSpec {
  const { name: _1, title: _2, labels: _3, start: _4, ssh: _5, network, networks, ...rest } = input;
  assertOneWay(input);
  const nics = input.nics ?? (networks ?? [network ?? DEFAULT_NETWORK]).map((each) => ({ network: each }));
  const spec = VmSpec.parse({ ...rest, memoryMib: input.memoryMib ?? DEFAULT_MEMORY_MIB, nics });
  assertMeant(spec);
  return spec;
}

/** @throws SkerryError `invalid` */
function assertOneWay({ network, networks, nics }: VmCreate): void {
  if (nics === undefined || (network ?? networks) === undefined) return;
  throw new SkerryError('invalid', 'What a VM is on is said in more than one way', {
    remedy: 'Give either `networks`, or `nics`, which say more of the same.',
  });
}

export class VmService {
  readonly #ports: VmServicePorts;

  constructor(ports: VmServicePorts) {
    this.#ports = ports;
  }

  async list(): Promise<readonly Vm[]> {
    return (await this.#ports.vms.list()).items as readonly Vm[];
  }

  /** @param ref NAME, NODE/NAME, id, or the end of an id as lists show it */
  async get(ref: string): Promise<Vm> {
    return (await this.find(ref)) ?? ((await this.#ports.vms.byName(ref)) as Vm);
  }

  async find(ref: string): Promise<Vm | undefined> {
    const known = (await this.#ports.vms.find(ref)) ?? (await this.#ports.vms.findByName(ref));
    if (known !== undefined || !SHOWN_ID.test(ref)) return known as Vm | undefined;
    const matching = (await this.list()).filter((vm) => vm.id.endsWith(ref));
    return matching.length === 1 ? matching[0] : undefined;
  }

  /**
   * Makes a VM; it does not run yet, and has a disk only once it starts.
   * @throws SkerryError `conflict` (name), `not-found` (image, network, shared directory), `invalid` (too little memory), `in-use`,
   * `refused` (shared directory), `no-space` (memory of one that starts)
   */
  async create({ name, title, labels, spec, starts = false }: NewVm, work: WorkOptions): Promise<Vm> {
    const { vms, images, networks, pools, admission, assertPortsFree, events } = this.#ports;
    if ((await vms.findByName(name)) !== undefined) throw nameTaken(name);
    await assertPortsFree(spec.forwards, undefined);
    await networks.check(spec);
    await this.assertSecrets(spec);
    const boot = await images.bootFiles(spec, undefined, work);
    assertMemory(spec, boot);
    assertDiskSize(boot.image, spec.diskMib);
    await this.#ports.shares.check(spec, boot);
    await using undo = new AsyncDisposableStack();
    const member = starts ? await pools.take(spec, boot) : undefined;
    if (member !== undefined) undo.defer(() => pools.drop(member.id));
    const id = member?.id ?? uuidv7();
    if (starts) {
      // Before there is anything of it: one that does not fit leaves no trace.
      await admission.admit(id, spec, work);
      undo.defer(() => admission.release(id));
    }
    const wanted = member === undefined ? spec.nics : spec.nics.map((nic) => ({ ...nic, mac: nic.mac ?? member.mac }));
    const vm = (await networks.allocate(wanted, (nics) =>
      vms.create({ id, name, title, labels, spec, status: newVmStatus(nics, boot.image.digest) }),
    )) as Vm;
    // Its disk is made at its first start, when it is known what lies under it.
    undo.move();
    void events.emit({ type: 'vm.created', subject: refOf(vm), message: `${name} created from ${spec.image}` });
    return vm;
  }

  /** @param discardMemory of one that is suspended: it boots */
  async start(id: string, work: WorkOptions, options: { readonly discardMemory?: boolean } = {}): Promise<Vm> {
    if (options.discardMemory === true) await this.#ports.controller.discardMemory(id);
    const vm = await this.#wish(id, (spec) => ({ ...spec, power: 'running' }), { changeStatus: byUser });
    if (vm.status.state !== 'running') await this.#ports.assertPortsFree(vm.spec.forwards, vm.id);
    return this.#ports.controller.converge(id, work);
  }

  async stop(id: string, work: WorkOptions, stop: StopOptions = {}): Promise<Vm> {
    await this.#wish(
      id,
      (spec, { state }) => {
        if (state === 'suspended') throw isSuspended(id);
        return { ...spec, power: 'stopped' };
      },
      { changeStatus: byUser },
    );
    return this.#ports.controller.converge(id, work, stop);
  }

  async restart(id: string, work: WorkOptions): Promise<Vm> {
    await this.#wish(
      id,
      (spec, status) => {
        if (status.state === 'suspended') throw isSuspended(id);
        return { ...spec, power: 'running', restarts: Math.max(spec.restarts, status.restarts) + 1 };
      },
      { changeStatus: byUser },
    );
    return this.#ports.controller.converge(id, work);
  }

  async pause(id: string, work: WorkOptions): Promise<Vm> {
    await this.#wish(id, (spec, status) => {
      if (!isAlive(status.state)) throw notRunning(id, 'paused');
      return { ...spec, power: 'paused' };
    });
    return this.#ports.controller.converge(id, work);
  }

  /** @throws SkerryError `wrong-state`, `no-space`, ...; it runs on then */
  async suspend(id: string, work: WorkOptions): Promise<Vm> {
    await this.#wish(id, (spec, status) => {
      if (!isAlive(status.state) && status.state !== 'suspended') throw notRunning(id, 'suspended');
      return { ...spec, power: 'suspended' };
    });
    return this.#ports.controller.converge(id, work);
  }

  async resume(id: string, work: WorkOptions): Promise<Vm> {
    await this.#wish(id, (spec, status) => {
      if (!isAlive(status.state)) throw notRunning(id, 'resumed');
      return { ...spec, power: 'running' };
    });
    return this.#ports.controller.converge(id, work);
  }

  /** Does not wait for what else goes on with it. */
  async kill(id: string, work: WorkOptions): Promise<Vm> {
    await this.#wish(
      id,
      (spec, { state }) => {
        if (state === 'suspended') throw isSuspended(id);
        return { ...spec, power: 'stopped' };
      },
      { changeStatus: byUser },
    );
    await this.#ports.controller.kill(id);
    return this.#ports.controller.converge(id, work, { timeoutMs: 0 });
  }

  /** @throws SkerryError `wrong-state` (it runs), `refused` (it is protected); with `force` neither */
  async delete(id: string, { force }: { force: boolean }, work: WorkOptions): Promise<void> {
    await this.#ports.vms.update(id, ({ spec, status, name }) => {
      if (spec.protected === true && !force && status.state !== 'deleting') throw isProtected(name);
      const stopped = status.state === 'stopped' || status.state === 'crashed' || status.state === 'deleting';
      if (!stopped && !force) {
        throw new SkerryError('wrong-state', `${name} is ${status.state}`, {
          remedy: `Stop it first (\`skerry stop ${name}\`), or delete it as it is with --force.`,
        });
      }
      return { spec: { ...spec, power: 'stopped' }, status: { ...status, state: 'deleting' } };
    });
    const takeLinksAway = await this.#ports.leaveLinks(id);
    await this.#ports.controller.kill(id);
    await this.#ports.controller.converge(id, work).catch((error: unknown) => {
      // A step of its own that was under way, such as a start by its restart policy, may have seen the wish first.
      if (SkerryError.from(error).code !== 'not-found') throw error;
    });
    await takeLinksAway();
  }

  /** Makes it what it is wanted to be already. */
  async converge(id: string, work: WorkOptions): Promise<Vm> {
    return this.#ports.controller.converge(id, work);
  }

  /** Whether it runs again after a restart of the host. @throws SkerryError `unsupported` of a VM of a node */
  async setAutostart(id: string, autostart: Autostart): Promise<Vm> {
    const { name } = await this.get(id);
    const { node } = splitVmName(name);
    if (node === undefined) return this.#wish(id, (spec) => ({ ...spec, autostart }));
    throw new SkerryError('unsupported', `${name} comes back with its node, in the order of its dependencies`, {
      remedy: `Say it of the node: \`skerry autostart ${node} ${autostart}\`.`,
    });
  }

  /** @throws SkerryError `not-found`: a secret that it names is not there */
  async assertSecrets({ secrets = [] }: Pick<VmSpec, 'secrets'>): Promise<void> {
    await this.#ports.secrets.assertThere(secrets);
  }

  /** Changes what is asked of it; what its running process can't take up is said by the caller. */
  async setSpec(
    id: string,
    change: (spec: VmSpec) => VmSpec,
    header: Partial<Pick<Vm, 'title' | 'labels'>> = {},
  ): Promise<Vm> {
    return this.#wish(id, change, { header });
  }

  /**
   * @param work its progress is what the health check says meanwhile
   * @throws SkerryError `timeout`, `wrong-state` (it can't become so any more)
   */
  async wait(id: string, condition: WaitCondition, timeoutMs: number, work: WorkOptions = {}): Promise<Vm> {
    const { signal } = work;
    const deadline = AbortSignal.timeout(timeoutMs);
    const stop = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const { vms } = this.#ports;
    let vm = await this.get(id);
    if (isMet(vm, condition)) return vm;
    let told: string | undefined;
    const tell = ({ healthMessage }: VmStatus): void => {
      if (healthMessage !== undefined && healthMessage !== told) work.onProgress?.((told = healthMessage));
    };
    tell(vm.status);
    try {
      for await (const event of vms.watch({ fromRevision: vm.revision + 1, signal: stop })) {
        if (event.id !== id) continue;
        if (event.type === 'delete')
          throw new SkerryError('not-found', `${vm.name} was deleted meanwhile`, { remedy: 'See `skerry list`.' });
        vm = event.resource as Vm;
        if (isMet(vm, condition)) return vm;
        tell(vm.status);
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    }
    if (!deadline.aborted) throw new SkerryError('cancelled', 'Cancelled');
    const health = vm.status.healthMessage === undefined ? '' : ` (${vm.status.healthMessage})`;
    throw new SkerryError(
      'timeout',
      `${vm.name} is not ${describeCondition(condition)} after ${timeoutMs} ms: it is ${describeState(vm)}, health ${vm.status.health}${health}`,
      {
        remedy: `See \`skerry info ${vm.name}\` and \`skerry logs ${vm.name}\`, or give a longer --timeout.`,
      },
    );
  }

  /** @throws SkerryError `wrong-state`, `unavailable` */
  async agent(ref: string): Promise<AgentClient> {
    const vm = await this.get(ref);
    const live = this.#ports.controller.live(vm.id);
    if (live === undefined || vm.status.state !== 'running') {
      throw new SkerryError('wrong-state', `${vm.name} is ${describeState(vm)}, not running`, {
        remedy:
          vm.status.state === 'paused' ? `Type \`skerry resume ${vm.name}\`.` : `Type \`skerry start ${vm.name}\`.`,
      });
    }
    return live.agentSoon();
  }

  /** What broke an exchange with a guest: that its VM has ended, if it has, says more than that the connection is gone. */
  async whyLost(ref: string, error: unknown): Promise<unknown> {
    const vm = isConnectionLost(error) ? await this.find(ref) : undefined;
    if (vm === undefined) return error;
    const live = this.#ports.controller.live(vm.id);
    const soon = new Promise<undefined>((resolve) => setTimeout(resolve, ENDS_WITHIN_MS, undefined).unref());
    const exit = live === undefined ? vm.status.exit : await Promise.race([live.machine.exited, soon]);
    if (exit === undefined) return error;
    return new SkerryError('unavailable', `${vm.name} has ended meanwhile: ${exit.reason}`, {
      remedy: `See \`skerry info ${vm.name}\`; \`skerry start ${vm.name}\` starts it again.`,
      cause: error,
    });
  }

  async #wish(
    id: string,
    change: (spec: VmSpec, status: VmStatus) => VmSpec,
    {
      changeStatus = (status) => status,
      header = {},
    }: {
      readonly changeStatus?: (status: VmStatus) => VmStatus;
      readonly header?: Partial<Pick<Vm, 'title' | 'labels'>>;
    } = {},
  ): Promise<Vm> {
    return (await this.#ports.vms.update(id, ({ spec, status, name }) => {
      if (status.state === 'deleting')
        throw new SkerryError('wrong-state', `${name} is being deleted`, { remedy: 'Choose another VM.' });
      return { ...header, spec: change(spec, status), status: changeStatus(status) };
    })) as Vm;
  }
}

function isMet(vm: Vm, condition: WaitCondition): boolean {
  const { state, agent, health } = vm.status;
  if (condition === 'stopped') return (state === 'stopped' || state === 'crashed') && vm.spec.power === 'stopped';
  if (state !== 'running') return false;
  if (condition === 'agent') return agent?.connected === true;
  return vm.spec.health === undefined ? agent?.connected === true : health === 'healthy';
}

/** Whoever asks for it by himself begins anew: what its restart policy had in mind is over. */
function byUser({ recovery: _, ...status }: VmStatus): VmStatus {
  return status;
}

function describeCondition(condition: WaitCondition): string {
  return condition === 'agent' ? 'answering' : condition;
}

function notRunning(id: string, what: string): SkerryError {
  return new SkerryError('wrong-state', `A VM that does not run can not be ${what}`, {
    remedy: 'Start it first: `skerry start`.',
    details: { id },
  });
}

function isSuspended(id: string): SkerryError {
  return new SkerryError('wrong-state', 'It is suspended: it has no process to stop, and memory that would be lost', {
    remedy: 'Start it (`skerry start`), or start it without its memory (`--discard-memory`), then stop it.',
    details: { id },
  });
}

function nameTaken(name: string): SkerryError {
  return new SkerryError('conflict', `There is a VM '${name}' already`, {
    remedy: `Choose another name, or delete it: \`skerry delete ${name}\`.`,
  });
}

function isProtected(name: string): SkerryError {
  return new SkerryError('refused', `${name} is protected: it is not to be deleted`, {
    remedy: `Type \`skerry set ${name} --no-protect\` first, or delete it all the same with --force.`,
  });
}

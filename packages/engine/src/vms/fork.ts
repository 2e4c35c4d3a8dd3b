import { rm } from 'node:fs/promises';
import { Name, SkerryError, type Vm, type VmFork, type VmSpec, type VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { Admission } from './admission.ts';
import { wholeAsk } from './admission-plan.ts';
import type { VmController } from './controller.ts';
import { cutTogether } from './cut.ts';
import { diskLayers, diskSizeBytes, startChain } from './disks.ts';
import { vmLaunch, type HostProfile } from './launch.ts';
import type { LiveVm } from './live.ts';
import { layoutOf, removeMemory, savedMemory, statePath } from './memory.ts';
import { newVmStatus, shapeOf, shortId } from './model.ts';
import type { VmImages, VmNetworks, VmSharedStates, WorkOptions } from './ports.ts';
import { asItWas, launchOf } from './resume.ts';
import type { VmService } from './service.ts';

/** Copies of a running VM: its memory and disk as of one instant, each with an identity of its own. */

export interface ForkPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly service: VmService;
  readonly controller: VmController;
  readonly images: VmImages;
  readonly networks: VmNetworks;
  readonly admission: Admission;
  readonly host: () => Promise<HostProfile>;
  readonly sharedStates: VmSharedStates;
  readonly events: EventLog;
}

/** As many start at once: each needs a processor for a while. */
const STARTS_AT_ONCE = 4;

/** Loading it once takes a process and its end more: for so many it is no more work than loading it for each. */
const SHARED_FROM = 4;

export class ForkService {
  readonly #ports: ForkPorts;

  constructor(ports: ForkPorts) {
    this.#ports = ports;
  }

  /**
   * The original stands still only while its memory is written; when this throws, it runs on and no fork is left.
   * @throws SkerryError `wrong-state` (it does not run), `conflict` (name), `unavailable` (agent), `no-space` (disk, or memory)
   */
  async fork(vmId: string, wanted: VmFork, work: WorkOptions): Promise<Vm[]> {
    const { admission, events, service, vms } = this.#ports;
    const original = await service.get(vmId);
    if (original.status.state !== 'running') throw notRunning(original);
    const names = forkNames(wanted);
    for (const name of names) {
      if ((await vms.findByName(name)) === undefined) continue;
      throw new SkerryError('conflict', `There is a VM '${name}' already`, { remedy: 'Choose another name.' });
    }
    // Each takes up to all of the original's memory: what is not shared with a template any more is copied.
    using room = await admission.reserve(names.map(() => wholeAsk(shapeOf(original).memoryMib)));
    await using undo = new AsyncDisposableStack();
    const forks: Vm[] = [];
    for (const name of names) {
      const fork = await this.#declare(original, name);
      undo.defer(() => this.#takeBack(fork));
      forks.push(fork);
    }
    work.onProgress?.('cutting memory and disk');
    const { pausedMs } = await this.#cut(original, forks, work.signal);
    void events.emit({
      type: 'vm.forked',
      subject: refOf(original),
      message: `${original.name} forked into ${names.join(', ')}; it stood still for ${Math.round(pausedMs)} ms`,
      data: { forks: names, pausedMs },
    });
    await using shared = await this.#loadOnce(forks, work);
    const started = await this.#startAll(forks, { ...work, room, keeperPath: shared?.keeperPath });
    undo.move();
    return started;
  }

  /** As if it were being deleted: a daemon that dies before the cut is done takes it away. */
  async #declare(original: Vm, name: string): Promise<Vm> {
    const { vms, networks } = this.#ports;
    const nics = original.spec.nics.map(({ mac: _1, address: _2, ...nic }) => nic);
    // The host's ports are the original's.
    const spec = {
      ...original.spec,
      ...shapeOf(original),
      protected: false,
      nics,
      forwards: [],
      power: 'suspended' as const,
      restarts: 0,
    };
    return (await networks.allocate(nics, (allocated) => {
      const status = newVmStatus(allocated, original.status.imageDigest ?? '');
      return vms.create({ name, labels: original.labels, spec, status: { ...status, state: 'deleting' } });
    })) as Vm;
  }

  /** In turn with all else that is done with the original: it can neither be deleted nor forked meanwhile. */
  async #cut(original: Vm, forks: readonly Vm[], signal: AbortSignal | undefined): Promise<{ pausedMs: number }> {
    const { controller, vms } = this.#ports;
    return controller.exclusively(original.id, async (vm, live) => {
      if (live === undefined || vm.status.state !== 'running') throw notRunning(vm);
      const pausedMs = await this.#cutLive(vm, live, forks, signal);
      for (const fork of forks) {
        await vms.update(fork.id, ({ status }) => ({
          status: { ...status, state: 'suspended', suspendedAt: new Date().toISOString() },
        }));
      }
      return { pausedMs };
    });
  }

  async #cutLive(vm: Vm, live: LiveVm, forks: readonly Vm[], signal: AbortSignal | undefined): Promise<number> {
    const { controller, images } = this.#ports;
    const { image } = await images.bootFiles(vm.spec, vm.status.imageDigest, { signal });
    const sizeBytes = diskSizeBytes(image, vm.spec.diskMib);
    const to = forks.map((fork) => controller.dirs(fork.id).dir);
    const member = { vm, live, dir: controller.dirs(vm.id).dir, sizeBytes, to };
    const { pausedMs, copies } = await cutTogether([member], { isFork: true, durable: false, signal });
    for (const [index, each] of to.entries()) await startChain(each, copies[0]?.layers[index] ?? [], sizeBytes, signal);
    return pausedMs;
  }

  /** The memory that all of them go on from; undefined: each loads it by itself. */
  async #loadOnce(
    forks: readonly Vm[],
    { signal, onProgress }: WorkOptions,
  ): Promise<(AsyncDisposable & { readonly keeperPath: string }) | undefined> {
    const { controller, images, networks, vms, host, sharedStates } = this.#ports;
    if (forks.length < SHARED_FROM) return undefined;
    const vm = (await vms.get(forks[0]?.id ?? '')) as Vm;
    const dirs = controller.dirs(vm.id);
    const memory = await savedMemory(dirs.dir);
    // What gives memory back to the host would make holes in what others share; shared directories would be devices more.
    if (memory === undefined || memory.reclaimsMemory || (memory.shares ?? []).length > 0) return undefined;
    try {
      const boot = await images.bootFiles(vm.spec, vm.status.imageDigest, { signal });
      const nobody = { ...(await host()), uid: undefined };
      const layers = await diskLayers(dirs.dir);
      const cold = vmLaunch(asItWas(vm), boot, await networks.nicsOf(vm), nobody, dirs, layers);
      const diskBytes = diskSizeBytes(boot.image, vm.spec.diskMib);
      const state = { statePath: statePath(dirs.dir), layout: layoutOf(memory), diskBytes };
      return await sharedStates.load(shortId(vm.id), launchOf(memory, cold), state, signal);
    } catch (error) {
      const problem = SkerryError.from(error);
      if (problem.code === 'cancelled') throw problem;
      onProgress?.(`each loads its memory by itself: ${problem.message}`);
      return undefined;
    }
  }

  async #startAll(forks: readonly Vm[], work: WorkOptions): Promise<Vm[]> {
    const started: Vm[] = [];
    const waiting = [...forks.entries()];
    const failed = new AbortController();
    const signal = work.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, work.signal]);
    const worker = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, fork] = next;
        work.onProgress?.(`starting ${fork.name}`);
        started[index] = await this.#ports.service.start(fork.id, { ...work, signal });
      }
    };
    const workers = Array.from({ length: STARTS_AT_ONCE }, worker);
    for (const each of workers) each.catch((error: unknown) => failed.abort(error));
    const problem = (await Promise.allSettled(workers)).find((result) => result.status === 'rejected');
    if (problem !== undefined) throw failed.signal.reason ?? problem.reason;
    return started;
  }

  async #takeBack(fork: Vm): Promise<void> {
    const { service, controller, vms } = this.#ports;
    if ((await vms.find(fork.id)) === undefined) return;
    await removeMemory(controller.dirs(fork.id).dir);
    await service.delete(fork.id, { force: true }, {});
    await rm(controller.dirs(fork.id).dir, { recursive: true, force: true });
  }
}

function forkNames({ name, count }: VmFork): string[] {
  if (count === 1) return [name];
  return Array.from({ length: count }, (_, index) => {
    const each = Name.safeParse(`${name}-${index + 1}`);
    if (each.success) return each.data;
    throw new SkerryError('invalid', `'${name}-${index + 1}' is too long for a name`, {
      remedy: 'Choose a shorter name for the forks.',
    });
  });
}

function notRunning({ name, status: { state } }: Vm): SkerryError {
  const remedies: Partial<Record<typeof state, string>> = {
    paused: `Let it go on first: \`skerry resume ${name}\`.`,
    starting: `Wait until it runs: \`skerry wait ${name}\`.`,
    deleting: 'Choose another VM.',
  };
  return new SkerryError('wrong-state', `${name} is ${state}, not running: only a running VM can be forked`, {
    remedy: remedies[state] ?? `Start it first: \`skerry start ${name}\`.`,
  });
}

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type Vm, type VmExit, type VmStatus } from '@skerry/api';
import type { Machine, MachineExit } from '../hypervisors/index.ts';
import { refOf } from '../store/index.ts';
import { memoryAsk } from './admission-plan.ts';
import { comeUp } from './come-up.ts';
import type { ControllerPorts, StopOptions } from './controller-ports.ts';
import { Endings } from './endings.ts';
import { exitOf, farewellOnConsole, lostExit, type Farewell } from './exits.ts';
import { AgentFollower, setStatus } from './follow.ts';
import { KeyedQueue } from './keyed-queue.ts';
import type { LaunchDirs } from './launch.ts';
import { LiveVm, type CommandEnd, type LiveVmOptions } from './live.ts';
import { keepLogsShort } from './logs.ts';
import { removeMemory, savedMemory, usedMemory } from './memory.ts';
import { isAlive, isAtRest, nextStep, runningStatus, shapeOf, shortId, suspendedStatus } from './model.ts';
import type { WorkOptions } from './ports.ts';
import { endOfCommand, startedBy, stopGraceMs } from './restart-plan.ts';
import { saveMemory } from './resume.ts';
import { uidOf } from './uids.ts';
import { Waterfall } from './waterfall.ts';

/** Makes each VM what its spec says. First start, a verb, and a restart of the daemon all come through `converge`. */

export class VmController {
  readonly #ports: ControllerPorts;
  readonly #queue = new KeyedQueue();
  readonly #live = new Map<string, LiveVm>();
  /** VMs that are being ended by us: how. */
  readonly #ending = new Map<string, 'stop' | 'kill'>();
  readonly #stopCutting: () => void;
  readonly #follower: AgentFollower;
  readonly #endings: Endings;
  #isClosed = false;

  constructor(ports: ControllerPorts) {
    this.#ports = ports;
    this.#follower = new AgentFollower(
      ports,
      (id, live) => !this.#isClosed && this.#live.get(id) === live && live.machine.state() !== 'ended',
      (id) => this.#ending.has(id),
      (id, live, end) => void this.#commandEnded(id, live, end),
    );
    this.#endings = new Endings({ ...ports, onDue: (vm) => void this.#convergeAlone(vm) });
    this.#stopCutting = keepLogsShort(() => this.#live.values(), ports.onError);
  }

  live(id: string): LiveVm | undefined {
    return this.#live.get(id);
  }

  /** Of a process that shall be held as this VM's. */
  liveOptions(id: string): LiveVmOptions {
    return this.#follower.optionsFor(id);
  }

  dirs(id: string): LaunchDirs {
    return { dir: join(this.#ports.dataDir, 'vms', id), runtimeDir: join(this.#ports.runtimeDir, 'v', shortId(id)) };
  }

  /** Goes step by step until the VM is as wanted. @throws what the step that failed threw; its wish is then taken back */
  converge(id: string, work: WorkOptions = {}, stop: StopOptions = {}): Promise<Vm> {
    return this.#queue.run(id, async () => {
      for (;;) {
        const vm = (await this.#ports.vms.get(id)) as Vm;
        const step = nextStep(vm.spec, vm.status);
        if (step === 'none') return vm;
        if (step === 'delete') {
          await this.#delete(vm);
          return vm;
        }
        if (step === 'start') await this.#start(vm, work);
        else if (step === 'stop') await this.#stop(vm, stop);
        else if (step === 'suspend') await this.#suspend(vm, work);
        else await this.#pauseOrResume(vm, step);
      }
    });
  }

  /** What needs a VM as it is for a while, in turn with everything else that is done with it. */
  exclusively<T>(id: string, body: (vm: Vm, live: LiveVm | undefined) => Promise<T>): Promise<T> {
    return this.#queue.run(id, async () => {
      // One that waits to become this VM has its disk open.
      await this.#ports.pools.drop(id);
      return body((await this.#ports.vms.get(id)) as Vm, this.#live.get(id));
    });
  }

  /** Gives up the memory of one that is suspended; its disk stays as it is, as after a power cut. */
  async discardMemory(id: string): Promise<void> {
    await this.#queue.run(id, async () => {
      await this.#setStatus(id, ({ suspendedAt: _, ...status }) =>
        status.state === 'suspended' ? { ...status, state: 'stopped' } : status,
      );
      if (this.#live.get(id) === undefined) await removeMemory(this.dirs(id).dir);
    });
  }

  /** Powers off at once, in the middle of whatever else is done with it. */
  async kill(id: string): Promise<void> {
    const live = this.#live.get(id);
    if (live === undefined) return;
    this.#ending.set(id, 'kill');
    await live.machine.kill();
  }

  /**
   * Finds what an earlier daemon started. Its wish for a VM that has ended meanwhile has ended, too, unless its host has
   * restarted, or its restart policy says otherwise.
   */
  async adopt(vm: Vm, hasRebooted: boolean): Promise<'adopted' | 'ended' | 'absent'> {
    return this.#queue.run(vm.id, async () => {
      const { dir, runtimeDir } = this.dirs(vm.id);
      const nics = await this.#ports.networks.nicsOf(vm);
      const found = await this.#ports.driver.adopt({ id: vm.id, dir, runtimeDir, nics });
      if (found.state === 'alive') return (await this.#adoptAlive(vm, found.machine)) ? 'adopted' : 'absent';
      const { state } = vm.status;
      const farewell = await farewellOnConsole(join(dir, 'console.log'));
      // What its guest ended by itself before has nothing to do with it.
      if (hasRebooted && !(isAlive(state) && farewell === 'poweroff')) {
        const hasMemory = (await savedMemory(dir)) !== undefined;
        return (await this.#endings.hostRestarted(vm, hasMemory)) ? 'ended' : 'absent';
      }
      if (isAtRest(state)) this.#endings.watch(vm);
      if (state === 'deleting' || isAtRest(state)) return 'absent';
      if (state === 'starting') {
        // Its start was cut off, and what is recorded there may be the end of the run before: begin it again.
        await this.#notStarted(vm.id);
        return 'absent';
      }
      // A daemon that died while it ended the VM: the wish was written first.
      const wanted = state === 'stopping' ? 'stop' : vm.spec.power === 'stopped' ? 'kill' : undefined;
      await this.#ended(vm, exitOf(found.state === 'ended' ? found.exit : lostExit(), farewell, wanted), farewell);
      return 'ended';
    });
  }

  /** Lets go of every VM; they go on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopCutting();
    this.#endings.close();
    for (const live of this.#live.values()) live.detach();
    this.#live.clear();
    await Promise.race([this.#queue.idle(), new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  }

  async #start(vm: Vm, work: WorkOptions): Promise<void> {
    const { admission, events, images, host, pools, uids } = this.#ports;
    using _busy = pools.holdOff();
    const waterfall = new Waterfall();
    const dirs = this.dirs(vm.id);
    // Not awaited: a daemon that dies now finds the process by its directory, whatever the status says.
    const marked = this.#setStatus(vm.id, ({ message: _, ...status }) => ({
      ...status,
      state: 'starting',
      restarts: vm.spec.restarts,
    }));
    marked.catch(() => undefined);
    let uid: number | undefined;
    try {
      const files = Promise.all([images.bootFiles(vm.spec, vm.status.imageDigest, work), host()]);
      files.catch(() => undefined);
      await admission.admit(vm.id, memoryAsk(vm), work);
      await Promise.all([dirs.dir, dirs.runtimeDir].map((dir) => mkdir(dir, { recursive: true, mode: 0o700 })));
      const [boot, profile] = await files;
      // A resume that was cut off when the guest had begun to run.
      const begun = this.#live.get(vm.id);
      const member = begun === undefined ? await pools.claim(vm, boot) : undefined;
      const found = begun ?? member?.live;
      uid = found === undefined ? uids.claim(profile) : found.uid;
      const input = { vm, boot, host: { ...profile, uid }, dirs, waterfall };
      this.#live.delete(vm.id);
      const left = { begun, member, marked };
      const { live, report } = await comeUp(this.#ports, input, left, this.liveOptions(vm.id), work);
      await marked;
      admission.settle(vm.id);
      this.#hold(vm, live);
      await this.#setStatus(vm.id, (status) => ({
        ...runningStatus(vm.spec, status, live.facts, 'running'),
        imageDigest: boot.image.digest,
        start: { ...report, ...shapeOf(vm), ...(vm.spec.health && { awaitsHealth: true }) },
      }));
      // Only now: until the store has it running, what is left of the memory tells the next daemon that it goes on.
      await removeMemory(dirs.dir);
      live.watchHealth(vm.spec.health);
      void events.emit({
        type: 'vm.started',
        subject: refOf(vm),
        message: `${vm.name} started in ${Math.round(report.totalMs)} ms${startedBy(vm.status)}`,
        data: { start: report },
      });
    } catch (error) {
      const problem = SkerryError.from(error);
      await marked.catch(() => undefined);
      await pools.drop(vm.id);
      this.#letGo(vm.id, uid);
      await this.#notStarted(vm.id, `it did not start: ${problem.message}`);
      void events.emit({
        type: 'vm.start-failed',
        subject: refOf(vm),
        message: `${vm.name} did not start: ${problem.message}`,
      });
      throw problem;
    }
  }

  async #stop(vm: Vm, { timeoutMs = stopGraceMs(vm.spec) }: StopOptions): Promise<void> {
    const live = this.#live.get(vm.id);
    if (live === undefined) {
      // Nothing of it runs: the status is what a daemon that died left.
      await this.#setStatus(vm.id, (status) => ({ ...status, state: 'stopped', health: 'none' }));
      return;
    }
    await this.#setStatus(vm.id, (status) => ({ ...status, state: 'stopping' }));
    if (this.#ending.get(vm.id) !== 'kill') this.#ending.set(vm.id, timeoutMs === 0 ? 'kill' : 'stop');
    if (timeoutMs > 0 && !(await live.shutDown(timeoutMs))) this.#ending.set(vm.id, 'kill');
    const exit = await live.machine.kill();
    await this.#release(vm, live, exit);
  }

  /** Its memory goes to disk, then its process ends. */
  async #suspend(vm: Vm, { signal }: WorkOptions): Promise<void> {
    const live = this.#live.get(vm.id);
    if (live === undefined) throw new SkerryError('internal', `${vm.name} runs, and nobody holds it`);
    const { dir } = this.dirs(vm.id);
    live.watchHealth(undefined);
    try {
      await saveMemory(vm, live, dir, signal);
    } catch (error) {
      await this.#ports.vms.update(vm.id, ({ spec, status }) => ({
        spec: { ...spec, power: status.state === 'paused' ? 'paused' : 'running' },
      }));
      live.watchHealth(vm.spec.health);
      throw error;
    }
    // From here on the memory on disk counts: a daemon that dies now finds a VM that is suspended.
    await this.#setStatus(vm.id, (status) => suspendedStatus(status));
    this.#live.delete(vm.id);
    await live.machine.kill();
    live.detach();
    this.#letGo(vm.id, live.uid);
    await this.#ports.networks.detach(vm.id);
    void this.#ports.events.emit({ type: 'vm.suspended', subject: refOf(vm), message: `${vm.name} suspended` });
  }

  async #pauseOrResume(vm: Vm, step: 'pause' | 'resume'): Promise<void> {
    const live = this.#live.get(vm.id);
    if (live === undefined) throw new SkerryError('internal', `${vm.name} runs, and nobody holds it`);
    await (step === 'pause' ? live.machine.pause() : live.machine.resume());
    await this.#setStatus(vm.id, (status) => ({ ...status, state: step === 'pause' ? 'paused' : 'running' }));
    if (step === 'pause') live.watchHealth(undefined);
    else live.watchHealth(vm.spec.health);
    const type = step === 'pause' ? 'vm.paused' : 'vm.resumed';
    void this.#ports.events.emit({ type, subject: refOf(vm), message: `${vm.name} ${step}d` });
  }

  async #delete(vm: Vm): Promise<void> {
    const live = this.#live.get(vm.id);
    if (live !== undefined) {
      this.#ending.set(vm.id, 'kill');
      const exit = await live.machine.kill();
      await this.#release(vm, live, exit);
    }
    await this.#ports.pools.drop(vm.id);
    this.#letGo(vm.id, undefined);
    const { dir, runtimeDir } = this.dirs(vm.id);
    await this.#ports.networks.detach(vm.id);
    for (const each of [runtimeDir, dir]) await rm(each, { recursive: true, force: true });
    // Last: as long as the resource is there, a daemon that died in between takes it up again.
    await this.#ports.vms.delete(vm.id);
    void this.#ports.events.emit({ type: 'vm.deleted', subject: refOf(vm), message: `${vm.name} deleted` });
  }

  /** @param problem absent: its start was only cut off */
  async #notStarted(id: string, problem?: string): Promise<void> {
    const hasMemory = (await savedMemory(this.dirs(id).dir).catch(() => undefined)) !== undefined;
    await this.#endings.notStarted(id, hasMemory, problem);
  }

  /** @returns false if it was not worth keeping */
  async #adoptAlive(vm: Vm, machine: Machine): Promise<boolean> {
    const { state } = vm.status;
    const { dir } = this.dirs(vm.id);
    const resumed = state === 'starting' && (await usedMemory(dir)) !== undefined;
    const uid = resumed ? await uidOf(machine.pid) : vm.status.process?.uid;
    const live = new LiveVm(machine, uid, this.liveOptions(vm.id));
    if (!isAlive(state) && state !== 'stopping' && state !== 'deleting' && !resumed) {
      // Its start was cut off before the guest had its identity, perhaps before the store had the word 'starting':
      // begin it again, on the same disk. Or its memory is saved, and only its process was left to end.
      await machine.kill();
      await this.#notStarted(vm.id);
      return false;
    }
    this.#ports.uids.adopt(live.uid);
    this.#ports.admission.adopt(vm.id, shapeOf(vm));
    this.#hold(vm, live);
    if (state === 'deleting') return true;
    // It is not itself yet: `converge` has to finish that.
    if (resumed) return false;
    if (isAlive(state)) await this.#giveUpCut(vm, machine);
    await this.#setStatus(vm.id, (status) =>
      runningStatus(vm.spec, status, live.facts, machine.state() === 'paused' ? 'paused' : 'running'),
    );
    // Not awaited: a guest that is paused or hangs shall not keep the others waiting.
    void this.#follower.reconnect(vm.id, live);
    return true;
  }

  /** A daemon that died while it wrote the VM's memory left it paused; whether it is to be written again is decided anew. */
  async #giveUpCut({ id, spec }: Vm, machine: Machine): Promise<void> {
    await removeMemory(this.dirs(id).dir);
    if (machine.state() === 'paused' && spec.power !== 'paused') await machine.resume();
  }

  /** Its process has ended: user and memory are free. */
  #letGo(id: string, uid: number | undefined): void {
    this.#ports.uids.release(uid);
    this.#ports.admission.release(id);
  }

  /** From here on the end of its process is noticed. */
  #hold(vm: Vm, live: LiveVm): void {
    this.#live.set(vm.id, live);
    void live.machine.exited.then((exit) => {
      if (this.#isClosed) return;
      this.#queue
        .run(vm.id, () => this.#release(vm, live, exit))
        .catch((error: unknown) => {
          this.#ports.onError(SkerryError.from(error), `end of ${vm.name}`);
        });
    });
  }

  /** Once per process: whoever comes first, the verb that ended it or the watch. */
  async #release(vm: Vm, live: LiveVm, exit: MachineExit): Promise<void> {
    if (this.#live.get(vm.id) !== live) return;
    this.#live.delete(vm.id);
    this.#letGo(vm.id, live.uid);
    const wanted = this.#ending.get(vm.id);
    this.#ending.delete(vm.id);
    live.detach();
    const farewell = live.farewell ?? (await farewellOnConsole(live.machine.files.console));
    await this.#ended(vm, exitOf(exit, farewell, wanted), farewell);
  }

  async #ended(vm: Vm, exit: VmExit, farewell: Farewell): Promise<void> {
    // Outside of this queue's turn: what comes next is a step of its own.
    if (await this.#endings.record(vm, exit, farewell)) queueMicrotask(() => void this.#convergeAlone(vm));
  }

  /** What its restart policy makes the VM's own end. */
  async #commandEnded(id: string, live: LiveVm, end: CommandEnd): Promise<void> {
    await this.#queue
      .run(id, async () => {
        const vm = (await this.#ports.vms.find(id)) as Vm | undefined;
        if (vm?.status.state !== 'running' || vm.spec.power !== 'running' || this.#live.get(id) !== live) return;
        const ending = endOfCommand(vm.spec, end);
        if (ending === undefined) return;
        await this.#setStatus(id, (status) => ({ ...status, ending }));
        await this.#stop(vm, {});
      })
      .catch((error: unknown) => this.#ports.onError(SkerryError.from(error), `end of the command of ${id}`));
  }

  async #convergeAlone(vm: Vm): Promise<void> {
    try {
      await this.converge(vm.id);
    } catch (error) {
      const problem = SkerryError.from(error);
      // Whoever asked for it may have deleted it in between.
      if (problem.code !== 'not-found') this.#ports.onError(problem, vm.name);
    }
  }

  #setStatus(id: string, change: (status: VmStatus) => VmStatus): Promise<Vm | undefined> {
    return setStatus(this.#ports.vms, id, change);
  }
}

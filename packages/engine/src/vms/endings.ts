import { formatDuration, SkerryError, type Vm, type VmExit, type VmSpec, type VmStatus } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import { afterBoot } from './boot-plan.ts';
import type { Farewell } from './exits.ts';
import { setStatus } from './follow.ts';
import { endedStatus, suspendedStatus, vanishes } from './model.ts';
import type { VmNetworks } from './ports.ts';
import { afterEnd, afterFailure, isWaiting, upMs, type AfterFailure } from './restart-plan.ts';

/** Writes down how VMs ended, and what follows by their restart policy. What was decided is in the store: a daemon that
 * comes after this one goes on with it. */

export interface EndingPorts {
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly events: EventLog;
  readonly networks: Pick<VmNetworks, 'detach'>;
  /** It is time to start it: its status says so. */
  readonly onDue: (vm: Vm) => void;
  readonly onError: (error: SkerryError, what: string) => void;
}

export class Endings {
  readonly #ports: EndingPorts;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #isClosed = false;

  constructor(ports: EndingPorts) {
    this.#ports = ports;
  }

  /** Once its process is gone. @returns whether there is something to be done with it at once */
  async record(vm: Vm, seen: VmExit, farewell: Farewell): Promise<boolean> {
    await this.#ports.networks.detach(vm.id);
    let exit = seen;
    let reboots = false;
    let after: AfterFailure = { next: 'rest' };
    const now = (await this.#ports.vms.update(vm.id, ({ name, spec, status }) => {
      exit = status.ending === undefined ? seen : { ...seen, ...status.ending };
      reboots = farewell === 'reboot' && exit.kind === 'stopped';
      if (status.state === 'deleting') return { spec: { ...spec, power: 'stopped' } };
      const ended = endedStatus(status, exit);
      // One that is restarted, or reboots, is wanted as before.
      if (reboots || spec.restarts > status.restarts) return { status: ended };
      after = afterEnd(spec, status.recovery, exit, upMs(status, exit));
      if (after.next === 'again') return { status: { ...ended, recovery: after.recovery, message: exit.reason } };
      return { spec: { ...spec, power: 'stopped' }, status: given(name, ended, after, exit.reason) };
    })) as Vm;
    void this.#ports.events.emit({
      type: exit.kind === 'stopped' ? 'vm.stopped' : 'vm.crashed',
      subject: refOf(vm),
      message: `${now.name} ${exit.kind}: ${exit.reason}`,
      data: { exit },
    });
    this.#tell(now, after, exit.reason);
    const isOver = vanishes(now);
    if (isOver) await setStatus(this.#ports.vms, vm.id, (status) => ({ ...status, state: 'deleting' }));
    return reboots || isOver;
  }

  /**
   * Nothing of it runs, as its start was cut off or failed. What it is depends on whether it has memory to go on from; a
   * start by its policy that failed is followed by another.
   * @param problem absent: it is to be begun again
   */
  async notStarted(id: string, hasMemory: boolean, problem?: string): Promise<void> {
    let after: AfterFailure = { next: 'rest' };
    const now = await this.#ports.vms.update(id, ({ name, spec, status }) => {
      const rests = hasMemory ? suspendedStatus(status) : { ...status, state: 'stopped' as const };
      if (problem === undefined) return { status: rests };
      const byPolicy = status.recovery?.phase === 'starting' && spec.power !== 'stopped';
      after = byPolicy && !hasMemory ? afterFailure(spec, status.recovery, Date.now()) : { next: 'rest' };
      if (after.next === 'again')
        return { status: { ...rests, state: 'crashed', recovery: after.recovery, message: problem } };
      const power = hasMemory ? ('suspended' as const) : ('stopped' as const);
      return { spec: { ...spec, power }, status: given(name, { ...rests, message: problem }, after, problem) };
    });
    this.#tell(now as Vm, after, problem ?? '');
  }

  /** Its host has restarted, and has left nothing of it but files. @returns whether it had run */
  async hostRestarted(vm: Vm, hasMemory: boolean): Promise<boolean> {
    await this.#ports.networks.detach(vm.id);
    let ended = false;
    await this.#ports.vms.update(vm.id, ({ spec, status }) => {
      const plan = afterBoot(spec, status, hasMemory, Date.now());
      ({ ended } = plan);
      return { spec: plan.spec, status: plan.status };
    });
    if (!ended) return false;
    const message = `${vm.name} stopped: the host restarted`;
    void this.#ports.events.emit({ type: 'vm.stopped', subject: refOf(vm), message });
    return true;
  }

  /** Looks after it until it is due, if it waits for that. */
  watch(vm: Vm): void {
    clearTimeout(this.#timers.get(vm.id));
    this.#timers.delete(vm.id);
    const { dueAt } = vm.status.recovery ?? {};
    if (this.#isClosed || !isWaiting(vm.status) || dueAt === undefined) return;
    // A clock that was set back shall not make it wait for longer than it ever has to.
    const leftMs = Math.min(Math.max(0, Date.parse(dueAt) - Date.now()), 3_600_000);
    this.#timers.set(vm.id, setTimeout(() => void this.#due(vm, dueAt), leftMs).unref());
  }

  close(): void {
    this.#isClosed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  async #due(vm: Vm, dueAt: string): Promise<void> {
    this.#timers.delete(vm.id);
    try {
      const isIt = ({ recovery }: VmStatus): boolean => recovery?.phase === 'waiting' && recovery.dueAt === dueAt;
      const now = await setStatus(this.#ports.vms, vm.id, (status) => {
        if (!isIt(status) || status.recovery === undefined) return status;
        const { dueAt: _, ...recovery } = status.recovery;
        return { ...status, recovery: { ...recovery, phase: 'starting' } };
      });
      // Whoever started, stopped or deleted it meanwhile has taken the record away.
      if (now?.status.recovery?.phase === 'starting' && !this.#isClosed) this.#ports.onDue(now);
    } catch (error) {
      this.#ports.onError(SkerryError.from(error), `restart of ${vm.name}`);
    }
  }

  #tell(vm: Vm, after: AfterFailure, reason: string): void {
    if (after.next === 'rest') return;
    this.watch(vm);
    const again = after.next === 'again';
    const what = again
      ? `restarts in ${formatDuration(after.delayMs)} (try ${after.recovery.tries})`
      : `is left stopped: ${after.why}`;
    void this.#ports.events.emit({
      type: again ? 'vm.restart-due' : 'vm.restart-given-up',
      subject: refOf(vm),
      message: `${vm.name} ${what}; ${reason}`,
      data: again ? { recovery: after.recovery, reason } : { why: after.why, reason },
    });
  }
}

/** With what to do about it, if its policy has nothing left to try. */
function given(name: string, status: VmStatus, after: AfterFailure, reason: string): VmStatus {
  const { recovery: _, ...rest } = status;
  if (after.next !== 'given-up') return rest;
  const remedy = `see \`skerry logs ${name}\` and \`skerry events\`, then \`skerry start ${name}\``;
  return { ...rest, message: `${reason}; left stopped, for ${after.why}: ${remedy}` };
}

import { randomInt } from 'node:crypto';
import { SkerryError, type Fault, type FaultKind, type FaultStart, type ResourceRef } from '@skerry/api';
import { refOf, uuidv7 } from '../store/index.ts';
import { KeyedQueue } from '../vms/index.ts';
import { disk } from './disk.ts';
import * as guest from './guest.ts';
import { freeze } from './freeze.ts';
import { machineAct } from './machine-act.ts';
import { nicAct } from './nic.ts';
import { partitionAct } from './partition.ts';
import {
  describeFault,
  describeStart,
  endedFault,
  endsAtMs,
  faultName,
  faultsOf,
  forgotten,
  newFaultStatus,
} from './plan.ts';
import type { FaultAct, FaultPorts } from './ports.ts';

/**
 * Faults as resources. Each has an end that holds without us (a lease beside QEMU, a timer of the agent's, a time that the
 * switch was told); ours comes on top: it looks whether the fault has gone, and says so.
 */

/** Longer timers overflow; they are looked at again. */
const MAX_TIMER_MS = 3_600_000;
/** Who sees to its end shall come first. */
const AFTER_MS = 30;

export class FaultService {
  readonly #ports: FaultPorts;
  readonly #acts: Partial<Record<FaultKind, FaultAct>>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** One change after the other for each VM: what is done to it is looked at before there is more. */
  readonly #queue = new KeyedQueue();
  readonly #closing = new AbortController();

  constructor(ports: FaultPorts) {
    this.#ports = ports;
    this.#acts = {
      crash: machineAct(ports, guest.crash),
      freeze: machineAct(ports, freeze),
      cpu: machineAct(ports, guest.cpu),
      memory: machineAct(ports, guest.memory),
      clock: machineAct(ports, guest.clock),
      'disk-error': machineAct(ports, disk),
      'disk-latency': machineAct(ports, disk),
      impair: nicAct(ports),
      'link-down': nicAct(ports),
      partition: partitionAct(ports),
    };
  }

  async list({ all }: { readonly all: boolean }): Promise<Fault[]> {
    const faults = (await this.#ports.faults.list()).items as readonly Fault[];
    return faults.filter(({ status }) => all || status.state === 'active');
  }

  /** @param ref name or id. @throws SkerryError `not-found` */
  async get(ref: string): Promise<Fault> {
    const { faults } = this.#ports;
    return ((await faults.find(ref)) ?? (await faults.byName(ref))) as Fault;
  }

  /**
   * Resolves once it is so.
   * @throws SkerryError `invalid`, `not-found`, `wrong-state`, `in-use`, `unsupported`, ...: nothing has changed then
   */
  async start(wanted: FaultStart): Promise<Fault> {
    const act = this.#act(wanted.spec.kind);
    endsAtMs(wanted, Date.now());
    const { vms } = await act.plan(wanted.spec, await this.list({ all: false }));
    return this.#queue.run(vms[0] ?? '', async () => {
      const { faults } = this.#ports;
      const { spec, subject, ...of } = await act.plan(wanted.spec, await this.list({ all: false }));
      const id = uuidv7();
      // Before anything is done: a daemon that dies over it leaves the next one something to end.
      const fault = (await faults.create({
        id,
        name: faultName(spec.kind, id),
        spec,
        status: { ...newFaultStatus(wanted, spec, Date.now(), randomInt(2 ** 32)), ...of },
      })) as Fault;
      let found: Awaited<ReturnType<FaultAct['begin']>>;
      try {
        found = await act.begin(fault);
      } catch (error) {
        await act.end(fault).catch((problem: unknown) => this.#tell(problem, fault));
        await faults.delete(id);
        throw error;
      }
      const begun = (await faults.update(id, ({ status }) => ({ status: { ...status, ...found } }))) as Fault;
      this.#emit('fault.started', begun, subject, describeStart(begun.spec, begun.status));
      // It is over as soon as it has happened.
      if (spec.kind === 'crash') return this.#finish(begun, undefined, found.message);
      await this.#mark(begun);
      this.#watch(begun);
      await this.#forget();
      return begun;
    });
  }

  /**
   * Ends them before their time.
   * @param of a fault, a VM or a node; undefined: all of them
   * @throws SkerryError `not-found`: there is nothing of that name
   */
  async clear(of: string | undefined): Promise<Fault[]> {
    const active = await this.list({ all: false });
    const cleared = faultsOf(active, of, of === undefined ? [] : await this.#vmsOf(of, active));
    const ended: Fault[] = [];
    for (const fault of cleared) ended.push(await this.#end(fault, 'it was cleared'));
    return ended;
  }

  /** After a restart of the daemon, once the VMs are found: what is over is ended, the rest goes on. */
  async recover(): Promise<void> {
    const over: Fault[] = [];
    for (const fault of await this.list({ all: false })) {
      const goesOn = !isDue(fault) && (await this.#takenUp(fault));
      if (goesOn) this.#watch(fault);
      else over.push(fault);
    }
    // Not waited for: its guest may take its time to answer a new daemon.
    for (const fault of over) {
      void this.#endAlone(fault, isDue(fault) ? undefined : 'it was over when the daemon came back');
    }
    void this.#followDeletes();
  }

  /** They go on, and end, without us. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#queue.idle();
  }

  async #takenUp(fault: Fault): Promise<boolean> {
    try {
      return (await this.#acts[fault.spec.kind]?.takeUp(fault)) ?? false;
    } catch (error) {
      this.#tell(error, fault);
      return true;
    }
  }

  /** What is done to a VM ends with it. */
  async #followDeletes(): Promise<void> {
    try {
      for await (const id of this.#ports.deletedVms(this.#closing.signal)) {
        const lost = (await this.list({ all: false })).filter(({ status }) => status.vms.includes(id));
        // A partition goes on among those that are left.
        for (const fault of lost)
          if (fault.spec.kind !== 'partition') await this.#endAlone(fault, 'its VM was deleted');
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#ports.onError(SkerryError.from(error), 'faults of deleted VMs');
    }
  }

  #watch(fault: Fault): void {
    void this.#acts[fault.spec.kind]?.over(fault)?.then((why) => this.#endAlone(fault, why));
    this.#setTimer(fault);
  }

  #setTimer(fault: Fault): void {
    const { endsAt } = fault.status;
    if (endsAt === undefined || this.#closing.signal.aborted) return;
    const leftMs = Math.max(0, Date.parse(endsAt) - Date.now()) + AFTER_MS;
    const onTime = (): void => void (isDue(fault) ? this.#endAlone(fault, undefined) : this.#setTimer(fault));
    this.#timers.set(fault.id, setTimeout(onTime, Math.min(leftMs, MAX_TIMER_MS)).unref());
  }

  async #endAlone(fault: Fault, why: string | undefined): Promise<void> {
    if (this.#closing.signal.aborted) return;
    await this.#end(fault, why).catch((error: unknown) => this.#tell(error, fault));
  }

  /** @param why undefined: its time has come */
  #end({ id, status: { vms } }: Fault, why: string | undefined): Promise<Fault> {
    return this.#queue.run(vms[0] ?? '', async () => {
      const fault = (await this.#ports.faults.get(id)) as Fault;
      if (fault.status.state !== 'active') return fault;
      try {
        await this.#acts[fault.spec.kind]?.end(fault);
      } catch (error) {
        const problem = SkerryError.from(error);
        return this.#finish(fault, `it may not have ended: ${problem.message}`, undefined);
      }
      return this.#finish(fault, undefined, why);
    });
  }

  async #finish(fault: Fault, problem: string | undefined, why: string | undefined): Promise<Fault> {
    clearTimeout(this.#timers.get(fault.id));
    this.#timers.delete(fault.id);
    const dueMs = isDue(fault) && why === undefined ? Date.parse(fault.status.endsAt ?? '') : Date.now();
    const ended = (await this.#ports.faults.update(fault.id, ({ status }) => ({
      status: endedFault(status, dueMs, problem),
    }))) as Fault;
    for (const vm of ended.status.vms) {
      await this.#ports.setVmStatus(vm, ({ faults = [], ...status }) => {
        const left = faults.filter((each) => each.fault !== ended.name);
        return left.length === 0 ? status : { ...status, faults: left };
      });
    }
    const reason = problem ?? why ?? 'its time has come';
    const text = `${describeFault(ended.spec)} ended: ${reason}`;
    this.#emit(problem === undefined ? 'fault.ended' : 'fault.failed', ended, await this.#subjectOf(ended), text);
    return ended;
  }

  async #mark({ name, spec, status: { vms, endsAt } }: Fault): Promise<void> {
    const mark = { fault: name, kind: spec.kind, ...(endsAt === undefined ? {} : { endsAt }) };
    for (const vm of vms) {
      await this.#ports.setVmStatus(vm, (status) => ({ ...status, faults: [...(status.faults ?? []), mark] }));
    }
  }

  async #forget(): Promise<void> {
    for (const { id } of forgotten(await this.list({ all: true }))) await this.#ports.faults.delete(id);
  }

  async #vmsOf(ref: string, active: readonly Fault[]): Promise<string[]> {
    const vm = await this.#ports.vms.find(ref);
    if (vm !== undefined) return [vm.id];
    const members = await this.#ports.node(ref).then(
      (found) => found.members,
      () => [],
    );
    const isFault = active.some(({ id, name }) => id === ref || name === ref);
    if (members.length > 0 || isFault) return members.map(({ id }) => id);
    // One that has ended meanwhile is no mistake.
    if (
      await this.get(ref).then(
        () => true,
        () => false,
      )
    )
      return [];
    throw new SkerryError('not-found', `There is no fault, VM or node '${ref}'`, {
      remedy: 'See `skerry fault list`.',
    });
  }

  async #subjectOf({ id, name, spec, status }: Fault): Promise<ResourceRef> {
    const own = { kind: 'fault', id, name };
    if (spec.kind === 'partition') {
      return this.#ports.node(spec.node).then(
        ({ node }) => refOf(node),
        () => own,
      );
    }
    const vm = await this.#ports.vms.find(status.vms[0] ?? '');
    return vm === undefined ? own : refOf(vm);
  }

  #act(kind: FaultKind): FaultAct {
    const act = this.#acts[kind];
    if (act !== undefined) return act;
    throw new SkerryError('unsupported', `This version has no fault of the kind ${kind} yet`, {
      remedy: `There are: ${Object.keys(this.#acts).join(', ')}.`,
    });
  }

  #emit(type: string, { id, name, spec, status }: Fault, subject: ResourceRef, message: string): void {
    const { seed, endsAt } = status;
    const data = {
      fault: { id, name, spec, ...(seed === undefined ? {} : { seed }), ...(endsAt === undefined ? {} : { endsAt }) },
    };
    void this.#ports.events.emit({ type, subject, message, data });
  }

  #tell(error: unknown, fault: Fault): void {
    this.#ports.onError(SkerryError.from(error), `fault ${fault.name}`);
  }
}

function isDue({ status: { endsAt } }: Fault): boolean {
  return endsAt !== undefined && Date.parse(endsAt) <= Date.now();
}

import { formatMib, type DoctorItem } from '@skerry/api';
import type { HostMemory } from '../hosts/index.ts';
import {
  budgetOf,
  freshOf,
  planAdmission,
  promiseOf,
  refusal,
  REMEDY,
  sum,
  takeableMib,
  type AdmissionLimits,
  type MemoryAsk,
} from './admission-plan.ts';

/** Whether VMs fit on this host, before anything of them is started. What was let in holds its promise until it ends. */

/** In between others may be sooner than who asked. */
const GIVE_WAY_TRIES = 3;

export interface AdmissionPorts extends AdmissionLimits {
  readonly memory: () => Promise<HostMemory>;
  /** Frees what only waits, as far as it takes to free so much; what is lacking then is refused. */
  readonly giveWay?: ((lackingMib: number) => Promise<void>) | undefined;
}

interface Promised {
  readonly mib: number;
  /** Goes when others need the room. */
  readonly yields: boolean;
  /** What it has still to take of the host's memory. */
  pendingMib: number;
}

export class Admission {
  readonly #ports: AdmissionPorts;
  readonly #promised = new Map<string, Promised>();
  readonly #rooms = new Set<Room>();
  /** While some end so that others have room. */
  #givingWay: Promise<void> | undefined;

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
  }

  /**
   * Room for several at once, all or none; each takes its part of it with `admit`.
   * @throws SkerryError `no-space` with details {asked, fits, promisedMib, budgetMib, availableMib}
   */
  async reserve(asks: readonly MemoryAsk[], options: { readonly yields?: boolean } = {}): Promise<Room> {
    for (let tries = 0; ;) {
      const memory = await this.#ports.memory();
      // No await from here to the end: nobody else gets what is seen to be free.
      const facts = {
        ...this.#ledger(),
        availableMib: takeableMib(memory),
        budgetMib: budgetOf(memory.totalMib, this.#ports),
      };
      const plan = planAdmission(asks, facts);
      if (plan.fits === asks.length) {
        const room = new Room(sum(asks.map(promiseOf)), sum(asks.map(freshOf)), () => this.#rooms.delete(room));
        this.#rooms.add(room);
        return room;
      }
      const { giveWay } = this.#ports;
      if (options.yields === true || giveWay === undefined) throw refusal(asks, plan, facts);
      if (this.#givingWay === undefined) {
        const waits = [...this.#promised.values()].some(({ yields }) => yields);
        if (!waits || (tries += 1) > GIVE_WAY_TRIES) throw refusal(asks, plan, facts);
        // How much of the host's memory one of them frees nobody knows.
        const lackingMib = plan.lacksMemoryMib > 0 ? Number.POSITIVE_INFINITY : plan.lacksBudgetMib;
        this.#givingWay = giveWay(lackingMib).finally(() => (this.#givingWay = undefined));
      }
      // Whoever asks while others give way sees what is free only when they have gone.
      await this.#givingWay;
    }
  }

  /**
   * Lets one in, by its part of `room` or by what is free; one that was let in stays so, and is asked only for what it
   * wants more.
   * @throws SkerryError `no-space`
   */
  async admit(
    id: string,
    ask: MemoryAsk,
    options: { readonly room?: Room | undefined; readonly yields?: boolean } = {},
  ): Promise<void> {
    const { room, yields = false } = options;
    const before = this.#promised.get(id);
    if (before !== undefined && before.mib >= promiseOf(ask)) {
      this.#promised.set(id, { ...before, mib: promiseOf(ask), yields });
      return;
    }
    const taken = room?.take(promiseOf(ask) - (before?.mib ?? 0), freshOf(ask));
    const coveredMib = (before?.mib ?? 0) + (taken?.mib ?? 0);
    if (coveredMib < promiseOf(ask)) {
      try {
        const freshMib = freshOf(ask) - (taken?.freshMib ?? 0);
        (await this.reserve([{ ...ask, freshMib, coveredMib }], { yields }))[Symbol.dispose]();
      } catch (error) {
        if (taken !== undefined) room?.giveBack(taken);
        throw error;
      }
    }
    this.#promised.set(id, { mib: promiseOf(ask), yields, pendingMib: freshOf(ask) });
  }

  /** It runs: what it needed at once it has taken. */
  settle(id: string): void {
    const promised = this.#promised.get(id);
    if (promised !== undefined) promised.pendingMib = 0;
  }

  /** One that runs already, whether it fits or not. */
  adopt(id: string, ask: MemoryAsk): void {
    this.#promised.set(id, { mib: promiseOf(ask), yields: false, pendingMib: 0 });
  }

  /** From now on it is somebody's who does not give way. */
  keep(id: string): void {
    const promised = this.#promised.get(id);
    if (promised !== undefined) this.#promised.set(id, { ...promised, yields: false });
  }

  release(id: string): void {
    this.#promised.delete(id);
  }

  async state(): Promise<{ readonly budgetMib: number; readonly promisedMib: number }> {
    const { totalMib } = await this.#ports.memory();
    return { budgetMib: budgetOf(totalMib, this.#ports), promisedMib: this.#ledger().promisedMib };
  }

  /** The doctor's line about it. */
  async doctorItem(): Promise<DoctorItem> {
    const { budgetMib, promisedMib } = await this.state();
    const fits = Math.max(0, Math.floor((budgetMib - promisedMib) / promiseOf({ memoryMib: 128 })));
    return {
      id: 'memory-budget',
      title: 'Memory for VMs',
      state: fits > 0 ? 'ok' : 'limited',
      found: `${formatMib(promisedMib)} of ${formatMib(budgetMib)} promised`,
      consequence: fits > 0 ? `${fits} more VMs of 128 MiB can be started.` : 'No more VM can be started.',
      ...(fits > 0 ? {} : { remedy: REMEDY }),
    };
  }

  #ledger(): { readonly promisedMib: number; readonly pendingMib: number } {
    const promised = [...this.#promised.values()];
    const rooms = [...this.#rooms];
    return {
      promisedMib: sum(promised.map(({ mib }) => mib)) + sum(rooms.map(({ leftMib }) => leftMib)),
      pendingMib:
        sum(promised.map(({ pendingMib }) => pendingMib)) + sum(rooms.map(({ leftFreshMib }) => leftFreshMib)),
    };
  }
}

/** Memory that was promised to some who are about to start; what they have not taken is free again when it is disposed of. */
export class Room implements Disposable {
  readonly #onDisposed: () => void;
  #isDisposed = false;
  leftMib: number;
  leftFreshMib: number;

  constructor(mib: number, freshMib: number, onDisposed: () => void) {
    this.leftMib = mib;
    this.leftFreshMib = freshMib;
    this.#onDisposed = onDisposed;
  }

  /** @returns how much of it there was */
  take(mib: number, freshMib: number): { readonly mib: number; readonly freshMib: number } {
    const taken = { mib: Math.min(mib, this.leftMib), freshMib: Math.min(freshMib, this.leftFreshMib) };
    this.leftMib -= taken.mib;
    this.leftFreshMib -= taken.freshMib;
    return taken;
  }

  giveBack({ mib, freshMib }: { readonly mib: number; readonly freshMib: number }): void {
    if (this.#isDisposed) return;
    this.leftMib += mib;
    this.leftFreshMib += freshMib;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.leftMib = 0;
    this.leftFreshMib = 0;
    this.#onDisposed();
  }
}

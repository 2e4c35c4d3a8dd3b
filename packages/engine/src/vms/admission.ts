import { formatMib, SkerryError, type DoctorItem } from '@skerry/api';
import type { HostMemory } from '../hosts/index.ts';

/** Whether VMs fit on this host, before anything of them is started. What was let in holds its promise until it ends. */

/** What QEMU takes besides its guest's memory; measured: 17 MiB private of a fresh clone, 35 of one that has worked. */
export const OVERHEAD_MIB = 40;
/** What a VM that has just come up takes of the host's memory, its process included; measured: 15 to 25 MiB. */
const FRESH_MIB = 32;
/** Of the host, for all but VMs. */
const RESERVE_SHARE = 1 / 8;
const RESERVE_MIB = 2048;
/** Clones share what they have not written to, and few VMs use all that they have. */
const OVERCOMMIT = 1.5;

export interface AdmissionLimits {
  /** By how much more may be promised than there is. Default 1.5. */
  readonly overcommit?: number | undefined;
  /** What may be promised in all, instead of what is made of the host's memory. */
  readonly budgetMib?: number | undefined;
}

/** What one VM asks for. */
export interface MemoryAsk {
  readonly memoryMib: number;
  /** What it takes at once; default: a clone's. */
  readonly freshMib?: number | undefined;
  /** Of its promise: what it has already. */
  readonly coveredMib?: number | undefined;
}

export interface AdmissionFacts {
  readonly budgetMib: number;
  readonly promisedMib: number;
  readonly availableMib: number;
  /** Of what is available: what those take soon who are starting now. */
  readonly pendingMib: number;
}

export interface AdmissionPlan {
  /** How many of them fit, the first ones. */
  readonly fits: number;
  /** By how much the promises are too many, and the memory too little. */
  readonly lacksBudgetMib: number;
  readonly lacksMemoryMib: number;
}

/** Pure. @param totalMib of the host */
export function budgetOf(totalMib: number, { overcommit = OVERCOMMIT, budgetMib }: AdmissionLimits): number {
  // Who names it means it: what he shares his machine with has its room already.
  if (budgetMib !== undefined) return budgetMib;
  const reserveMib = Math.min(RESERVE_MIB, totalMib * RESERVE_SHARE);
  return Math.floor((totalMib - reserveMib) * overcommit);
}

/** Pure. */
export function planAdmission(asks: readonly MemoryAsk[], facts: AdmissionFacts): AdmissionPlan {
  let budgetMib = facts.budgetMib - facts.promisedMib;
  let memoryMib = facts.availableMib - facts.pendingMib;
  let fits = 0;
  for (const ask of asks) {
    budgetMib -= promiseOf(ask);
    memoryMib -= freshOf(ask);
    if (budgetMib >= 0 && memoryMib >= 0) fits += 1;
  }
  return { fits, lacksBudgetMib: Math.max(0, -budgetMib), lacksMemoryMib: Math.max(0, -memoryMib) };
}

function promiseOf({ memoryMib, coveredMib = 0 }: MemoryAsk): number {
  return Math.max(0, memoryMib + OVERHEAD_MIB - coveredMib);
}

function freshOf({ memoryMib, freshMib }: MemoryAsk): number {
  return freshMib ?? Math.min(FRESH_MIB, promiseOf({ memoryMib }));
}

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

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
  }

  /**
   * Room for several at once, all or none; each takes its part of it with `admit`.
   * @throws SkerryError `no-space` with details {asked, fits, promisedMib, budgetMib, availableMib}
   */
  async reserve(asks: readonly MemoryAsk[], options: { readonly yields?: boolean } = {}): Promise<Room> {
    for (let hasGivenWay = false; ; hasGivenWay = true) {
      const memory = await this.#ports.memory();
      // No await from here to the end: nobody else gets what is seen to be free.
      const facts = {
        ...this.#ledger(),
        availableMib: memory.availableMib,
        budgetMib: budgetOf(memory.totalMib, this.#ports),
      };
      const plan = planAdmission(asks, facts);
      if (plan.fits === asks.length) {
        const room = new Room(sum(asks.map(promiseOf)), sum(asks.map(freshOf)), () => this.#rooms.delete(room));
        this.#rooms.add(room);
        return room;
      }
      const { giveWay } = this.#ports;
      const waits = [...this.#promised.values()].some(({ yields }) => yields);
      if (hasGivenWay || options.yields === true || !waits || giveWay === undefined) throw refusal(asks, plan, facts);
      // How much of the host's memory one of them frees nobody knows.
      await giveWay(plan.lacksMemoryMib > 0 ? Number.POSITIVE_INFINITY : plan.lacksBudgetMib);
    }
  }

  /** Lets one in, by its part of `room` or by what is free; one that was let in stays so. @throws SkerryError `no-space` */
  async admit(
    id: string,
    ask: MemoryAsk,
    options: { readonly room?: Room | undefined; readonly yields?: boolean } = {},
  ): Promise<void> {
    const { room, yields = false } = options;
    if (this.#promised.has(id)) {
      this.#promised.set(id, { mib: promiseOf(ask), yields, pendingMib: this.#promised.get(id)?.pendingMib ?? 0 });
      return;
    }
    const coveredMib = room?.take(promiseOf(ask), freshOf(ask)) ?? 0;
    if (coveredMib < promiseOf(ask)) {
      try {
        (await this.reserve([{ ...ask, coveredMib }], { yields }))[Symbol.dispose]();
      } catch (error) {
        room?.giveBack(coveredMib);
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
  leftMib: number;
  leftFreshMib: number;

  constructor(mib: number, freshMib: number, onDisposed: () => void) {
    this.leftMib = mib;
    this.leftFreshMib = freshMib;
    this.#onDisposed = onDisposed;
  }

  /** @returns how much of it there was */
  take(mib: number, freshMib: number): number {
    const taken = Math.min(mib, this.leftMib);
    this.leftMib -= taken;
    this.leftFreshMib = Math.max(0, this.leftFreshMib - freshMib);
    return taken;
  }

  giveBack(mib: number): void {
    this.leftMib += mib;
  }

  [Symbol.dispose](): void {
    this.leftMib = 0;
    this.leftFreshMib = 0;
    this.#onDisposed();
  }
}

const REMEDY =
  'Stop or suspend VMs (`skerry list`), give them less memory, or allow more: SKERRY_MEMORY_BUDGET or SKERRY_MEMORY_OVERCOMMIT of the daemon.';

function refusal(
  asks: readonly MemoryAsk[],
  { fits, lacksMemoryMib }: AdmissionPlan,
  facts: AdmissionFacts,
): SkerryError {
  const { budgetMib, promisedMib, availableMib } = facts;
  const sizes = [...new Set(asks.map(({ memoryMib }) => memoryMib))];
  const each = sizes.length === 1 ? ` of ${formatMib(sizes[0] ?? 0)}` : '';
  const asked = asks.length === 1 ? `A VM${each} does` : `${asks.length} VMs${each} do`;
  const why =
    lacksMemoryMib > 0
      ? `the host has ${formatMib(availableMib)} left`
      : `${formatMib(promisedMib)} of ${formatMib(budgetMib)} are promised to VMs`;
  const wouldFit = asks.length === 1 ? '' : fits === 0 ? '; none of them would' : `; ${fits} would`;
  return new SkerryError('no-space', `${asked} not fit on this host: ${why}${wouldFit}`, {
    remedy: asks.length > 1 && fits > 0 ? `Ask for ${fits} at most. ${REMEDY}` : REMEDY,
    details: { asked: asks.length, fits, promisedMib, budgetMib, availableMib },
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

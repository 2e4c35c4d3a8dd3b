import { formatMib, MIN_MEMORY_MIB, SkerryError, type Vm } from '@skerry/api';
import type { HostMemory } from '../hosts/index.ts';
import { shapeOf } from './model.ts';

/** Pure: which VMs fit on a host, and what is said of those that do not. */

/** What QEMU takes besides its guest's memory; measured: 17 MiB private of a fresh clone, 35 of one that has worked. */
export const OVERHEAD_MIB = 40;
/** What a VM that has just come up takes of the host's memory, its process included; measured: 15 to 25 MiB. */
const FRESH_MIB = 32;
/** Of the host, for all but VMs. */
const RESERVE_SHARE = 1 / 8;
const RESERVE_MIB = 2048;
/** Of what the host has left, not for VMs either: a kernel that has none ends whom it likes. */
const FLOOR_SHARE = 1 / 32;
const FLOOR_MIB = 512;
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

/** What may be promised in all. @param totalMib of the host */
export function budgetOf(totalMib: number, { overcommit = OVERCOMMIT, budgetMib }: AdmissionLimits): number {
  // Who names it means it: what he shares his machine with has its room already.
  if (budgetMib !== undefined) return budgetMib;
  const reserveMib = Math.min(RESERVE_MIB, totalMib * RESERVE_SHARE);
  return Math.floor((totalMib - reserveMib) * overcommit);
}

/** What VMs may take at once, now. */
export function takeableMib({ totalMib, availableMib }: HostMemory): number {
  return Math.max(0, Math.floor(availableMib - Math.min(FLOOR_MIB, totalMib * FLOOR_SHARE)));
}

/** What a VM asks for when it starts. */
export function memoryAsk(vm: Pick<Vm, 'spec' | 'status'>): MemoryAsk {
  const { memoryMib } = shapeOf(vm);
  // All that it had comes back from disk at once.
  return vm.status.suspendedAt === undefined ? { memoryMib } : wholeAsk(memoryMib);
}

/** Of one that takes all of its memory at once: it shares nothing with a template any more. */
export function wholeAsk(memoryMib: number): MemoryAsk {
  return { memoryMib, freshMib: memoryMib + OVERHEAD_MIB };
}

export function planAdmission(asks: readonly MemoryAsk[], facts: AdmissionFacts): AdmissionPlan {
  let budgetMib = facts.budgetMib - facts.promisedMib;
  let memoryMib = facts.availableMib - facts.pendingMib;
  let fits = 0;
  for (const ask of asks) {
    const isServed = promiseOf(ask) === 0 && freshOf(ask) === 0;
    budgetMib -= promiseOf(ask);
    memoryMib -= freshOf(ask);
    // What needs nothing fits even where more was promised than may be.
    if (isServed || (budgetMib >= 0 && memoryMib >= 0)) fits += 1;
  }
  return { fits, lacksBudgetMib: Math.max(0, -budgetMib), lacksMemoryMib: Math.max(0, -memoryMib) };
}

export function promiseOf({ memoryMib, coveredMib = 0 }: MemoryAsk): number {
  return Math.max(0, memoryMib + OVERHEAD_MIB - coveredMib);
}

export function freshOf({ memoryMib, freshMib }: MemoryAsk): number {
  return freshMib ?? Math.min(FRESH_MIB, promiseOf({ memoryMib }));
}

export const REMEDY =
  'Stop or suspend VMs (`skerry list`), give them less memory, or allow more: SKERRY_MEMORY_BUDGET or SKERRY_MEMORY_OVERCOMMIT of the daemon.';

export function refusal(
  asks: readonly MemoryAsk[],
  { fits, lacksMemoryMib }: AdmissionPlan,
  { budgetMib, promisedMib, availableMib, pendingMib }: AdmissionFacts,
): SkerryError {
  const leftMib = Math.max(0, availableMib - pendingMib);
  const sizes = [...new Set(asks.map(({ memoryMib }) => memoryMib))];
  const each = sizes.length === 1 ? ` of ${formatMib(sizes[0] ?? 0)}` : '';
  const asked = asks.length === 1 ? `A VM${each} does` : `${asks.length} VMs${each} do`;
  const why =
    lacksMemoryMib > 0
      ? `the host has ${formatMib(leftMib)} left for VMs`
      : `${formatMib(promisedMib)} of ${formatMib(budgetMib)} are promised to VMs`;
  const details = { asked: asks.length, fits, promisedMib, budgetMib, availableMib: leftMib };
  if (asks.length > 1) {
    const wouldFit = fits === 0 ? 'none of them would' : `${fits} would`;
    return new SkerryError('no-space', `${asked} not fit on this host: ${why}; ${wouldFit}`, {
      remedy: fits > 0 ? `Ask for ${fits} at most. ${REMEDY}` : REMEDY,
      details,
    });
  }
  const fitsMib = lacksMemoryMib > 0 ? 0 : Math.max(0, budgetMib - promisedMib - OVERHEAD_MIB);
  const wouldFit = fitsMib < MIN_MEMORY_MIB ? 'a smaller one would not either' : `one of ${formatMib(fitsMib)} would`;
  return new SkerryError('no-space', `${asked} not fit on this host: ${why}; ${wouldFit}`, {
    remedy: REMEDY,
    details: { ...details, fitsMib },
  });
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

import type { PoolSet, VmSpec } from '@skerry/api';
import type { BootFiles } from '../vms/index.ts';

/** Pure: who may take a member, and what has to be made or ended. */

/** Whether a VM of this spec is one that a pool may have: with nothing that a member could not be given afterwards. */
export function isPoolable({ cold, diskMib, kernel, nics, shares, type }: VmSpec): boolean {
  const isPlain = diskMib === undefined && kernel === 'auto' && (shares === undefined || shares.length === 0);
  return type === 'microvm' && !cold && isPlain && nics.length === 1 && (nics[0]?.index ?? 0) === 0;
}

/** What a member was made of: it serves VMs for which this is the same. @param templateId has QEMU, kernel and shape in it */
export function madeOf(shape: Pick<VmSpec, 'cpus' | 'memoryMib'>, boot: BootFiles, templateId: string): string {
  const { kernel, image } = boot;
  return JSON.stringify([templateId, image.digest, image.env, shape.cpus, shape.memoryMib, kernel]);
}

/** Where no member can be of use: the image is gone, or is never cloned. */
export const NOTHING = 'nothing';

export interface WantedPool extends PoolSet {
  readonly image: string;
  /** Of members that are made now; undefined: nobody knows, so none are made and none are ended. */
  readonly madeOf: string | typeof NOTHING | undefined;
  /** Not tried again yet. */
  readonly isHeldBack: boolean;
}

export interface WaitingMember {
  readonly id: string;
  readonly image: string;
  readonly madeOf: string;
}

export type PoolStep =
  | { readonly step: 'end'; readonly ids: readonly string[] }
  | { readonly step: 'make'; readonly image: string };

/** What is next; undefined when all is as wanted. @param waiting the oldest first */
export function nextPoolStep(pools: readonly WantedPool[], waiting: readonly WaitingMember[]): PoolStep | undefined {
  const ids = waiting.filter((member) => isTooMuch(member, pools, waiting)).map(({ id }) => id);
  if (ids.length > 0) return { step: 'end', ids };
  const short = pools
    .filter((pool) => !pool.isHeldBack && pool.madeOf !== undefined && pool.madeOf !== NOTHING)
    .map(({ image, size }) => ({ image, filled: waiting.filter((member) => member.image === image).length / size }))
    .filter(({ filled }) => filled < 1)
    // The emptiest first, so that none starves.
    .toSorted((a, b) => a.filled - b.filled)[0];
  return short === undefined ? undefined : { step: 'make', image: short.image };
}

function isTooMuch(
  { id, image, madeOf: was }: WaitingMember,
  pools: readonly WantedPool[],
  waiting: readonly WaitingMember[],
): boolean {
  const pool = pools.find((each) => each.image === image);
  if (pool === undefined || pool.size === 0) return true;
  if (pool.madeOf === undefined) return false;
  if (was !== pool.madeOf) return true;
  const fitting = waiting.filter((each) => each.image === image && each.madeOf === was);
  return fitting.findIndex((each) => each.id === id) >= pool.size;
}

/** Which to give up so that so much memory is free: the youngest, which nobody has waited for. */
export function giveWayIds(
  waiting: readonly { readonly id: string; readonly promisedMib: number }[],
  lackingMib: number,
): string[] {
  const ids: string[] = [];
  let freedMib = 0;
  for (const { id, promisedMib } of waiting.toReversed()) {
    if (freedMib >= lackingMib) break;
    ids.push(id);
    freedMib += promisedMib;
  }
  return ids;
}

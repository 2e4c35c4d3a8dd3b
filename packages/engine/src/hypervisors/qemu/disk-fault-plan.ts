import { SkerryError } from '@skerry/api';
import type { DiskFault } from '../contract.ts';

/** Pure: the block nodes that make disks fail or wait, and how they are taken out again. */

/** What the guest's disk hangs on now. */
export interface DiskTop {
  /** Path of the device in QEMU's object tree. */
  readonly device: string;
  readonly node: string;
  readonly sizeBytes: number;
}

export interface QmpLine {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface DiskFaultPlan {
  /** Makes the nodes; nothing uses them yet. */
  readonly make: readonly QmpLine[];
  /** Puts them between the devices and their disks. */
  readonly insert: readonly QmpLine[];
}

export const FAULT_NODE = /^fault-/;
const EIO = 5;
const BLOCK_BYTES = 4096;
/** blkdebug reads its rules in a time that grows with them: this many take QEMU 0.2 s, in which the guest stands still. */
const MAX_BAD_BLOCKS = 256;

/** @throws SkerryError `invalid`: a share of the blocks that makes too many */
export function diskFaultPlan(tops: readonly DiskTop[], fault: DiskFault): DiskFaultPlan {
  return {
    make: tops.flatMap((top, index) =>
      fault.kind === 'latency' ? lateNode(top, fault.ms) : [failingNode(top, fault, index)],
    ),
    insert: tops.map(({ device, node }) => setDrive(device, filterOf(node))),
  };
}

/**
 * Takes them out. A device is never given the node that it has: QEMU 7.2 ends by an assertion then (bdrv_replace_child_noperm
 * in block.c).
 * @param inserted devices that hang on such a node now
 */
export function diskFaultUndo(tops: readonly DiskTop[], kind: DiskFault['kind'], inserted = tops): QmpLine[] {
  return [
    ...inserted.map(({ device, node }) => setDrive(device, node)),
    ...tops.map(({ node }) => line('blockdev-del', { 'node-name': filterOf(node) })),
    ...(kind === 'latency' ? tops.map(({ node }) => line('object-del', { id: groupOf(node) })) : []),
  ];
}

export function filterOf(node: string): string {
  return `fault-${node}`;
}

/** The disk under such a node. */
export function underOf(filter: string): string {
  return filter.replace(FAULT_NODE, '');
}

/**
 * A leaky bucket (docs/throttle.txt of QEMU): requests one after the other take this long each, those at the same time one
 * after the other. It lets what comes in the first 100 ms pass, once it has rested.
 */
function lateNode({ node }: DiskTop, ms: number): QmpLine[] {
  const limits = { 'iops-total': Math.max(1, Math.round(1000 / ms)) };
  return [
    line('object-add', { 'qom-type': 'throttle-group', id: groupOf(node), limits }),
    line('blockdev-add', {
      driver: 'throttle',
      'node-name': filterOf(node),
      file: node,
      'throttle-group': groupOf(node),
    }),
  ];
}

function failingNode(
  { node, sizeBytes }: DiskTop,
  { share, seed }: Extract<DiskFault, { readonly kind: 'error' }>,
  index: number,
): QmpLine {
  const rule = { event: 'none', errno: EIO, once: false };
  const rules =
    share >= 1
      ? [rule]
      : badBlocks(Math.floor(sizeBytes / BLOCK_BYTES), share, seed + index).map((block) => ({
          ...rule,
          sector: (block * BLOCK_BYTES) / 512,
        }));
  return line('blockdev-add', {
    driver: 'blkdebug',
    'node-name': filterOf(node),
    image: node,
    'inject-error': rules,
  });
}

/** Numbers of blocks that can't be read or written: the same for the same seed. */
export function badBlocks(blocks: number, share: number, seed: number): number[] {
  const count = Math.max(1, Math.round(blocks * share));
  if (count > MAX_BAD_BLOCKS) {
    const most = Math.floor((MAX_BAD_BLOCKS / blocks) * 1e6) / 1e4;
    throw new SkerryError('invalid', `${count} of the ${blocks} blocks of the disk are too many to be told apart`, {
      remedy: `Ask for at most --amount ${most}%, or for all of them: --amount 100%.`,
    });
  }
  const random = generator(seed);
  const chosen = new Set<number>();
  while (chosen.size < Math.min(count, blocks)) chosen.add(Math.floor(random() * blocks));
  return [...chosen].toSorted((a, b) => a - b);
}

/** mulberry32: small, and the same on every machine. Numbers in [0, 1). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function setDrive(device: string, node: string): QmpLine {
  return line('qom-set', { path: device, property: 'drive', value: node });
}

function groupOf(node: string): string {
  return `fault-group-${node}`;
}

function line(execute: string, args: QmpLine['arguments']): QmpLine {
  return { execute, arguments: args };
}

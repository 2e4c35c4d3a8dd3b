import { SkerryError } from '@skerry/api';
import type { WaitOptions } from '../contract.ts';
import { handOver } from '../jail/index.ts';
import { hasDiskFault } from './disk-fault.ts';
import type { MachineParts } from './migration.ts';

/** New layers over the disks of a machine that lives: what is under them is still, and can be shared. */

const COMMAND_TIMEOUT_MS = 10_000;
/** Waits for what the guest has under way on the disk. */
const TRANSACTION_TIMEOUT_MS = 60_000;

interface Cut {
  /** The file of the new layer. */
  readonly path: string;
  /** Uppermost node of the disk, and the one that comes above it. */
  readonly top: string;
  readonly node: string;
  /** The descriptor set that the file is in. */
  readonly set: number;
}

export async function cutDisks(parts: MachineParts, layers: readonly string[], options: WaitOptions): Promise<void> {
  const cuts = await planCuts(parts, layers, options);
  try {
    const handed = cuts.map(({ set, path }) => ({ set, path, mode: 'rw' }) as const);
    await handOver(parts.jail, parts.cutPath, handed, [], { signal: options.signal });
    await addNodes(parts, cuts, options);
    await insert(parts, cuts);
  } catch (error) {
    for (const { node, set } of cuts) {
      await parts.monitor.execute('blockdev-del', { 'node-name': node }, WAIT).catch(ignore);
      await parts.monitor.execute('remove-fd', { 'fdset-id': set }, WAIT).catch(ignore);
    }
    throw error;
  }
  // The sets stay: at the next cut QEMU opens the file of what was the uppermost layer once more (file-posix.c, as its
  // rights change), and without a descriptor in its set it can't.
}

const WAIT = { timeoutMs: COMMAND_TIMEOUT_MS };
const ignore = (): void => {};

async function planCuts(
  parts: MachineParts,
  layers: readonly string[],
  { signal }: WaitOptions,
): Promise<readonly Cut[]> {
  if (await hasDiskFault(parts)) {
    // What takes it out again knows the disk that was uppermost before.
    throw new SkerryError('wrong-state', 'A fault of its disks is in the way', {
      remedy: 'Wait until it has ended, or end it: `skerry fault clear`.',
    });
  }
  const tops = await topNodes(parts, signal);
  if (tops.length !== layers.length) {
    const message = `The VM has ${tops.length} disks, and ${layers.length} layers were given for them`;
    throw new SkerryError('internal', message, { remedy: 'This is a bug in Skerry: report it with this message.' });
  }
  const sets = await parts.monitor.execute('query-fdsets', {}, { ...WAIT, signal });
  // Never one that is there: an earlier cut that failed may have left it, with another file in it.
  const firstFree = Math.max(0, ...sets.map((set) => set['fdset-id'])) + 1;
  return layers.map((path, index) => {
    const top = tops[index] as string;
    return { path, top, node: `disk${diskIndex(top)}-${generation(top) + 1}`, set: firstFree + index };
  });
}

async function addNodes({ monitor }: MachineParts, cuts: readonly Cut[], { signal }: WaitOptions): Promise<void> {
  for (const { node, set } of cuts) {
    const common = { 'read-only': false, discard: 'unmap' } as const;
    await monitor.execute(
      'blockdev-add',
      {
        driver: 'qcow2',
        'node-name': node,
        file: { driver: 'file', 'node-name': `${node}f`, filename: `/dev/fdset/${set}`, aio: 'threads', ...common },
        // Named by the snapshot below; never by what the file says.
        backing: null,
        ...common,
      },
      { ...WAIT, signal },
    );
  }
}

/** All or none; and no way back from here, so nobody can cancel it. */
async function insert(parts: MachineParts, cuts: readonly Cut[]): Promise<void> {
  const actions = cuts.map(({ top, node }) => ({
    type: 'blockdev-snapshot' as const,
    data: { node: top, overlay: node },
  }));
  try {
    await parts.monitor.execute('transaction', { actions }, { timeoutMs: TRANSACTION_TIMEOUT_MS });
  } catch (error) {
    // QEMU answers in order: what it says now is what came of it, even if its answer was late or lost.
    const tops = await topNodes(parts, undefined);
    if (!cuts.every(({ node }) => tops.includes(node))) throw error;
  }
}

/** The uppermost node of each disk: `disk0` at first, `disk0-1` after a cut. */
async function topNodes({ monitor }: MachineParts, signal: AbortSignal | undefined): Promise<string[]> {
  const blocks = await monitor.execute('query-block', {}, { ...WAIT, signal });
  return blocks
    .map(({ inserted }) => inserted?.['node-name'] ?? '')
    .filter((name) => name.startsWith('disk'))
    .toSorted((a, b) => diskIndex(a) - diskIndex(b));
}

function diskIndex(node: string): number {
  return Number(/^disk(\d+)/.exec(node)?.[1]);
}

function generation(node: string): number {
  return Number(/-(\d+)$/.exec(node)?.[1] ?? 0);
}

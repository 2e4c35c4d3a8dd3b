import { SkerryError } from '@skerry/api';
import type { WaitOptions } from '../contract.ts';
import { handOver } from '../jail/index.ts';
import type { MachineParts } from './migration.ts';

/** New layers over the disks of a machine that lives: what is under them is still, and can be shared. */

const COMMAND_TIMEOUT_MS = 10_000;
/** Far above those that the start used. */
const FIRST_SET = 1000;

export async function cutDisks(parts: MachineParts, layers: readonly string[], options: WaitOptions): Promise<void> {
  const wait = { timeoutMs: COMMAND_TIMEOUT_MS, signal: options.signal };
  const { monitor } = parts;
  const tops = await topNodes(parts, options);
  if (tops.length !== layers.length) {
    throw new SkerryError(
      'internal',
      `The VM has ${tops.length} disks, and ${layers.length} layers were given for them`,
    );
  }
  const cuts = layers.map((path, index) => ({
    path,
    top: tops[index] as string,
    set: FIRST_SET + generation(tops[index] as string) * 16 + index,
    node: `disk${index}-${generation(tops[index] as string) + 1}`,
  }));
  await handOver(
    parts.jail,
    parts.cutPath,
    cuts.map(({ set, path }) => ({ set, path, mode: 'rw' })),
    [],
    { signal: options.signal },
  );
  const added: string[] = [];
  try {
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
        wait,
      );
      added.push(node);
    }
    // All or none.
    await monitor.execute(
      'transaction',
      {
        actions: cuts.map(({ top, node }) => ({
          type: 'blockdev-snapshot' as const,
          data: { node: top, overlay: node },
        })),
      },
      wait,
    );
  } catch (error) {
    for (const node of added) {
      await monitor
        .execute('blockdev-del', { 'node-name': node }, { timeoutMs: COMMAND_TIMEOUT_MS })
        .catch(() => undefined);
    }
    throw error;
  } finally {
    // What is not in use goes at once, the rest when its node does.
    for (const { set } of cuts) {
      await monitor.execute('remove-fd', { 'fdset-id': set }, { timeoutMs: COMMAND_TIMEOUT_MS }).catch(() => undefined);
    }
  }
}

/** The uppermost node of each disk: `disk0` at first, `disk0-1` after a cut. */
async function topNodes({ monitor }: MachineParts, { signal }: WaitOptions): Promise<string[]> {
  const blocks = await monitor.execute('query-block', {}, { timeoutMs: COMMAND_TIMEOUT_MS, signal });
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

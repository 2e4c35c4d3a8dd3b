import { join } from 'node:path';
import { loadNodeFile } from '@skerry/sdk';
import { timed, type BenchCase, type BenchContext, type Row } from '../case.ts';

/** Nodes: all VMs started and healthy. */

export const fiveCold: BenchCase = {
  name: 'five-cold',
  run: async (context) => [
    { what: 'node of five VMs, cold, all healthy', unit: 'ms', values: await five(context, true), bar: { most: 2000 } },
  ],
};

export const fiveVms: BenchCase = {
  name: 'five-vms',
  run: async (context) => [
    { what: 'node of five VMs from a template', unit: 'ms', values: await five(context, false), bar: { most: 400 } },
  ],
};

async function five(context: BenchContext, cold: boolean): Promise<number[]> {
  const vm = { image: 'micro', cpus: 1, memoryMib: 128, cold, health: { kind: 'exec' as const, argv: ['true'] } };
  const vms = Object.fromEntries(Array.from({ length: 5 }, (_, index) => [`vm${index}`, vm]));
  return upAndDown(context, { name: 'five', spec: { vms, networks: { default: {} } } });
}

export const shop: BenchCase = {
  name: 'shop',
  async run(context): Promise<readonly Row[]> {
    const values = await upAndDown(context, await loadNodeFile(join(import.meta.dirname, '../../examples/shop.yaml')));
    return [{ what: 'examples/shop.yaml healthy, images built', unit: 'ms', values, bar: { most: 3000 } }];
  },
};

type Declared = Awaited<ReturnType<typeof loadNodeFile>>;

async function upAndDown(
  { client, runs, say }: BenchContext,
  declared: Pick<Declared, 'name' | 'spec'>,
): Promise<number[]> {
  const values: number[] = [];
  for (let round = -1; round < runs; round += 1) {
    const { ms } = await timed(() => client.run('node.up', { body: { name: declared.name, spec: declared.spec } }));
    say(`${declared.name} ${round + 1}/${runs}: ${Math.round(ms)} ms`);
    if (round >= 0) values.push(ms); // the first one makes images and disks
    await client.run('node.down', { params: { node: declared.name } });
  }
  await client.run('node.delete', { params: { node: declared.name } });
  return values;
}

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeSpecInput } from '@skerry/api';
import { loadNodeFile } from '@skerry/sdk';
import { finished, timed, type BenchCase, type BenchContext, type Row } from '../case.ts';
import { RawTemplate } from '../raw-clones.ts';
import { rawLaunch } from './cold-start.ts';

/** Nodes: all VMs started and healthy. */

const CHECK = { health: { kind: 'exec' as const, argv: ['true'] } };

export const fiveCold: BenchCase = {
  name: 'five-cold',
  run: async (context) => {
    const vm = { image: 'micro', cpus: 1, memoryMib: 128, cold: true, ...CHECK };
    const values = await upAndDown(context, { name: 'five', spec: fiveOf(Array.from({ length: 5 }, () => vm)) });
    return [{ what: 'node of five VMs, cold, all healthy', unit: 'ms', values, bar: { most: 2000 } }];
  },
};

/** Five new VMs of five images. Without a check a VM is as well as can be told once it has its identity. */
export const fiveVms: BenchCase = {
  name: 'five-vms',
  async run(context) {
    const images = ['micro', ...(await Promise.all([1, 2, 3, 4].map((index) => makeImage(context, index))))];
    for (const image of images) await context.client.run('template.build', { body: { image } });
    const vms = images.map((image) => ({ image, cpus: 1, memoryMib: 128 }));
    const plain = await newEachTime(context, vms);
    const checked = await newEachTime(
      context,
      vms.map((vm) => ({ ...vm, ...CHECK })),
    );
    const raw = await fiveRaw(context);
    const ratio = plain.map((ms, index) => ms / (raw[index] ?? Number.NaN));
    return [
      { what: 'node of five VMs of five images, up', unit: 'ms', values: plain, bar: { most: 400 } },
      { what: 'the same, each healthy by a command run in it', unit: 'ms', values: checked },
      { what: 'five raw QEMU clones at once, identified', unit: 'ms', values: raw },
      { what: 'node of five / five raw clones, round by round', unit: 'x', values: ratio },
    ];
  },
};

/** Of one template, where the node has five; no switch, no node, no confinement. */
async function fiveRaw(context: BenchContext): Promise<number[]> {
  const vm = await context.client.run('vm.create', { body: { name: 'raw' } });
  await context.client.run('vm.start', { params: { vm: vm.id } });
  const launch = await rawLaunch(context, vm);
  await context.client.run('vm.delete', { params: { vm: vm.id }, query: { force: true } });
  await using raw = await RawTemplate.make(launch, join('/dev/shm', `skb-${process.pid}`));
  const values: number[] = [];
  for (let round = -1; round < Math.max(20, context.runs); round += 1) {
    const { ms } = await timed(() => Promise.all([0, 1, 2, 3, 4].map((index) => raw.clone(index))));
    await raw.clear();
    if (round >= 0) values.push(ms);
  }
  return values;
}

type DeclaredVm = NodeSpecInput['vms'][string];

function fiveOf(vms: readonly DeclaredVm[]): NodeSpecInput {
  return { vms: Object.fromEntries(vms.map((vm, index) => [`vm${index}`, vm])), networks: { default: {} } };
}

async function makeImage({ host }: BenchContext, index: number): Promise<string> {
  const name = `five-${index}`;
  const file = join(host.dir, `${name}.yaml`);
  const files = `files:\n  - path: /etc/which\n    content: ${name}\n`;
  await writeFile(file, `apiVersion: skerry/v1\nkind: Image\nname: ${name}\nfrom: micro\n${files}`);
  const { exitCode, stderr } = await host.cli(['image', 'build', file]);
  if (exitCode !== 0) throw new Error(stderr);
  return name;
}

async function newEachTime({ client, runs, say }: BenchContext, vms: readonly DeclaredVm[]): Promise<number[]> {
  const values: number[] = [];
  for (let round = -1; round < Math.max(20, runs); round += 1) {
    const { ms } = await timed(() => client.run('node.up', { body: { name: 'five', spec: fiveOf(vms) } }));
    if (round >= 0) values.push(ms);
    await client.run('node.delete', { params: { node: 'five' } });
  }
  say(`five: ${Math.round(values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0)} ms`);
  return values;
}

/** `skerry up FILE` through the launcher, of a node that is up: from the call to its exit. */
export const upAgain: BenchCase = {
  name: 'up-again',
  async run({ host, client, runs }): Promise<readonly Row[]> {
    const file = join(host.dir, 'again.yaml');
    const vms = [1, 2, 3]
      .map((index) => `  vm${index}: { command: sleep 1000000, health: { exec: 'true' } }\n`)
      .join('');
    await writeFile(file, `apiVersion: skerry/v1\nname: again\ndefaults: { memory: 64Mi }\nvms:\n${vms}`);
    const skerry = join(import.meta.dirname, '../../skerry');
    const values: number[] = [];
    const floor: number[] = [];
    for (let round = -3; round < runs * 2; round += 1) {
      const { ms } = await timed(() => finished(skerry, ['up', file], host.env));
      const node = await timed(() => finished(process.execPath, ['-e', '0'], host.env));
      if (round < 0) continue; // the first one makes it, and fills the compile cache
      values.push(ms);
      floor.push(node.ms);
    }
    await client.run('node.delete', { params: { node: 'again' } });
    return [
      { what: '`skerry up` of a node that is up', unit: 'ms', values, bar: { most: 150 } },
      { what: '`node -e 0` meanwhile', unit: 'ms', values: floor },
    ];
  },
};

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

import { join } from 'node:path';
import type { Vm } from '@skerry/api';
import type { VmLaunch } from '../../packages/engine/src/hypervisors/index.ts';
import { timed, type BenchCase, type BenchContext, type Row } from '../case.ts';
import { RawTemplate } from '../raw-clones.ts';
import { rawLaunch } from './cold-start.ts';

/** Starting from memory: clones, forks, many at once, and what each takes of its host. */

const FORCE = { query: { force: true } };
const MANY = 50;
const MIB = 2 ** 20;
/** In memory, as our templates are. */
const RAW_DIR = '/dev/shm';

export const clones: BenchCase = {
  name: 'clones',
  async run(context): Promise<readonly Row[]> {
    const { client, say } = context;
    const runs = Math.max(20, context.runs);
    await client.run('template.build', { body: { image: 'micro' } });
    const start = async (vm: Vm): Promise<{ ms: number; identifiedMs: number }> => {
      const { ms, value } = await timed(() => client.run('vm.start', { params: { vm: vm.id } }));
      return { ms, identifiedMs: value.status.start?.totalMs ?? Number.NaN };
    };
    const figures = { identified: [] as number[], whole: [] as number[], again: [] as number[], raw: [] as number[] };
    const first = await client.run('vm.create', { body: { name: 'first' } });
    await using raw = await RawTemplate.make(await rawLaunch(context, first), join(RAW_DIR, `skb-${process.pid}`));
    for (let round = -1; round < runs; round += 1) {
      const vm = round < 0 ? first : await client.run('vm.create', { body: { name: `clone-${round}` } });
      const once = await start(vm);
      await client.run('vm.kill', { params: { vm: vm.id } });
      // Its disk has been written to: it has to mount it.
      const again = await start(vm);
      await client.run('vm.delete', { params: { vm: vm.id }, ...FORCE });
      const rawly = await timed(() => raw.clone(0));
      await raw.clear();
      if (round < 0) continue;
      figures.identified.push(once.identifiedMs);
      figures.whole.push(once.ms);
      figures.again.push(again.identifiedMs);
      figures.raw.push(rawly.ms);
    }
    say(`clones: ${Math.round(figures.identified.toSorted((a, b) => a - b)[runs >> 1] ?? 0)} ms`);
    const ratio = figures.identified.map((ms, index) => ms / (figures.raw[index] ?? Number.NaN));
    const vm = await client.run('vm.create', { body: { name: 'sleeper' } });
    await client.run('vm.start', { params: { vm: vm.id } });
    const suspended: number[] = [];
    const resumed: number[] = [];
    for (let round = 0; round < context.runs; round += 1) {
      suspended.push((await timed(() => client.run('vm.suspend', { params: { vm: vm.id } }))).ms);
      resumed.push((await timed(() => client.run('vm.start', { params: { vm: vm.id } }))).ms);
    }
    await client.run('vm.delete', { params: { vm: vm.id }, ...FORCE });
    return [
      { what: 'clone with disk, NIC and identity', unit: 'ms', values: figures.identified, bar: { most: 100 } },
      { what: 'the same, call to answer', unit: 'ms', values: figures.whole },
      { what: 'raw QEMU clone, same template', unit: 'ms', values: figures.raw },
      { what: 'clone / raw QEMU clone, pair by pair', unit: 'x', values: ratio },
      { what: 'clone of a VM that has run before', unit: 'ms', values: figures.again },
      { what: 'suspend, durable on disk', unit: 'ms', values: suspended },
      { what: 'start of a suspended VM', unit: 'ms', values: resumed },
    ];
  },
};

export const forks: BenchCase = {
  name: 'forks',
  async run(context): Promise<readonly Row[]> {
    const { client, runs } = context;
    await client.run('vm.create', { body: { name: 'web', start: true } });
    // Memory in use that a fork has to copy.
    await client.exec('web', 'dd if=/dev/urandom of=/dev/shm/ballast bs=1M count=16 2>/dev/null');
    const forked: number[] = [];
    for (let round = 0; round < runs; round += 1) {
      const body = { name: 'copy', count: 1 };
      forked.push((await timed(() => client.run('vm.fork', { params: { vm: 'web' }, body }))).ms);
      await client.run('vm.delete', { params: { vm: 'copy' }, ...FORCE });
    }
    const paused = await pauses(context, 'vm.forked');
    await client.run('vm.delete', { params: { vm: 'web' }, ...FORCE });

    const vm = { image: 'micro', cpus: 1, memoryMib: 128, nics: [{ network: 'inner' }] };
    const spec = { vms: { a: vm, b: vm, c: vm }, networks: { inner: {} } };
    await client.run('node.up', { body: { name: 'three', spec } });
    const nodes: number[] = [];
    for (let round = 0; round < runs; round += 1) {
      const { ms } = await timed(() => client.run('node.fork', { params: { node: 'three' }, body: { name: 'other' } }));
      nodes.push(ms);
      await client.run('node.delete', { params: { node: 'other' } });
    }
    const stood = await pauses(context, 'node.forked');
    await client.run('node.delete', { params: { node: 'three' } });
    return [
      { what: 'fork: the original stands still', unit: 'ms', values: paused, bar: { most: 200 } },
      { what: 'fork, call to answer', unit: 'ms', values: forked },
      { what: 'fork of a node of three: it stands still', unit: 'ms', values: stood },
      { what: 'fork of a node of three, call to answer', unit: 'ms', values: nodes, bar: { most: 1000 } },
    ];
  },
};

export const density: BenchCase = {
  name: 'density',
  async run(context: BenchContext): Promise<readonly Row[]> {
    const { client, say } = context;
    await client.run('template.build', { body: { image: 'micro' } });
    const first = await client.run('vm.create', { body: { name: 'first', start: true } });
    const launch = await rawLaunch(context, first);
    await client.run('vm.delete', { params: { vm: first.id }, ...FORCE });
    const names = Array.from({ length: MANY }, (_, index) => `many-${index + 1}`);
    for (const name of names) await client.run('vm.create', { body: { name } });
    let isStarting = true;
    const reads: number[] = [];
    const reading = (async () => {
      for (; isStarting; await new Promise((resolve) => setTimeout(resolve, 20)))
        reads.push((await timed(() => client.call('vm.list'))).ms);
    })();
    const { ms } = await timed(() => Promise.all(names.map((vm) => client.run('vm.start', { params: { vm } }))));
    isStarting = false;
    await reading;
    say(`density: ${MANY} VMs in ${Math.round(ms)} ms`);
    const fresh = await client.call('host.usage');
    for (const name of names) await client.exec(name, 'true');
    const worked = await client.call('host.usage');
    // What was written goes to the disks, and the kernels' timers that this has set run out.
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    const used = await client.call('host.usage');
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const later = await client.call('host.usage');
    const idle = later.vms.map((vm) => {
      const before = used.vms.find(({ id }) => id === vm.id);
      return (100 * (vm.cpuMs - (before?.cpuMs ?? 0))) / (later.atMs - used.atMs);
    });
    await Promise.all(names.map((vm) => client.run('vm.delete', { params: { vm }, ...FORCE })));
    const rawMs = await fiftyRaw(launch);
    say(`density: raw ${Math.round(rawMs)} ms`);
    return [
      { what: `${MANY} VMs at once, all identified`, unit: 'ms', values: [ms], bar: { most: 6000 } },
      { what: `${MANY} raw QEMU clones at once`, unit: 'ms', values: [rawMs] },
      { what: 'ours / raw', unit: 'x', values: [ms / rawMs], bar: { most: 1.3 } },
      { what: 'list of VMs meanwhile', unit: 'ms', values: reads, bar: { most: 100 } },
      {
        what: 'memory of each, fresh (PSS)',
        unit: 'MiB',
        values: fresh.vms.map((vm) => vm.pssBytes / MIB),
        bar: { most: 24 },
      },
      {
        what: 'memory of each after an exec (PSS)',
        unit: 'MiB',
        values: worked.vms.map((vm) => vm.pssBytes / MIB),
        bar: { most: 30 },
      },
      { what: 'each idle, of one core', unit: '%', values: idle, bar: { most: 0.25 } },
    ];
  },
};

async function fiftyRaw(launch: VmLaunch): Promise<number> {
  await using raw = await RawTemplate.make(launch, join(RAW_DIR, `skb-${process.pid}`));
  const { ms } = await timed(() => Promise.all(Array.from({ length: MANY }, (_, index) => raw.clone(index))));
  return ms;
}

/** How long originals stood still, as the events say. */
async function pauses({ client }: BenchContext, type: string): Promise<number[]> {
  const events = await client.call('event.list', { query: { limit: 10_000 } });
  return events.flatMap((event) => (event.type === type ? [Number(event.data?.['pausedMs'])] : []));
}

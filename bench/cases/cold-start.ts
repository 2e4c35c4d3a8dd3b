import { join } from 'node:path';
import type { Vm } from '@skerry/api';
import { buildInitrd, findKernel, openCatalogue, type ImagePaths } from '../../packages/engine/src/images/index.ts';
import { hostPaths, nativePath, probeHost } from '../../packages/engine/src/hosts/index.ts';
import type { VmLaunch } from '../../packages/engine/src/hypervisors/index.ts';
import { timed, type BenchCase, type BenchContext, type Row } from '../case.ts';
import { timeRawStart } from '../raw-qemu.ts';

/** A micro-VM, cold: the call until its agent answers, against QEMU alone with the same kernel and arguments. */

const NAMES_AFTER_THE_ANSWER = ['identify', 'network', 'command'];

export const coldStart: BenchCase = {
  name: 'cold-start',
  async run(context): Promise<readonly Row[]> {
    const { client, host, runs } = context;
    const vm = await client.run('vm.create', { body: { name: 'cold', cold: true } });
    const slow = await client.run('vm.create', {
      body: { name: 'slow', kernel: 'distro', memoryMib: 192, cold: true },
    });
    const launch = await rawLaunch(context, vm);
    const figures = { answer: [] as number[], whole: [] as number[], raw: [] as number[], distro: [] as number[] };
    for (let round = -1; round < runs; round += 1) {
      const ours = await startOnce(context, vm);
      const raw = await timeRawStart(launch, join(host.dir, 'raw'));
      // Slow and quiet: three are enough for a ratio of that size.
      const distro = round >= 0 && round < 3 ? (await startOnce(context, slow)).answerMs : undefined;
      context.say(`cold-start ${round + 1}/${runs}: ${Math.round(ours.answerMs)} ms, raw ${Math.round(raw)} ms`);
      if (round < 0) continue; // warms caches
      figures.answer.push(ours.answerMs);
      figures.whole.push(ours.wholeMs);
      figures.raw.push(raw);
      if (distro !== undefined) figures.distro.push(distro);
    }
    for (const { id } of [vm, slow]) await client.run('vm.delete', { params: { vm: id }, query: { force: true } });
    const ratio = figures.answer.map((ms, index) => ms / (figures.raw[index] ?? Number.NaN));
    return [
      { what: "cold start: call to the agent's answer", unit: 'ms', values: figures.answer, bar: { most: 700 } },
      { what: 'raw QEMU, same kernel and arguments', unit: 'ms', values: figures.raw },
      { what: 'cold start / raw QEMU, pair by pair', unit: 'x', values: ratio, bar: { most: 1.1 } },
      { what: 'cold start, whole (identity, network)', unit: 'ms', values: figures.whole },
      { what: "the distribution's kernel on q35", unit: 'ms', values: figures.distro },
    ];
  },
};

export async function startOnce({ client }: BenchContext, vm: Vm): Promise<{ answerMs: number; wholeMs: number }> {
  const { ms, value } = await timed(() => client.run('vm.start', { params: { vm: vm.id } }));
  const after = (value.status.start?.phases ?? []).filter((phase) => NAMES_AFTER_THE_ANSWER.includes(phase.name));
  await client.run('vm.kill', { params: { vm: vm.id } });
  return { wholeMs: ms, answerMs: ms - after.reduce((sum, phase) => sum + phase.ms, 0) };
}

export async function rawLaunch({ host }: BenchContext, vm: Vm): Promise<VmLaunch> {
  const { cacheDir, dataDir } = hostPaths(host.env, process.getuid?.() ?? 0);
  const paths: ImagePaths = {
    cacheDir,
    imagesDir: join(dataDir, 'images'),
    guestDir: join(import.meta.dirname, '../../guest'),
    agentBinary: nativePath('agent'),
  };
  const kernel = await findKernel(paths, 'micro');
  if (kernel === undefined) throw new Error('build the guest kernel first: ./skerry image build micro');
  const image = await openCatalogue(paths.imagesDir).get(vm.spec.image);
  const facts = await probeHost({ cacheDir });
  const dir = join(host.dir, 'raw');
  return {
    id: vm.id,
    name: 'raw',
    dir,
    runtimeDir: dir,
    cpus: vm.spec.cpus,
    memoryMib: vm.spec.memoryMib,
    kernel: {
      which: 'micro',
      path: kernel.path,
      initrdPath: (await buildInitrd(paths, kernel)).path,
      patched: kernel.patched,
      machine: kernel.machine,
    },
    disks: [
      {
        path: join(dir, 'disk.qcow2'),
        format: 'qcow2',
        readonly: false,
        backing: { path: image.rootDiskPath, format: image.rootDisk.format },
      },
    ],
    nics: vm.status.nics.map(({ mac }, index) => ({ mac, socketName: `nic${index}` })),
    reclaimsMemory: true,
    accelerator: facts.accelerator.kind === 'kvm' ? 'kvm' : 'tcg',
    ...(facts.cpu.tscKhz === undefined ? {} : { tscKhz: facts.cpu.tscKhz }),
    isolation: {},
  };
}

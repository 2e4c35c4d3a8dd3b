import { join } from 'node:path';
import type { BenchCase, BenchContext, Row } from '../case.ts';
import { timeRawStart } from '../raw-qemu.ts';
import { rawLaunch, startOnce } from './cold-start.ts';

/** Each shape of the requirement, booted without a template: the call until its agent answers, against QEMU alone in the same shape. */

export const shapes: BenchCase = {
  name: 'shapes',
  async run(context): Promise<readonly Row[]> {
    const rows: Row[] = [];
    for (const format of ['qcow2', 'raw'] as const) {
      const image = `micro-${format}`;
      await context.client.run('image.build', { body: { target: 'micro', name: image, format } });
      for (const memoryMib of [64, 128, 512])
        for (const cpus of [1, 2]) rows.push(...(await oneShape(context, { image, format, memoryMib, cpus })));
    }
    return rows;
  },
};

interface Shape {
  readonly image: string;
  readonly format: 'qcow2' | 'raw';
  readonly memoryMib: number;
  readonly cpus: number;
}

async function oneShape(context: BenchContext, { image, format, memoryMib, cpus }: Shape): Promise<Row[]> {
  const { client, host, runs } = context;
  const what = `${memoryMib} MiB, ${cpus} CPU${cpus === 1 ? '' : 's'}, ${format}`;
  const vm = await client.run('vm.create', { body: { name: 'shape', image, memoryMib, cpus, cold: true } });
  const launch = await rawLaunch(context, vm);
  const figures = { ours: [] as number[], raw: [] as number[] };
  for (let round = -1; round < runs; round += 1) {
    const { answerMs } = await startOnce(context, vm);
    const raw = await timeRawStart(launch, join(host.dir, 'raw'));
    if (round < 0) continue; // warms caches
    figures.ours.push(answerMs);
    figures.raw.push(raw);
  }
  await client.run('vm.delete', { params: { vm: vm.id }, query: { force: true } });
  context.say(`shapes: ${what}`);
  return [
    { what: `${what}: cold`, unit: 'ms', values: figures.ours, bar: { most: 1000 } },
    { what: `${what}: raw QEMU`, unit: 'ms', values: figures.raw },
  ];
}

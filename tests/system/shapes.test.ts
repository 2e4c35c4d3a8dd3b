import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { run } from '../../packages/engine/src/hosts/index.ts';

/**
 * Every shape of the requirement boots without a template, and is what was asked for. How long each took is printed, for whoever
 * reads the log of CI; it is judged by `npm run bench -- --only shapes`, on a machine that does nothing else.
 */

let host: TestHost;
const seen: string[] = [];
beforeAll(async () => {
  host = await startTestHost();
  for (const format of ['qcow2', 'raw'] as const)
    await host.client.run('image.build', { body: { target: 'micro', name: `micro-${format}`, format } });
});
afterAll(async () => {
  process.stdout.write(`boot without a template, call to answer (bar: 1000 ms on an idle machine)\n${seen.join('')}`);
  await host[Symbol.asyncDispose]();
});

const SHAPES = ([64, 128, 512] as const).flatMap((memoryMib) =>
  ([1, 2] as const).flatMap((cpus) =>
    (['qcow2', 'raw'] as const).map((format) => ({ memoryMib, cpus, format, image: `micro-${format}` })),
  ),
);
/** After the answer: see bench/cases/cold-start.ts. */
const NAMES_AFTER_THE_ANSWER = ['identify', 'network', 'command'];
/** The kernel keeps some for itself: its image, page tables, what it reserves at boot. */
const KERNEL_MIB = 32;

test.for(SHAPES)('$memoryMib MiB, $cpus CPUs, $format', async ({ memoryMib, cpus, format, image }) => {
  const { client } = host;
  const name = `vm-${memoryMib}-${cpus}-${format}`;
  const { id } = await client.run('vm.create', { body: { name, image, memoryMib, cpus, cold: true } });
  try {
    const { status } = await client.run('vm.start', { params: { vm: id } });
    expect(status.start).toMatchObject({ how: 'cold' });
    const phases = (status.start?.phases ?? []).filter((phase) => !NAMES_AFTER_THE_ANSWER.includes(phase.name));
    const ms = Math.round(phases.reduce((sum, phase) => sum + phase.ms, 0));
    seen.push(`${String(memoryMib).padStart(5)} MiB  ${cpus} CPU  ${format.padEnd(5)}  ${String(ms).padStart(5)} ms\n`);

    const guest = await host.cli(['exec', name, '--', 'sh', '-c', 'nproc; sed -n "s/MemTotal: *//p" /proc/meminfo']);
    const [processors, total = ''] = guest.stdout.split('\n');
    expect(processors).toBe(String(cpus));
    const totalMib = Number.parseInt(total, 10) / 1024;
    expect(totalMib).toBeLessThanOrEqual(memoryMib);
    expect(totalMib).toBeGreaterThan(memoryMib - KERNEL_MIB);

    // What it runs on, and what lies on the disk: its own layer, on an image of the format that was asked for.
    const command = await readFile(`/proc/${status.process?.pid}/cmdline`, 'utf8');
    expect(command.match(/"driver":"(?:qcow2|raw)"/g)).toEqual([`"driver":"${format}"`, '"driver":"qcow2"']);
    const base = join(host.dirs.dataDir, 'images', status.imageDigest ?? '', `root.${format}`);
    const { stdout } = await run(['qemu-img', 'info', '--output', 'json', base]);
    expect(JSON.parse(stdout)).toMatchObject({ format });
  } finally {
    await client.run('vm.delete', { params: { vm: id }, query: { force: true } });
  }
});

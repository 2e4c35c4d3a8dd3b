import { spawn } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient } from '@skerry/qmp';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { createQemuDriver, findJailHost, SpareJail, UID_BASE } from '../../packages/engine/src/hypervisors/index.ts';
import type { VmLaunch } from '../../packages/engine/src/hypervisors/index.ts';
import type { BenchCase, Row } from '../case.ts';
import { ended, rawArgv } from '../raw-qemu.ts';
import { rawLaunch } from './cold-start.ts';

/**
 * What confinement costs a start: from the spawn to QMP's greeting, in vmjail (a user and a control group of its own, limits,
 * descriptors only) with QEMU's sandbox, against the same QEMU spawned by Node without any of it.
 */

const LEAST_RUNS = 20;
/** The spare supervisor is there again by then. */
const PAUSE_MS = 400;

export const confinement: BenchCase = {
  name: 'confinement',
  async run(context): Promise<readonly Row[]> {
    const { client, host, say } = context;
    const vm = await client.run('vm.create', { body: { name: 'confined', cold: true } });
    const launch = await withDisk(await rawLaunch(context, vm), join(host.dir, 'confined.qcow2'));
    const jail = await findJailHost();
    const spare = new SpareJail(jail.vmjailPath);
    const driver = createQemuDriver({ jail, spare });
    const figures = { jailed: [] as number[], raw: [] as number[] };
    for (let round = -1; round < Math.max(LEAST_RUNS, context.runs); round += 1) {
      const dir = join(host.dir, 'confined');
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const startedAtMs = performance.now();
      const machine = await driver.start({ ...launch, dir, runtimeDir: dir, isolation: isolation(round) });
      const jailedMs = performance.now() - startedAtMs;
      await machine.kill();
      machine.detach();
      await rm(dir, { recursive: true, force: true });
      const rawMs = await timeRawGreeting(launch, join(host.dir, 'raw'));
      await sleep(PAUSE_MS);
      if (round < 0) continue; // warms caches
      figures.jailed.push(jailedMs);
      figures.raw.push(rawMs);
    }
    await spare.close();
    await client.run('vm.delete', { params: { vm: vm.id }, query: { force: true } });
    const costs = figures.jailed.map((ms, index) => ms - (figures.raw[index] ?? Number.NaN));
    say(`confinement: ${costs.length} pairs`);
    return [
      { what: 'QEMU in vmjail with its sandbox, to the greeting', unit: 'ms', values: figures.jailed },
      { what: 'the same QEMU without either', unit: 'ms', values: figures.raw },
      { what: 'confinement of a start, pair by pair', unit: 'ms', values: costs, bar: { most: 10 } },
    ];
  },
};

/** Neither machine's guest gets as far as to write to it. */
async function withDisk(launch: VmLaunch, path: string): Promise<VmLaunch> {
  const [disk] = launch.disks;
  if (disk === undefined || disk.format === 'placeholder' || disk.backing === undefined)
    throw new Error('the launch has no overlay');
  const { backing } = disk;
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing.path, '-F', backing.format, path]);
  return { ...launch, disks: [{ ...disk, path }] };
}

function isolation(round: number): VmLaunch['isolation'] {
  const group = { cgroup: `skerry-bench/${process.pid}-${round}`, memoryMaxBytes: 512 * 2 ** 20, pidsMax: 65 };
  const limits = { rlimits: { nofile: 1024, core: 0 } };
  if (process.getuid?.() !== 0) return { ...group, ...limits };
  // The highest ones: VMs get theirs from the lowest up.
  const uid = UID_BASE + 990 - (process.pid % 100);
  return { uid, gid: uid, ...group, ...limits };
}

async function timeRawGreeting(launch: VmLaunch, dir: string): Promise<number> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const [binary = '', ...args] = rawArgv({ ...launch, dir, runtimeDir: dir }, dir);
  const sandbox = args.indexOf('-sandbox');
  const startedAtMs = performance.now();
  const child = spawn(binary, args.toSpliced(sandbox, 2), { stdio: 'ignore' });
  try {
    for (;;) {
      const qmp = await QmpClient.connect(join(dir, 'qmp')).catch(() => undefined);
      if (qmp === undefined) {
        await sleep(1);
        continue;
      }
      qmp.close();
      return performance.now() - startedAtMs;
    }
  } finally {
    await ended(child);
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { HostUsage, type Vm } from '@skerry/api';
import { noCounts } from '@skerry/switch';
import { vmOf } from '@skerry/testkit/contract-server';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UsageService } from '../../src/usage/index.ts';
import { trafficOf } from '../../src/usage/service.ts';

/** Real processes stand for QEMU: one that idles, and this one. */

let idle: ReturnType<typeof spawn>;
let idleStart: string;

const startTimeOf = async (pid: number): Promise<string> => {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
};
const vmWith = (name: string, pid: number, startTime: string): Vm =>
  vmOf(name, {}, { state: 'running', process: { pid, startTime } });
const port = (id: string, receivedBytes: number, sentBytes: number) => ({
  id,
  connected: true,
  receivedFrames: 1,
  receivedBytes,
  sentFrames: 1,
  sentBytes,
  queueDrops: 0,
  unconnectedDrops: 0,
  drops: {},
  impaired: { out: noCounts(), in: noCounts() },
});
const nothing = {
  switchStats: async () => undefined,
  templateBytes: async () => 0,
  pools: async () => [],
};

beforeAll(async () => {
  idle = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(idle, 'spawn');
  idleStart = await startTimeOf(idle.pid ?? 0);
});
afterAll(async () => {
  idle.kill('SIGKILL');
  await once(idle, 'exit');
});

describe('a look', () => {
  test('finds processes by pid and start time, and is what the contract says', async () => {
    const vms = [
      vmWith('idle', idle.pid ?? 0, idleStart),
      vmWith('busy', process.pid, await startTimeOf(process.pid)),
      vmWith('pid of another', process.pid, '1'),
      vmWith('gone', 4_194_305, '1'),
      vmOf('stopped'),
    ];
    const service = new UsageService({
      ...nothing,
      vms: async () => vms,
      templateBytes: async () => 4096,
      pools: async () => [{ image: 'micro', size: 5, ready: 3, cpus: 1, memoryMib: 128, members: [], message: 'full' }],
    });
    const usage = HostUsage.parse(await service.usage());
    expect(usage.vms.map(({ name }) => name)).toEqual(['idle', 'busy']);
    const [first, second] = usage.vms;
    expect(first?.cpuMs).toBeLessThan(second?.cpuMs ?? 0);
    expect(second?.privateBytes).toBeGreaterThan(10 * 2 ** 20);
    expect(second?.pssBytes).toBeGreaterThanOrEqual(second?.privateBytes ?? 0);
    expect(first?.pssBytes).toBeGreaterThan(0);
    expect(usage.cpus).toBeGreaterThan(0);
    expect(usage.memoryAvailableBytes).toBeLessThan(usage.memoryTotalBytes);
    expect(usage).toMatchObject({ templateBytes: 4096, pools: [{ image: 'micro', size: 5, ready: 3 }] });
  });

  test('later shows more', async () => {
    const vms = [vmWith('busy', process.pid, await startTimeOf(process.pid))];
    const service = new UsageService({ ...nothing, vms: async () => vms });
    const before = await service.usage();
    for (const endMs = performance.now() + 50; performance.now() < endMs;);
    const after = await service.usage();
    expect(after.atMs - before.atMs).toBeGreaterThanOrEqual(50);
    expect(after.cpuBusyMs - before.cpuBusyMs).toBeGreaterThanOrEqual(20);
    expect((after.vms[0]?.cpuMs ?? 0) - (before.vms[0]?.cpuMs ?? 0)).toBeGreaterThanOrEqual(20);
  });

  test('is shared by all who ask meanwhile, and no longer', async () => {
    let looks = 0;
    const vms = async () => {
      looks += 1;
      return [];
    };
    const service = new UsageService({ ...nothing, vms });
    await Promise.all([service.usage(), service.usage(), service.usage()]);
    expect(looks).toBe(1);
    await service.usage();
    expect(looks).toBe(2);
  });

  test('goes on without a switch that answers', async () => {
    const vm = vmWith('idle', idle.pid ?? 0, idleStart);
    const service = new UsageService({
      ...nothing,
      vms: async () => [vm],
      switchStats: () => Promise.reject(new Error('hung')),
    });
    expect((await service.usage()).vms).toMatchObject([{ name: 'idle', receivedBytes: 0, sentBytes: 0 }]);
  });
});

test('what the switch received is what the VM sent, on all of its NICs', () => {
  const traffic = trafficOf({
    uptimeMs: 1,
    segments: [
      { id: 'n1', ports: [port('a/0', 10, 1), port('b/0', 5, 6)], egress: port('n1 egress', 900, 900) },
      { id: 'n2', ports: [port('a/1', 200, 30)] },
    ],
  });
  expect([...traffic]).toEqual([
    ['a', { receivedBytes: 31, sentBytes: 210 }],
    ['b', { receivedBytes: 6, sentBytes: 5 }],
  ]);
});

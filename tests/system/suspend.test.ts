import { execFile } from 'node:child_process';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { Random } from '../soak/random.ts';

/** Memory to disk and back. SKERRY_SEED=N for other moments at which daemon and QEMU die. */

const ROUNDS = Number(process.env['SKERRY_ROUNDS'] ?? 3);
const seed = Number(process.env['SKERRY_SEED'] ?? 20_260);
const CLOCK_MS = 500;

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const vm = { params: { vm: 'web' } };
const get = (): Promise<Vm> => host.client.call('vm.get', vm);
const suspend = (): Promise<Vm> => host.client.run('vm.suspend', vm);
const start = (): Promise<Vm> => host.client.run('vm.start', vm);
async function sh(script: string, on: TestHost = host): Promise<string> {
  const { stdout, stderr, exitCode } = await on.client.exec('web', script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}
const COUNTER = '(n=0; while :; do n=$((n+1)); echo $n >/run/n; usleep 10000; done) >/dev/null 2>&1 & echo $!';
const counted = async (): Promise<number> => Number(await sh('cat /run/n'));
const memoryFiles = async (id: string): Promise<string[]> =>
  (await readdir(join(host.dirs.dataDir, 'vms', id))).filter((name) => name.startsWith('memory')).toSorted();

async function goesOn(): Promise<void> {
  const before = await counted();
  await expect.poll(counted, { timeout: 20_000 }).toBeGreaterThan(before);
}

test('it goes on where it was, with the clock right, under a daemon that is another one', async () => {
  const { id, status } = await host.client.run('vm.create', { body: { name: 'web', memoryMib: 64, start: true } });
  const pid = await sh(COUNTER);
  const generation = await sh('cat /run/skerry/generation');
  const before = await counted();
  const suspended = await suspend();
  expect(suspended.status).toMatchObject({ state: 'suspended', suspendedAt: expect.any(String) });
  expect(suspended.status.process).toBeUndefined();
  expect(await memoryFiles(id)).toEqual(['memory.json', 'memory.state']);
  // Once more is no error.
  expect((await suspend()).status.state).toBe('suspended');
  expect(await host.leftovers()).toEqual([]);

  await host.restart();
  await host.kill9();
  await host.start();
  expect((await get()).status).toMatchObject({ state: 'suspended', suspendedAt: suspended.status.suspendedAt });
  await sleep(1000);
  const resumed = await start();
  expect(resumed.status).toMatchObject({ state: 'running', start: { how: 'resume' } });
  expect(resumed.status.suspendedAt).toBeUndefined();
  expect(resumed.status.process).not.toEqual(status.process);
  const [asked, clock] = [Date.now(), await sh('date +%s')];
  expect(Number(clock) * 1000).toBeGreaterThan(asked - 1000 - CLOCK_MS);
  expect(Number(clock) * 1000).toBeLessThan(Date.now() + CLOCK_MS);
  expect(await sh(`kill -0 ${pid} && hostname`)).toBe('web');
  expect(await counted()).toBeGreaterThanOrEqual(before);
  await goesOn();
  // Who keeps something that must not be used twice is told.
  expect(await sh('cat /run/skerry/generation')).not.toBe(generation);
  expect(await memoryFiles(id)).toEqual([]);
  const { phases, totalMs } = resumed.status.start!;
  expect(phases.map(({ name }) => name)).toEqual([
    'prepare',
    'spawn',
    'qmp',
    'incoming',
    'resume',
    'identify',
    'network',
    'thaw',
  ]);
  expect(Math.abs(phases.reduce((ms, phase) => ms + phase.ms, 0) - totalMs)).toBeLessThan(totalMs * 0.05);
});

test('what needs a process is refused meanwhile, and its memory can be given up', async () => {
  await sh('echo kept >/root/note; sync; echo lost >/run/note');
  await suspend();
  for (const verb of ['stop', 'kill', 'restart', 'pause', 'resume'] as const) {
    const refused = host.client.run(`vm.${verb}`, { ...vm, ...(verb === 'stop' ? { body: {} } : {}) });
    await expect(refused, verb).rejects.toMatchObject({
      code: 'wrong-state',
      remedy: expect.stringContaining('skerry start'),
    });
  }
  await expect(host.client.run('vm.delete', vm)).rejects.toMatchObject({ code: 'wrong-state' });
  await expect(host.client.exec('web', 'true')).rejects.toMatchObject({
    remedy: expect.stringContaining('skerry start'),
  });
  expect((await get()).status.state).toBe('suspended');
  const booted = await host.cli(['start', 'web', '--discard-memory']);
  expect(booted).toMatchObject({ exitCode: 0 });
  expect((await get()).status.start?.how).toMatch(/^(clone|cold)$/);
  expect(await sh('cat /root/note; ls /run/note 2>/dev/null || true')).toBe('kept');
});

test('one that is paused can be suspended, too, and goes on when it is started', async () => {
  await sh(COUNTER);
  await host.client.run('vm.pause', vm);
  expect((await suspend()).status.state).toBe('suspended');
  expect((await start()).status.state).toBe('running');
  await goesOn();
});

test('saved memory that is damaged is not lost silently: the start says so, and how to boot', async () => {
  const { id } = await suspend();
  const path = join(host.dirs.dataDir, 'vms', id, 'memory.state');
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  await file.truncate(Math.floor(size / 2));
  await file.close();
  await expect(start()).rejects.toMatchObject({ code: 'failed', remedy: expect.stringContaining('--discard-memory') });
  expect((await get()).status).toMatchObject({ state: 'suspended', message: expect.stringMatching(/\S/) });
  await rm(path);
  await expect(start()).rejects.toMatchObject({ remedy: expect.stringContaining('--discard-memory') });
  await host.client.run('vm.start', { ...vm, query: { discardMemory: true } });
  expect(await sh('hostname; cat /root/note')).toBe('web\nkept');
  expect(await host.leftovers()).toEqual([]);
});

test(`daemon or QEMU die at ${ROUNDS} random moments of suspend and start (seed ${seed}): the memory is whole, or the VM runs on`, async () => {
  const random = new Random(seed);
  await host.client.run('vm.delete', { ...vm, query: { force: true } });
  await host.client.run('vm.create', { body: { name: 'web', memoryMib: 128, start: true } });
  await sh('head -c 24000000 /dev/urandom >/run/ballast');
  const pid = await sh(COUNTER);
  const sum = await sh('tail -c 100000 /run/ballast | md5sum');
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const verb of ['suspend', 'start'] as const) {
      const afterMs = Math.round(random.next() * 600);
      const asked = host.client.call(`vm.${verb}`, vm);
      asked.catch(() => undefined);
      await sleep(afterMs);
      await host.kill9();
      await host.start();
      const what = `round ${round}, ${verb} killed after ${afterMs} ms`;
      const { status } = await atRest(what);
      expect(['running', 'suspended'], what).toContain(status.state);
      // What was written is whole, and no half of it is left: it goes once the store has the VM running.
      const wanted = status.state === 'suspended' ? ['memory.json', 'memory.state'] : [];
      const { id } = await get();
      await expect.poll(() => memoryFiles(id), { message: what, timeout: 5000 }).toEqual(wanted);
      if (verb === 'start') await start();
      if ((await get()).status.state !== 'running') continue;
      expect(await sh(`kill -0 ${pid}; tail -c 100000 /run/ballast | md5sum`), what).toBe(sum);
      await goesOn();
    }
  }
  expect(await host.leftovers()).toEqual([]);
});

test('QEMU dies while its memory is written: the VM has crashed, and boots from its disk', async () => {
  // So much that it is not written before we see it.
  await sh('echo kept >/root/note; sync; head -c 20000000 /dev/urandom >/run/ballast');
  const { id, status } = await get();
  const suspending = suspend();
  suspending.catch(() => undefined);
  await expect.poll(() => memoryFiles(id), { timeout: 20_000, interval: 1 }).toContain('memory.state');
  process.kill(status.process!.pid, 'SIGKILL');
  await suspending.catch((error: unknown) => expect(error).toMatchObject({ remedy: expect.stringMatching(/\S/) }));
  await expect.poll(async () => (await get()).status.state).toMatch(/^(crashed|suspended)$/);
  await start();
  expect(await sh('hostname; cat /root/note')).toBe('web\nkept');
});

test('on a full disk it runs on, and says what is full', async () => {
  const small = join(host.dir, 'small');
  await mkdir(small);
  await promisify(execFile)('mount', ['-t', 'tmpfs', '-o', 'size=60m,mode=700', 'tmpfs', small]).catch(() => undefined);
  if (!(await readFile('/proc/mounts', 'utf8')).includes(small)) return; // not root
  try {
    await using full = await startTestHost({ dataDir: join(small, 'data') });
    const body = { name: 'web', memoryMib: 128, start: true } as const;
    const { status } = await full.client.run('vm.create', { body });
    await sh('head -c 45000000 /dev/urandom >/run/ballast; echo here >/run/note', full);
    await expect(full.client.run('vm.suspend', vm)).rejects.toMatchObject({
      code: 'no-space',
      remedy: expect.stringMatching(/\S/),
    });
    expect((await full.client.call('vm.get', vm)).status).toMatchObject({ state: 'running', process: status.process });
    expect(await sh('cat /run/note', full)).toBe('here');
    const files = await readdir(join(full.dirs.dataDir, 'vms', (await full.client.call('vm.get', vm)).id));
    expect(files.filter((name) => name.startsWith('memory'))).toEqual([]);
  } finally {
    await promisify(execFile)('umount', [small]);
  }
});

/** Nothing is on its way any more. */
async function atRest(what: string): Promise<Vm> {
  await expect
    .poll(
      async () => {
        const { spec, status } = await get();
        return status.state === spec.power && status.agent?.connected !== false ? 'at rest' : status.state;
      },
      { timeout: 30_000, message: what },
    )
    .toBe('at rest');
  return get();
}

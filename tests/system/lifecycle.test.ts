import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import type { Vm } from '@skerry/api';

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const get = (name: string): Promise<Vm> => host.client.call('vm.get', { params: { vm: name } });
const verb = (name: string, does: 'start' | 'restart' | 'pause' | 'resume' | 'kill') =>
  host.client.run(`vm.${does}`, { params: { vm: name } });
const stop = (name: string) => host.client.run('vm.stop', { params: { vm: name }, body: {} });
const create = (body: object) => host.client.run('vm.create', { body: { name: 'web', ...body } });

describe('the life of a VM', () => {
  test('from its making to its end', async () => {
    expect((await create({})).status.state).toBe('stopped');
    const started = await verb('web', 'start');
    expect(started.status).toMatchObject({ state: 'running', agent: { connected: true } });

    // Once more is no error, and changes nothing.
    expect((await verb('web', 'start')).status.process).toEqual(started.status.process);

    expect((await verb('web', 'pause')).status.state).toBe('paused');
    await expect(
      host.client.call('vm.file.stat', { params: { vm: 'web' }, query: { path: '/' } }),
    ).rejects.toMatchObject({
      code: 'wrong-state',
      remedy: expect.stringContaining('skerry resume web'),
    });
    expect((await verb('web', 'resume')).status.state).toBe('running');

    const before = (await get('web')).status.process;
    const restarted = await verb('web', 'restart');
    expect(restarted.status.state).toBe('running');
    expect(restarted.status.process?.pid).not.toBe(before?.pid);

    expect((await stop('web')).status).toMatchObject({
      state: 'stopped',
      // Not by a signal: QEMU 7.2 can fail over the guest's reset of its devices.
      exit: { kind: 'stopped', reason: 'shut down as asked', exitCode: 0, signal: null },
    });
    await verb('web', 'start');
    expect((await verb('web', 'kill')).status).toMatchObject({
      state: 'stopped',
      exit: { reason: 'powered off as asked' },
    });
    await host.client.run('vm.delete', { params: { vm: 'web' } });
    await expect(get('web')).rejects.toMatchObject({ code: 'not-found' });
    expect(await host.leftovers({ idleNetwork: false })).toEqual([]);
  });

  test('a start says where its time went, and the phases sum to the whole', async () => {
    for (const [cold, how, names] of [
      [true, 'cold', ['prepare', 'spawn', 'qmp', 'boot', 'identify', 'network']],
      [false, 'clone', ['prepare', 'template', 'spawn', 'qmp', 'incoming', 'resume', 'identify', 'network']],
    ] as const) {
      await create({ name: 'phases', cold });
      const askedAtMs = performance.now();
      const { status } = await verb('phases', 'start');
      const wallMs = performance.now() - askedAtMs;
      const { phases, totalMs, how: found } = status.start!;
      expect([found, phases.map((phase) => phase.name)]).toEqual([how, names]);
      const sum = phases.reduce((ms, phase) => ms + phase.ms, 0);
      expect(Math.abs(sum - totalMs)).toBeLessThan(totalMs * 0.05);
      expect(totalMs).toBeLessThan(wallMs);
      if (!cold) break;
      await host.client.run('vm.delete', { params: { vm: 'phases' }, query: { force: true } });
    }
    await host.client.run('vm.delete', { params: { vm: 'phases' }, query: { force: true } });
  });

  test('what is on the disk is there after a restart', async () => {
    await create({ name: 'disk', start: true });
    await host.cli(['exec', 'disk', '--', 'sh', '-c', 'echo kept > /root/file']);
    await verb('disk', 'restart');
    expect(await host.cli(['exec', 'disk', '--', 'cat', '/root/file'])).toMatchObject({
      stdout: 'kept\n',
      exitCode: 0,
    });
    await host.client.run('vm.delete', { params: { vm: 'disk' }, query: { force: true } });
  });

  test('a guest that powers itself off has stopped, one that reboots starts again', async () => {
    await create({ name: 'self', start: true });
    const pid = (await get('self')).status.process?.pid;
    await host.cli(['exec', 'self', '--', 'reboot']);
    await expect.poll(async () => (await get('self')).status.process?.pid, { timeout: 20_000 }).not.toBe(pid);
    await host.client.call('vm.wait', { params: { vm: 'self' }, body: { condition: 'agent', timeoutMs: 20_000 } });
    await host.cli(['exec', 'self', '--', 'poweroff']);
    const off = await host.client.call('vm.wait', {
      params: { vm: 'self' },
      body: { condition: 'stopped', timeoutMs: 20_000 },
    });
    expect(off.status).toMatchObject({ state: 'stopped', exit: { reason: 'the guest powered itself off' } });
    await host.client.run('vm.delete', { params: { vm: 'self' } });
  });

  test('a panic is a crash, with its reason', async () => {
    await create({ name: 'panic', start: true });
    await host.cli(['exec', 'panic', '--', 'sh', '-c', 'echo c > /proc/sysrq-trigger']);
    const crashed = await host.client.call('vm.wait', {
      params: { vm: 'panic' },
      body: { condition: 'stopped', timeoutMs: 20_000 },
    });
    expect(crashed.status).toMatchObject({
      state: 'crashed',
      exit: { kind: 'crashed', reason: expect.stringContaining('panic') },
    });
    await host.client.run('vm.delete', { params: { vm: 'panic' } });
  });

  test('an ephemeral VM is gone once it stops', async () => {
    await create({ name: 'brief', start: true, ephemeral: true });
    await stop('brief');
    await expect
      .poll(
        () =>
          get('brief').then(
            () => 'there',
            (error: { code: string }) => error.code,
          ),
        { timeout: 5000 },
      )
      .toBe('not-found');
  });

  test('delete of a running VM asks for force', async () => {
    await create({ name: 'busy', start: true });
    await expect(host.client.run('vm.delete', { params: { vm: 'busy' } })).rejects.toMatchObject({
      code: 'wrong-state',
      remedy: expect.stringContaining('--force'),
    });
    await host.client.run('vm.delete', { params: { vm: 'busy' }, query: { force: true } });
  });
});

test("the distribution's kernel boots the same image on q35", async () => {
  const { status } = await create({ name: 'distro', kernel: 'distro', memoryMib: 192, start: true });
  expect(status.start).toMatchObject({ kernel: 'distro', machine: 'q35' });
  expect((await host.cli(['exec', 'distro', '--', 'uname', '-r'])).stdout).toContain('cloud');
  await stop('distro');
  await host.client.run('vm.delete', { params: { vm: 'distro' } });
});

test('a raw image serves as well as qcow2', async () => {
  await host.client.run('image.build', { body: { target: 'micro', name: 'micro-raw', format: 'raw' } });
  const { status } = await create({ name: 'raw', image: 'micro-raw', start: true });
  expect(status.state).toBe('running');
  const image = await host.client.call('image.get', { params: { image: 'micro-raw' } });
  expect(image).toMatchObject({ format: 'raw' });
  expect(image.sizeBytes).toBeLessThanOrEqual(10 * 2 ** 20);
  await host.client.run('vm.delete', { params: { vm: 'raw' }, query: { force: true } });
});

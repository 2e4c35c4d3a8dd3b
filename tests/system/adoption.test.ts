import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

const COUNT = 10;
let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

const names = Array.from({ length: COUNT }, (_, index) => `vm-${index}`);
const vms = async (): Promise<Record<string, Vm['status']>> =>
  Object.fromEntries((await host.client.call('vm.list')).map((vm) => [vm.name, vm.status]));
const isThere = (pid: number | undefined): boolean => {
  try {
    return process.kill(pid ?? Number.NaN, 0);
  } catch {
    return false;
  }
};

test('kill -9 of the daemon: every VM is adopted within a second, none starts anew', async () => {
  const create = (name: string) => host.client.run('vm.create', { body: { name, memoryMib: 64, start: true } });
  for (let at = 0; at < COUNT; at += 2) await Promise.all(names.slice(at, at + 2).map(create));
  const before = await vms();
  await host.kill9();
  // What is found to be left over, as no daemon knows it: the search would see what does not belong there.
  const traces = (await host.leftovers({ settleMs: 0 })).join('\n');
  for (const { process } of Object.values(before)) expect(traces).toContain(`process ${process?.pid}: qemu`);
  for (const kind of ['socket', 'control group', 'directory']) expect(traces).toContain(`\n${kind} `);

  await host.start();
  const { adoption } = await host.client.call('daemon.info');
  expect(adoption).toMatchObject({ adopted: COUNT, ended: 0 });
  expect(adoption.ms).toBeLessThan(1000);
  const after = await vms();
  for (const name of names) {
    expect(after[name]).toMatchObject({ state: 'running', process: before[name]?.process, start: before[name]?.start });
    expect((await host.client.exec(name, 'hostname')).stdout).toBe(`${name}\n`);
  }
  expect(await host.leftovers()).toEqual([]);
});

test('what ended while no daemon ran is told by how it ended', async () => {
  const before = await vms();
  await host.client.exec('vm-1', '(sleep 1; poweroff) >/dev/null 2>&1 &');
  await host.kill9();
  process.kill(before['vm-0']?.process?.pid ?? Number.NaN, 'SIGKILL');
  for (const name of ['vm-0', 'vm-1'])
    await expect.poll(() => isThere(before[name]?.process?.pid), { timeout: 20_000 }).toBe(false);
  await host.start();

  expect((await host.client.call('daemon.info')).adoption).toMatchObject({ adopted: COUNT - 2, ended: 2 });
  const after = await vms();
  expect(after['vm-0']).toMatchObject({
    state: 'crashed',
    exit: { kind: 'crashed', signal: 'SIGKILL', reason: expect.stringContaining('SIGKILL') },
  });
  expect(after['vm-1']).toMatchObject({
    state: 'stopped',
    exit: { kind: 'stopped', reason: 'the guest powered itself off' },
  });
  // Neither comes back by itself; each can be started.
  expect((await host.client.run('vm.start', { params: { vm: 'vm-0' } })).status.state).toBe('running');
});

test('a paused VM is adopted paused', async () => {
  await host.client.run('vm.pause', { params: { vm: 'vm-3' } });
  await host.kill9();
  await host.start();
  expect((await vms())['vm-3']?.state).toBe('paused');
  await host.client.run('vm.resume', { params: { vm: 'vm-3' } });
  await host.client.call('vm.wait', { params: { vm: 'vm-3' }, body: { condition: 'agent' } });
  expect((await host.client.exec('vm-3', 'hostname')).stdout).toBe('vm-3\n');
});

test('an orderly stop of the daemon leaves the VMs alone, too', async () => {
  const before = (await vms())['vm-2'];
  await host.client.call('daemon.stop');
  await host.stop();
  await host.start();
  expect((await vms())['vm-2']).toMatchObject({ state: 'running', process: before?.process });
});

test('a VM whose agent the daemon has not heard yet is shut down in good order, too', async () => {
  await host.client.exec('vm-4', 'echo unsaved > /root/file');
  await host.client.run('vm.pause', { params: { vm: 'vm-4' } });
  await host.kill9();
  await host.start();
  const stopped = await host.client.run('vm.stop', { params: { vm: 'vm-4' }, body: { timeoutMs: 60_000 } });
  expect(stopped.status.exit).toMatchObject({ kind: 'stopped', reason: 'shut down as asked' });
  await host.client.run('vm.start', { params: { vm: 'vm-4' } });
  expect((await host.client.exec('vm-4', ['cat', '/root/file'])).stdout).toBe('unsaved\n');
});

test('a second daemon on the same directories is refused, and the first goes on', async () => {
  const main = fileURLToPath(new URL('../../packages/daemon/src/main.ts', import.meta.url));
  const second = promisify(execFile)(process.execPath, ['--conditions=source', main], { env: host.env });
  await expect(second).rejects.toMatchObject({ code: 4, stderr: expect.stringContaining('Another daemon answers') });
  expect((await host.client.call('daemon.info')).pid).toBe(host.daemonPid);
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

const COUNT = 10;
let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

test('kill -9 of the daemon: every VM is adopted within a second, none starts anew', async () => {
  const names = Array.from({ length: COUNT }, (_, index) => `vm-${index}`);
  for (const name of names) await host.client.run('vm.create', { body: { name, memoryMib: 64, start: true } });
  const before = await byName();
  await host.kill9();

  // While nobody looks: one is killed, one powers itself off.
  const killed = before.get('vm-0')?.status.process?.pid ?? 0;
  process.kill(killed, 'SIGKILL');
  await host.start();

  const info = await host.client.call('daemon.info');
  expect(info.adoption).toMatchObject({ adopted: COUNT - 1, ended: 1 });
  expect(info.adoption.ms).toBeLessThan(1000);
  const after = await byName();
  expect(after.get('vm-0')?.status).toMatchObject({ state: 'crashed', exit: { kind: 'crashed', signal: 'SIGKILL' } });
  for (const name of names.slice(1)) {
    expect(after.get(name)?.status).toMatchObject({ state: 'running', process: before.get(name)?.status.process });
    expect(await host.cli(['exec', name, '--', 'hostname'])).toMatchObject({ stdout: `${name}\n`, exitCode: 0 });
  }
});

test('a guest that powered itself off while no daemon ran has stopped', async () => {
  await host.cli(['exec', 'vm-1', '--', 'sh', '-c', '(sleep 1; poweroff) >/dev/null 2>&1 &']);
  await host.kill9();
  await new Promise((resolve) => setTimeout(resolve, 4000));
  await host.start();
  expect((await byName()).get('vm-1')?.status).toMatchObject({
    state: 'stopped',
    exit: { reason: 'the guest powered itself off' },
  });
});

test('an orderly stop of the daemon leaves the VMs alone, too', async () => {
  const before = (await byName()).get('vm-2')?.status.process;
  await host.client.call('daemon.stop');
  await host.kill9();
  await host.start();
  expect((await byName()).get('vm-2')?.status).toMatchObject({ state: 'running', process: before });
});

async function byName(): Promise<Map<string, Vm>> {
  return new Map((await host.client.call('vm.list')).map((vm) => [vm.name, vm]));
}

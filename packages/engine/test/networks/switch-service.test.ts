import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { run } from '../../src/hosts/index.ts';
import { findJailHost, launchJail } from '../../src/hypervisors/jail/index.ts';
import { switchConfig, SwitchService } from '../../src/networks/index.ts';

/** The real switch under the real vmjail; a unix server stands where QEMU listens. */

let runtimeDir: string;
let guest: Server;
let connections = 0;
const services: SwitchService[] = [];

beforeAll(async () => {
  await run(['sh', fileURLToPath(new URL('../../../../native/build.sh', import.meta.url)), 'vmjail']);
}, 120_000);

beforeEach(async () => {
  runtimeDir = await mkdtemp(join(tmpdir(), 'skerry-net-'));
  connections = 0;
  guest = createServer((socket) => {
    connections += 1;
    socket.on('error', () => {}).resume();
  });
  await new Promise<void>((resolve) => guest.listen(join(runtimeDir, 'nic0'), resolve));
});

afterEach(async () => {
  // First: one that a failed test left open would start the switch again.
  for (const one of services.splice(0)) await one.close();
  const last = await service();
  await last.ensure();
  await last.shutdown();
  await new Promise((resolve) => guest.close(resolve));
  await rm(runtimeDir, { recursive: true, force: true });
});

async function service(log?: (line: string) => void): Promise<SwitchService> {
  const made = new SwitchService({ runtimeDir, jail: { ...(await findJailHost()), scope: 'none' }, log });
  services.push(made);
  return made;
}

function config() {
  const network = { id: 'n', name: 'n', mode: 'isolated' as const, subnet: '10.213.0.0/24', gateway: '10.213.0.1' };
  const nic = {
    networkId: 'n',
    mac: '02:00:00:00:00:01',
    address: '10.213.0.10',
    socketPath: join(runtimeDir, 'nic0'),
  };
  return switchConfig([network], [{ id: 'vm', name: 'web', nics: [nic] }], { addresses: [], resolvers: [] });
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 8000; !(await holds()); await sleep(10)) {
    if (Date.now() > end) throw new Error(`not in time: ${holds.toString()}`);
  }
}

test('the next daemon adopts the switch, with the connections it has', async () => {
  const first = await service();
  expect(await first.stats()).toBeUndefined();
  const { pid } = await first.sync(config());
  await until(() => connections === 1);
  await first.close();
  const second = await service();
  await second.ensure();
  const state = await second.state();
  expect(state).toMatchObject({ pid, segments: [{ id: 'n', ports: [{ id: 'vm/0', connected: true }] }] });
  await second.sync(config());
  expect(connections).toBe(1);
});

test('a switch that dies is started again, with the last configuration', async () => {
  const lines: string[] = [];
  const target = await service((line) => lines.push(line));
  const { pid } = await target.sync(config());
  await until(() => connections === 1);
  process.kill(pid, 'SIGKILL');
  await until(() => connections === 2);
  await until(async () => (await target.state())?.segments[0]?.ports[0]?.connected === true);
  expect((await target.state())!.pid).not.toBe(pid);
  expect(lines).toContain('the switch is gone: it is started again');
});

test('two that start at the same moment get the same one', async () => {
  const [a, b] = [await service(), await service()];
  await Promise.all([a.ensure(), a.ensure()]);
  await b.ensure();
  expect((await a.state())!.pid).toBe((await b.state())!.pid);
});

test('after shutdown no process is left, and nothing is started again', async () => {
  const target = await service();
  const { pid } = await target.sync(config());
  await target.shutdown();
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  await expect(target.ensure()).rejects.toMatchObject({ code: 'cancelled' });
});

test.each(['retire', 'shutdown'] as const)('%s also ends one that does not answer yet', async (end) => {
  // What a daemon that was killed leaves of a switch that it was starting: jailed, and not listening.
  const dir = join(runtimeDir, 'switch');
  await mkdir(dir, { mode: 0o700 });
  const { pid } = await launchJail({ dir, command: ['sleep', '60'] }, { ...(await findJailHost()), scope: 'none' });
  const target = await service();
  await target[end]();
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
});

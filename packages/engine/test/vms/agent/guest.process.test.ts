import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import type { Driver, Machine, VmLaunch } from '../../../src/hypervisors/index.ts';
import type { AgentClient, Identity } from '../../../src/vms/agent/index.ts';
import { agentOf, guests, micro, read, write, type Guests } from '../../hypervisors/qemu/real-guest.ts';
import { qemuDriver } from '../../hypervisors/qemu/temporary-vm.ts';
import { finish, until } from './real-agent.ts';

/** The agent as PID 1 of real guests: what an ordinary process on this machine may not do. */

const DISK_BYTES = 64 * 2 ** 20;
const TEMPLATE_MAC = '52:54:00:00:00:00';

let all: Guests;
let driver: Driver;

beforeAll(async () => {
  if (micro === undefined) return;
  all = await guests();
  driver = await qemuDriver();
}, 60_000);
afterAll(async () => await all?.[Symbol.asyncDispose]());

const NICS: VmLaunch['nics'] = [{ mac: TEMPLATE_MAC, socketName: 'nic0' }];

async function template(sizeBytes = DISK_BYTES): Promise<string> {
  const launch = await all.template({ disks: [{ format: 'placeholder', sizeBytes }], nics: NICS });
  const machine = await driver.start(launch);
  (await agentOf(machine)).close();
  await machine.becomeTemplate(launch.origin.keeperPath);
  machine.detach();
  return launch.origin.keeperPath;
}

async function clone(keeperPath: string): Promise<Machine> {
  const disks = [await all.disk()];
  return driver.start(await all.vm({ disks, nics: NICS, origin: { kind: 'clone', keeperPath } }));
}

const identity = (n: number): Identity => ({
  root: 'vda',
  seed: Buffer.alloc(64, n),
  unixTimeNs: BigInt(Date.now()) * 1_000_000n,
  generation: `00000000-0000-4000-8000-00000000000${n}`,
  hostname: `vm-${n}`,
  machineId: String(n).repeat(32),
  freshKeys: true,
  dns: ['10.9.0.1'],
  nics: [{ mac: `02:00:00:00:00:0${n}`, currentMac: TEMPLATE_MAC, addresses: [`10.9.0.${n}/24`], gateway: '10.9.0.1' }],
});

/** What tells a guest from others. */
async function look(agent: AgentClient): Promise<Record<string, string>> {
  const files = {
    hostname: '/proc/sys/kernel/hostname',
    hosts: '/etc/hosts',
    machineId: '/etc/machine-id',
    generation: '/run/skerry/generation',
    bootId: '/proc/sys/kernel/random/boot_id',
    mac: '/sys/class/net/eth0/address',
  };
  const texts = Object.entries(files).map(async ([name, path]) => [name, (await read(agent, path)).trim()] as const);
  return Object.fromEntries(await Promise.all(texts));
}

describe.runIf(micro !== undefined)('a clone', { timeout: 60_000 }, () => {
  test('has the disk, the names and the addresses that it is told, and no other clone has', async () => {
    const keeperPath = await template();
    const machines = [await clone(keeperPath), await clone(keeperPath)];
    const seen = [];
    for (const [index, machine] of machines.entries()) {
      const n = index + 1;
      const agent = await agentOf(machine);
      expect(await read(agent, '/proc/mounts')).not.toContain('/dev/vda');
      const at = Date.now();
      await agent.identify(identity(n));
      const drift = Math.abs((await agent.stat('/run/skerry/generation')).mtimeMs - at);
      expect(drift).toBeLessThan(1000);
      expect(await read(agent, '/proc/mounts')).toMatch(/^\/dev\/vda \/ ext4 rw,/m);
      expect(await read(agent, '/etc/resolv.conf')).toBe('nameserver 10.9.0.1\n');
      const routes = await read(agent, '/proc/net/fib_trie');
      expect(routes).toContain(`|-- 10.9.0.${n}\n`);
      // 0001090A: 10.9.0.1, as the kernel prints a gateway.
      expect(await read(agent, '/proc/net/route')).toMatch(/^eth0\t00000000\t0100090A\t/m);
      // Of its own MAC, and nothing of the template's.
      await until(async () => (await read(agent, '/proc/net/if_inet6')).includes('fe80'));
      expect(await read(agent, '/proc/net/if_inet6')).toContain(`fe80000000000000000000fffe00000${n} `);
      expect((await read(agent, '/proc/net/if_inet6')).match(/^fe80/gm)).toHaveLength(1);
      await write(agent, '/root/note', String(n));
      seen.push(await look(agent));
      agent.close();
    }
    expect(seen[0]).toMatchObject({ hostname: 'vm-1', mac: '02:00:00:00:00:01', machineId: '1'.repeat(32) });
    for (const key of Object.keys(seen[0] ?? {})) expect(seen[0]?.[key], key).not.toBe(seen[1]?.[key]);
  });

  test('may be told again: the generation is another file, the boot id lies over the kernel’s', async () => {
    await using agent = await agentOf(await clone(await template()));
    await agent.identify(identity(1));
    const before = await look(agent);
    await until(async () => (await read(agent, '/proc/net/if_inet6')).includes('fe80000000000000000000fffe000001'));
    const bootId = '11111111-2222-4333-8444-555555555555';
    const { root: _, ...again } = { ...identity(2), bootId, hostname: 'x', nics: [] };
    await agent.identify({ ...again, nics: [{ mac: '02:00:00:00:00:02', addresses: ['10.9.0.2/24'] }] });
    expect(await look(agent)).toMatchObject({ hostname: 'x', bootId, mac: '02:00:00:00:00:02' });
    expect(before['bootId']).not.toBe(bootId);
    expect(await read(agent, '/proc/net/fib_trie')).not.toContain('|-- 10.9.0.1\n');
    // The shorter name has left nothing of the longer one behind.
    expect(await read(agent, '/run/skerry/hostname')).toBe('x\n');
    await until(async () => (await read(agent, '/proc/net/if_inet6')).includes('fe80000000000000000000fffe000002'));
    expect((await read(agent, '/proc/net/if_inet6')).match(/^fe80/gm)).toHaveLength(1);
  });

  test('does not tick while it has nothing to do', async () => {
    await using agent = await agentOf(await clone(await template()));
    await agent.identify(identity(1));
    const ticks = async () => Number(/LOC: +(\d+)/.exec(await read(agent, '/proc/interrupts'))?.[1]);
    await sleep(2000);
    const before = await ticks();
    await sleep(5000);
    // 100 a second with a tick, 15 without: timers of the kernel's own.
    expect((await ticks()) - before).toBeLessThan(200);
  });

  test('says what is wrong with a disk that is larger than its template’s', async () => {
    await using agent = await agentOf(await clone(await template(DISK_BYTES / 2)));
    await expect(agent.identify(identity(1))).rejects.toMatchObject({ code: 'invalid' });
    // Nothing has been mounted or moved: the agent still serves.
    expect(await read(agent, '/proc/mounts')).not.toContain('/dev/vda');
  });

  test('is refused a disk that it has not', async () => {
    await using agent = await agentOf(await clone(await template()));
    await expect(agent.identify({ root: 'vdb' })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('root disk'),
    });
    await agent.identify(identity(1));
  });
});

/** Counts in a file, ten times a second. */
const COUNTER = `
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
  int fd = open("/run/count", O_RDWR | O_CREAT, 0644);
  for (int n = 1;; n++) {
    char text[16];
    if (pwrite(fd, text, (size_t)sprintf(text, "%d", n), 0) < 0) return 1;
    usleep(100000);
  }
}`;

describe.runIf(micro !== undefined)('freeze', { timeout: 60_000 }, () => {
  test('stops the service and commands, over sessions, until thaw', async () => {
    await writeFile(join(all.root, 'count.c'), COUNTER);
    await run(['cc', '-static', '-O1', '-o', join(all.root, 'count'), join(all.root, 'count.c')]);
    const machine = await driver.start(await all.vm({}));
    const first = await agentOf(machine);
    expect(first.hello.frozen).toBe(false);
    const program = Readable.from([await readFile(join(all.root, 'count'))]);
    await first.put('/root/count', program, { mode: 0o755, makeParents: true });
    await first.service.set({ argv: ['/root/count'] });
    const count = (agent: AgentClient) => read(agent, '/run/count').then(Number, () => 0);
    await until(async () => (await count(first)) > 2);
    const { pid } = await first.service.status();

    await first.freeze();
    await first.freeze();
    const still = await count(first);
    expect(await read(first, '/sys/fs/cgroup/user/cgroup.procs')).toBe(`${pid}\n`);
    await expect(finish(first.exec({ argv: ['/root/count'] }))).rejects.toMatchObject({
      message: expect.stringContaining('busy'),
    });
    first.close();

    await using second = await agentOf(machine);
    expect(second.hello.frozen).toBe(true);
    await sleep(500);
    expect(await count(second)).toBe(still);
    await second.thaw();
    await second.thaw();
    await until(async () => (await count(second)) > still);
    const child = second.exec({ argv: ['/root/count'], stdin: false });
    await until(async () => (await read(second, '/sys/fs/cgroup/user/cgroup.procs')).split('\n').length > 2);
    child.kill('KILL');
    expect(await finish(child)).toMatchObject({ signal: 'SIGKILL' });
  });
});

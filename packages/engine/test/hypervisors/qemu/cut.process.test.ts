import { createHash } from 'node:crypto';
import { readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import type { DiskImage, Driver, LaunchDisk, Machine } from '../../../src/hypervisors/index.ts';
import type { AgentClient } from '../../../src/vms/agent/index.ts';
import { agentOf, guests, micro, read, write, type Guests } from './real-guest.ts';
import { qemuDriver, temporaryVm } from './temporary-vm.ts';

/** New layers over the disks of a guest that writes to them. */

const limit = { timeout: 120_000 };

let all: Guests;
let driver: Driver;
beforeAll(async () => {
  if (micro === undefined) return;
  all = await guests();
  driver = await qemuDriver();
});
afterAll(async () => await all?.[Symbol.asyncDispose]());

/** As the caller does it: nothing is under way on the disk while it is cut. */
async function cut(machine: Machine, ...layers: string[]): Promise<void> {
  await machine.pause();
  try {
    await machine.cutDisks(layers);
  } finally {
    await machine.resume();
  }
}

async function digest(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** Clusters that a file holds itself. */
async function allocatedBytes(path: string): Promise<number> {
  const { stdout } = await run(['qemu-img', 'map', '-U', '--output=json', path]);
  const extents = JSON.parse(stdout) as { length: number; data: boolean; depth: number }[];
  return extents.filter(({ data, depth }) => data && depth === 0).reduce((sum, { length }) => sum + length, 0);
}

/** @param paths the lowest first, on the base of `disk` */
function chain(disk: LaunchDisk, ...paths: string[]): LaunchDisk {
  let image: DiskImage | undefined = disk.backing;
  for (const path of paths) image = { path, format: 'qcow2', backing: image };
  return { ...(image as DiskImage), readonly: false };
}

async function fds(machine: Machine): Promise<string[]> {
  const dir = `/proc/${machine.pid}/fd`;
  return Promise.all((await readdir(dir)).map((fd) => readlink(join(dir, fd)).catch(() => '')));
}

async function adopt(launch: Parameters<Driver['adopt']>[0]): Promise<Machine> {
  const adoption = await (await qemuDriver()).adopt(launch);
  if (adoption.state !== 'alive') throw new Error(`it is ${adoption.state}`);
  return adoption.machine;
}

describe.runIf(micro !== undefined)('a cut', limit, () => {
  it('leaves what was written below it as it is; the whole chain boots', async () => {
    const disk = await all.disk();
    const [first, second] = [await all.layer(), await all.layer()];
    const launch = await all.vm({ disks: [disk] });
    const machine = await driver.start(launch);
    const agent = await agentOf(machine);
    await write(agent, '/root/one', '1'.repeat(200_000));
    await cut(machine, first);
    const below = await digest(disk.path);
    expect(await allocatedBytes(disk.path)).toBeGreaterThan(200_000);
    expect(await allocatedBytes(first)).toBe(0);

    await write(agent, '/root/two', '2'.repeat(300_000));
    expect(await read(agent, '/root/one')).toBe('1'.repeat(200_000));
    expect(await allocatedBytes(first)).toBeGreaterThan(300_000);
    await cut(machine, second);
    const middle = await digest(first);
    await write(agent, '/root/three', '3');
    await write(agent, '/root/one', 'changed');
    expect([await digest(disk.path), await digest(first)]).toEqual([below, middle]);
    await machine.kill();

    // As after a loss of power: what was synced in the guest is there.
    const again = await driver.start({ ...launch, disks: [chain(disk, disk.path, first, second)] });
    const after = await agentOf(again);
    expect(await read(after, '/root/one')).toBe('changed');
    expect(await read(after, '/root/two')).toBe('2'.repeat(300_000));
    expect(await read(after, '/root/three')).toBe('3');
    expect(await digest(disk.path)).toBe(below);
    await again.kill();
    // And the state of each cut by itself.
    const past = await driver.start({ ...launch, disks: [chain(disk, disk.path, await all.layer())] });
    expect(await read(await agentOf(past), '/root/one')).toBe('1'.repeat(200_000));
    await past.kill();
  });

  it('lets a fork read the lower layers while the original writes to its own', async () => {
    const disk = await all.disk();
    const original = await driver.start(await all.vm({ disks: [disk] }));
    const agent = await agentOf(original);
    await write(agent, '/root/one', 'common');
    await original.pause();
    await original.cutDisks([await all.layer()]);
    const statePath = join(all.root, 'fork-state');
    const layout = await original.saveState(statePath);
    await original.resume();
    const mine = chain(disk, disk.path, await all.layer());
    const fork = await driver.start(await all.vm({ disks: [mine], origin: { kind: 'saved', statePath, layout } }));
    await fork.resume();
    const other = await agentOf(fork);
    await Promise.all([write(agent, '/root/two', 'original'), write(other, '/root/two', 'fork')]);
    expect(await Promise.all([agent, other].map((each) => read(each, '/root/one')))).toEqual(['common', 'common']);
    expect(await Promise.all([agent, other].map((each) => read(each, '/root/two')))).toEqual(['original', 'fork']);
    // A fork is cut like any other, and so is an original that was forked.
    await cut(fork, await all.layer());
    await cut(original, await all.layer());
    await write(other, '/root/two', 'fork, cut');
    expect(await read(other, '/root/two')).toBe('fork, cut');
    expect(await read(agent, '/root/two')).toBe('original');
    await Promise.all([fork.kill(), original.kill()]);
  });

  it('goes on under a new daemon, and keeps few files open', async () => {
    const disk = await all.disk();
    const launch = await all.vm({ disks: [disk] });
    let machine = await driver.start(launch);
    const agent = await agentOf(machine);
    const before = (await fds(machine)).length;
    for (let round = 1; round <= 6; round++) {
      await write(agent, `/root/${round}`, String(round));
      // Paused or not: a set of descriptors is cleared only while the machine runs (monitor/fds.c).
      if (round % 2 === 0) await machine.cutDisks([await all.layer()]);
      else await cut(machine, await all.layer());
      machine.detach();
      machine = await adopt(launch);
    }
    for (let round = 1; round <= 6; round++) expect(await read(agent, `/root/${round}`)).toBe(String(round));
    const files = await fds(machine);
    const opened = files.filter((file) => file.includes('layer'));
    // Two a layer: the node's, and the set's that it came from.
    expect(opened.length).toBeLessThanOrEqual(2 * 7);
    expect(files.length).toBeLessThanOrEqual(before + 2 * 6);
    await machine.kill();
  });

  it('of several disks is one of all of them', async () => {
    const disks = [await all.disk(), await all.disk()];
    const machine = await driver.start(await all.vm({ disks }));
    await using agent = await agentOf(machine);
    await agent.mount({ source: '/dev/vdb', target: '/tmp', fstype: 'ext4' });
    await write(agent, '/tmp/y', 'y'.repeat(100_000));
    const layers = [await all.layer(), await all.layer()];
    await cut(machine, ...layers);
    await write(agent, '/root/x', 'x'.repeat(100_000));
    expect(await allocatedBytes(layers[0] ?? '')).toBeGreaterThan(100_000);
    expect(await allocatedBytes(layers[1] ?? '')).toBe(0);
    await write(agent, '/tmp/y', 'z'.repeat(200_000));
    expect(await allocatedBytes(layers[1] ?? '')).toBeGreaterThan(200_000);
    expect(await read(agent, '/tmp/y')).toBe('z'.repeat(200_000));
    await cut(machine, await all.layer(), await all.layer());
    expect(await read(agent, '/tmp/y')).toBe('z'.repeat(200_000));
    await machine.kill();
  });
});

describe.runIf(micro !== undefined)('a cut that fails', limit, () => {
  async function unharmed(machine: Machine, agent: AgentClient): Promise<void> {
    expect(machine.state()).toBe('running');
    await write(agent, '/root/after', 'well');
    expect(await read(agent, '/root/after')).toBe('well');
    // And can be done again, as if nothing had been.
    const layers = [await all.layer(), await all.layer()];
    await cut(machine, ...layers);
    await write(agent, '/root/after', 'y'.repeat(100_000));
    expect(await allocatedBytes(layers[0] ?? '')).toBeGreaterThan(100_000);
    await machine.kill();
  }

  async function bad(kind: string): Promise<string> {
    const path = join(all.root, `bad-${kind.replaceAll(' ', '-')}`);
    if (kind === 'no qcow2') await writeFile(path, 'this is none');
    if (kind === 'a smaller disk') await run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M']);
    return path;
  }

  it.each([
    ['no qcow2', 'failed'],
    ['missing', 'not-found'],
  ])('as the second layer is %s changes neither disk', async (kind, code) => {
    const disks = [await all.disk(), await all.disk()];
    const machine = await driver.start(await all.vm({ disks }));
    const agent = await agentOf(machine);
    const first = await all.layer();
    await expect(cut(machine, first, await bad(kind))).rejects.toMatchObject({
      code,
      remedy: expect.any(String) as string,
    });
    await write(agent, '/root/x', 'x'.repeat(100_000));
    expect(await allocatedBytes(first)).toBe(0);
    expect(await allocatedBytes(disks[0]?.path ?? '')).toBeGreaterThan(100_000);
    await unharmed(machine, agent);
  });

  it('as it is given the wrong number of layers, or is cancelled, changes nothing', async () => {
    const machine = await driver.start(await all.vm({ disks: [await all.disk(), await all.disk()] }));
    const agent = await agentOf(machine);
    await expect(machine.cutDisks([await all.layer()])).rejects.toMatchObject({ code: 'internal' });
    for (const afterMs of [0, 2, 4, 8, 16]) {
      const abort = new AbortController();
      const layers = [await all.layer(), await all.layer()];
      setTimeout(() => abort.abort(), afterMs);
      const done = await machine.cutDisks(layers, { signal: abort.signal }).then(
        () => true,
        (error: unknown) => expect(error).toMatchObject({ code: 'cancelled' }),
      );
      await write(agent, '/root/x', String(afterMs).repeat(100_000));
      expect((await allocatedBytes(layers[0] ?? '')) > 0).toBe(done === true);
    }
    await unharmed(machine, agent);
  });

  it('because QEMU was killed says that it has ended', async () => {
    const machine = await driver.start(await all.vm({ disks: [await all.disk()] }));
    process.kill(machine.pid, 'SIGSTOP');
    const cutting = machine.cutDisks([await all.layer()]);
    setTimeout(() => process.kill(machine.pid, 'SIGKILL'), 100);
    await expect(cutting).rejects.toMatchObject({ code: 'wrong-state' });
    await expect(machine.cutDisks([])).rejects.toMatchObject({ code: 'wrong-state' });
  });
});

it('a disk of sixty layers starts', limit, async () => {
  await using vm = await temporaryVm({ then: 'halt' });
  const own = vm.launch.disks[0] as LaunchDisk;
  const layers = await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const path = join(vm.root, `layer${index}`);
      await run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '16M']);
      return path;
    }),
  );
  const machine = await (await qemuDriver()).start({ ...vm.launch, disks: [chain(own, ...layers)] });
  expect(machine.state()).toBe('running');
});

it.runIf(process.getuid?.() === 0)('the monitor that it goes through is open to the VM’s user alone', async () => {
  await using vm = await temporaryVm({ then: 'halt' }, { isolation: { uid: 729_031, gid: 729_031 } });
  await (await qemuDriver()).start(vm.launch);
  const { stdout } = await run(['stat', '-c', '%a %u', join(vm.launch.runtimeDir, 'cut')]);
  expect(stdout).toBe('600 729031\n');
});

import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Driver, Machine, MachineEvent } from '../../../src/hypervisors/index.ts';
import { processStatus, qemuDriver, temporaryVm } from './temporary-vm.ts';

/** Starting QEMU takes some 60 ms on an idle machine; these tests run beside others. */
const TIMEOUT_MS = 60_000;

async function adopted(driver: Driver, vm: { launch: Parameters<Driver['adopt']>[0] }): Promise<Machine> {
  const adoption = await driver.adopt(vm.launch);
  if (adoption.state !== 'alive') throw new Error(`it is ${adoption.state}`);
  return adoption.machine;
}

async function accepts(path: string): Promise<void> {
  const socket = connect(path);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.destroy();
}

describe('the QEMU driver', { timeout: TIMEOUT_MS }, () => {
  it('starts a VM, pauses, resumes and kills it, and leaves nothing behind', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const phases: string[] = [];
    const machine = await driver.start(vm.launch, { onPhase: (name) => phases.push(name) });
    expect(phases).toEqual(['spawn', 'qmp']);
    expect(machine.state()).toBe('running');
    expect(await machine.info()).toMatchObject({ driver: 'qemu', accelerator: 'tcg', cpus: 1, memoryMib: 64 });
    for (const path of [machine.sockets.agent, machine.sockets.console, ...machine.sockets.nics]) await accepts(path);

    const events: MachineEvent[] = [];
    machine.onEvent((event) => events.push(event));
    await machine.pause();
    expect(machine.state()).toBe('paused');
    await machine.resume();
    expect(machine.state()).toBe('running');

    expect(await machine.kill()).toMatchObject({ kind: 'killed', code: 0, signal: null });
    expect(machine.state()).toBe('ended');
    expect(events.map(({ kind }) => kind)).toEqual(['paused', 'resumed', 'shutting-down']);
    expect(await machine.kill()).toEqual(await machine.exited);
    expect(vm.leftovers()).toEqual([]);
    expect(existsSync(`/proc/${machine.pid}`)).toBe(false);
    await expect(machine.pause()).rejects.toMatchObject({ code: 'wrong-state' });
  });

  it('gives QEMU no descriptor but its own, and no path', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const machine = await (await qemuDriver()).start(vm.launch);
    const argv = await readFile(`/proc/${machine.pid}/cmdline`, 'utf8');
    expect(argv).not.toContain(vm.root);
    const fds = await readdir(`/proc/${machine.pid}/fd`);
    const links = await Promise.all(fds.map((fd) => readlink(`/proc/${machine.pid}/fd/${fd}`).catch(() => 'closed')));
    const files = new Set(links.filter((link) => link.startsWith('/') && !link.startsWith('/dev/')));
    const own = ['kernel', 'initrd', 'base.qcow2', 'vm/disk.qcow2', 'vm/console.log', 'vm/service.log'];
    expect([...files].toSorted()).toEqual(own.map((name) => join(vm.root, name)).toSorted());
  });

  it.runIf(process.getuid?.() === 0)('runs QEMU as the user it is told, who has no way to any file', async () => {
    await using vm = await temporaryVm({ then: 'halt' }, { isolation: { uid: 729_998, gid: 729_998 } });
    await chmod(vm.root, 0o700);
    const machine = await (await qemuDriver()).start(vm.launch);
    const status = await processStatus(machine.pid);
    expect(status).toMatch(/^Uid:\s+729998\s+729998\s+729998\s+729998$/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(await machine.kill()).toMatchObject({ kind: 'killed' });
  });

  it('tells a reset by the guest from a kernel panic, and this run from the last', async () => {
    const print = 'Kernel panic - not syncing: VFS: Unable to mount root\r\nmore\n';
    await using vm = await temporaryVm({ print, then: 'reset' });
    const driver = await qemuDriver();
    const panicked = await (await driver.start(vm.launch)).exited;
    expect(panicked).toMatchObject({ kind: 'crashed', code: 0 });
    expect(panicked.reason).toBe("The guest's kernel panicked: VFS: Unable to mount root");

    await using quiet = await temporaryVm({ then: 'reset' });
    const machine = await driver.start({ ...vm.launch, kernel: quiet.launch.kernel });
    const causes: unknown[] = [];
    machine.onEvent((event) => causes.push(event.cause));
    expect(await machine.exited).toMatchObject({ kind: 'reset', code: 0, reason: 'The guest reset itself' });
    expect(causes).toEqual(['guest-reset']);
  });

  it('says who ended QEMU when it was not we', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const first = await driver.start(vm.launch);
    process.kill(first.pid, 'SIGKILL');
    expect(await first.exited).toMatchObject({ kind: 'crashed', code: null, signal: 'SIGKILL' });
    expect((await first.exited).reason).toMatch(/^QEMU crashed: it was killed by SIGKILL/);
    expect(vm.leftovers()).toEqual([]);

    const second = await driver.start(vm.launch);
    process.kill(second.pid, 'SIGTERM');
    expect(await second.exited).toMatchObject({ kind: 'killed', code: 0 });
    expect((await second.exited).reason).toMatch(/^Somebody ended QEMU: terminating on signal 15/);
  });

  it('kills a QEMU that does not react any more', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const machine = await (await qemuDriver()).start(vm.launch);
    process.kill(machine.pid, 'SIGSTOP');
    expect(await machine.kill()).toMatchObject({ kind: 'killed', signal: 'SIGKILL' });
    expect(vm.leftovers()).toEqual([]);
  });

  it('refuses a second start, which does no harm to the first', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const machine = await driver.start(vm.launch);
    await expect(driver.start(vm.launch)).rejects.toMatchObject({ code: 'in-use' });
    expect(await machine.info()).toMatchObject({ cpus: 1 });
    await accepts(machine.sockets.agent);
  });
});

describe('a start that fails', { timeout: TIMEOUT_MS }, () => {
  it('names the package when QEMU is not installed', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver('qemu-system-of-nobody');
    const remedy = expect.stringContaining('qemu-system-x86') as string;
    for (const refused of [() => driver.start(vm.launch), () => driver.probe()]) {
      await expect(refused()).rejects.toMatchObject({
        code: 'unsupported',
        message: 'QEMU is not installed on this host',
        remedy,
      });
    }
    expect(vm.leftovers()).toEqual([]);
  });

  it('refuses a QEMU that is too old', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const old = join(vm.root, 'old-qemu');
    await writeFile(old, '#!/bin/sh\necho "QEMU emulator version 6.2.0 (Debian 1:6.2)"\n', { mode: 0o755 });
    const refused = (await qemuDriver(old)).probe();
    await expect(refused).rejects.toMatchObject({ code: 'unsupported', message: 'QEMU 6.2.0 is too old' });
    const { version } = await (await qemuDriver()).probe();
    expect(Number(version.split('.')[0])).toBeGreaterThanOrEqual(7);
  });

  it('passes on what QEMU says when it does not run', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    await writeFile(vm.disk, 'this is no qcow2 file');
    const failure = (await qemuDriver()).start(vm.launch);
    await expect(failure).rejects.toMatchObject({
      code: 'failed',
      message: expect.stringContaining('not in qcow2 format') as string,
    });
    expect(vm.leftovers()).toEqual([]);
  });

  it('leaves nothing when it is cancelled between the spawn and the first answer', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const controller = new AbortController();
    const cancelled = driver.start(vm.launch, { signal: controller.signal, onPhase: () => controller.abort() });
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    expect(vm.leftovers()).toEqual([]);
    await expect(driver.start(vm.launch, { signal: controller.signal })).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('leaves nothing when QEMU does not answer in time', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const mute = join(vm.root, 'mute-qemu');
    await writeFile(mute, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
    await expect((await qemuDriver(mute)).start(vm.launch, { timeoutMs: 500 })).rejects.toMatchObject({
      code: 'timeout',
    });
    expect(vm.leftovers()).toEqual([]);
  });
});

describe('adoption', { timeout: TIMEOUT_MS }, () => {
  it('finds a running VM again, and its exit, as often as it is asked', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const first = await driver.start(vm.launch);
    first.detach();
    const second = await adopted(await qemuDriver(), vm);
    expect({ ...second.sockets, pid: second.pid, at: second.startTime }).toEqual({
      ...first.sockets,
      pid: first.pid,
      at: first.startTime,
    });
    expect(second.state()).toBe('running');
    await second.pause();
    second.detach();
    const third = await adopted(driver, vm);
    expect(third.state()).toBe('paused');
    expect(await third.kill()).toMatchObject({ kind: 'killed' });
    const after = await driver.adopt(vm.launch);
    expect(after).toMatchObject({ state: 'ended', exit: { code: 0 } });
  });

  it('gives the reason of a VM that crashed while nobody watched', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const machine = await driver.start(vm.launch);
    machine.detach();
    process.kill(machine.pid, 'SIGKILL');
    const witness = await driver.adopt(vm.launch);
    const exit =
      witness.state === 'alive' ? await witness.machine.exited : witness.state === 'ended' ? witness.exit : undefined;
    expect(exit).toMatchObject({ kind: 'crashed', signal: 'SIGKILL' });
  });

  it('tells of a VM whose supervisor was killed', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const machine = await driver.start(vm.launch);
    process.kill(machine.jailPid, 'SIGKILL');
    const exit = await machine.exited;
    expect(exit).toMatchObject({ kind: 'crashed', code: null, signal: null });
    expect(exit.reason).toMatch(/^Its supervisor/);
    expect(await driver.adopt(vm.launch)).toMatchObject({
      state: 'ended',
      exit: { kind: 'crashed', reason: exit.reason },
    });
  });

  it('knows a VM that never ran', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const dir = join(vm.root, 'empty');
    await mkdir(dir);
    expect(await (await qemuDriver()).adopt({ ...vm.launch, dir })).toEqual({ state: 'absent' });
  });

  it('never settles the exit of a machine that was let go', async () => {
    await using vm = await temporaryVm({ then: 'halt' });
    const driver = await qemuDriver();
    const first = await driver.start(vm.launch);
    let settled = false;
    void first.exited.then(() => (settled = true));
    first.detach();
    await (await adopted(driver, vm)).kill();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(settled).toBe(false);
  });
});

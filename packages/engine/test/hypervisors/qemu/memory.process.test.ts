import { existsSync, readFileSync } from 'node:fs';
import { readdir, stat, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../../src/hosts/index.ts';
import { findJailHost, launchJail } from '../../../src/hypervisors/jail/index.ts';
import { qemuPlan } from '../../../src/hypervisors/qemu/args.ts';
import type { Driver, LaunchOrigin, Machine, StateLayout, VmLaunch } from '../../../src/hypervisors/index.ts';
import { agentOf, guests, micro, read, write, type Guests } from './real-guest.ts';
import { qemuDriver } from './temporary-vm.ts';

/** Machines that go on from memory: templates and their clones, saved machines and their forks. */

const TIMEOUT_MS = 120_000;
const isRoot = process.getuid?.() === 0;

let all: Guests;
let driver: Driver;
/** Of a template that all tests share. */
let keeperPath: string;

beforeAll(async () => {
  if (micro === undefined) return;
  all = await guests();
  driver = await qemuDriver();
  ({ keeperPath } = await makeTemplate());
}, TIMEOUT_MS);
afterAll(async () => await all?.[Symbol.asyncDispose]());

async function makeTemplate(changes: Partial<VmLaunch> = {}) {
  const launch = await all.template(changes);
  const machine = await driver.start(launch);
  (await agentOf(machine)).close();
  const kept = await machine.becomeTemplate(launch.origin.keeperPath);
  machine.detach();
  return { keeperPath: launch.origin.keeperPath, kept };
}

async function start(origin?: LaunchOrigin, changes: Partial<VmLaunch> = {}): Promise<Machine> {
  return driver.start(await all.vm({ ...changes, ...(origin === undefined ? {} : { origin }) }));
}

async function withNote(machine: Machine, text: string): Promise<void> {
  await using agent = await agentOf(machine);
  await write(agent, '/tmp/note', text);
}

async function note(machine: Machine): Promise<string> {
  await using agent = await agentOf(machine);
  return await read(agent, '/tmp/note');
}

let saves = 0;
const statePath = (): string => join(all.root, `state${(saves += 1)}`);

const layouts = new Map<string, StateLayout>();
const layoutOf = (path: string): StateLayout => layouts.get(path) ?? 'stream';

async function saved(machine: Machine): Promise<string> {
  const path = statePath();
  await machine.pause();
  layouts.set(path, await machine.saveState(path));
  expect(machine.state()).toBe('paused');
  return path;
}

const limit = { timeout: TIMEOUT_MS };

describe.runIf(micro !== undefined)('clones', limit, () => {
  it('of one template: twenty, one after the other, each with memory of its own', async () => {
    for (let round = 0; round < 20; round++) {
      const phases: string[] = [];
      const launch = await all.vm({ origin: { kind: 'clone', keeperPath } });
      const machine = await driver.start(launch, { onPhase: (name) => phases.push(name) });
      expect(phases).toEqual(['spawn', 'qmp', 'incoming']);
      expect(machine.state()).toBe('running');
      await using agent = await agentOf(machine);
      await expect(agent.stat('/tmp/note')).rejects.toMatchObject({ code: 'not-found' });
      await write(agent, '/tmp/note', String(round));
      expect(await machine.kill()).toMatchObject({ kind: 'killed' });
    }
  });

  it('of one template, five at once', async () => {
    const machines = await Promise.all([1, 2, 3, 4, 5].map(() => start({ kind: 'clone', keeperPath })));
    await Promise.all(machines.map((machine, index) => withNote(machine, `I am ${index}`)));
    expect(await Promise.all(machines.map(note))).toEqual([0, 1, 2, 3, 4].map((index) => `I am ${index}`));
    await Promise.all(machines.map((machine) => machine.kill()));
  });

  it('come up paused if they are told to, and run when they are told to', async () => {
    const machine = await start({ kind: 'clone', keeperPath, paused: true });
    expect(machine.state()).toBe('paused');
    await machine.resume();
    await withNote(machine, 'awake');
    expect(await note(machine)).toBe('awake');
    await machine.kill();
  });

  it.runIf(isRoot)('run as users of their own, like their template', async () => {
    const made = await makeTemplate({ isolation: { uid: 729_021, gid: 729_021 } });
    const machine = await start(
      { kind: 'clone', keeperPath: made.keeperPath },
      { isolation: { uid: 729_022, gid: 729_022 } },
    );
    await withNote(machine, 'as nobody');
    expect(await note(machine)).toBe('as nobody');
    const { stdout } = await run(['stat', '-c', '%a %U', join(all.root, `v1`, 'keep')]);
    expect(stdout).toBe('600 root\n');
    await machine.kill();
  });

  it.each([
    ['QEMU', 'spawn', 'failed'],
    ['QEMU', 'qmp', 'failed'],
    ['its supervisor', 'spawn', 'failed'],
    ['its supervisor', 'qmp', 'failed'],
  ])('leave nothing when %s is killed after the phase %s', async (who, phase, code) => {
    const launch = await all.vm({ origin: { kind: 'clone', keeperPath } });
    const kill = (): void => {
      const { pid, jailPid } = JSON.parse(readFileSync(join(launch.dir, 'pid'), 'utf8')) as Record<string, number>;
      process.kill((who === 'QEMU' ? pid : jailPid) as number, 'SIGKILL');
    };
    const started = driver.start(launch, { onPhase: (name) => void (name === phase && kill()) });
    // QEMU gets its signal once its supervisor has died: on a busy machine the last commands may have been answered by then.
    const end: unknown = await started.then(({ exited }) => exited).catch((error: unknown) => error);
    const failed = { code, remedy: expect.any(String) as string };
    if (end instanceof Error || who === 'QEMU') expect(end).toMatchObject(failed);
    // The next start takes over what a killed supervisor could not remove.
    const machine = await driver.start(launch);
    await withNote(machine, 'well');
    await machine.kill();
    expect(existsSync(join(launch.dir, 'qmp'))).toBe(false);
  });

  it('leave nothing when their start is cancelled, or late, in any phase', async () => {
    for (const phase of ['spawn', 'qmp']) {
      const launch = await all.vm({ origin: { kind: 'clone', keeperPath } });
      const abort = new AbortController();
      const onPhase = (name: string): void => void (name === phase && abort.abort());
      const started = driver.start(launch, { signal: abort.signal, onPhase });
      await expect(started).rejects.toMatchObject({ code: 'cancelled' });
      expect(await readdir(launch.dir)).not.toContain('qmp');
    }
    const launch = await all.vm({ origin: { kind: 'clone', keeperPath } });
    await expect(driver.start(launch, { timeoutMs: 5 })).rejects.toMatchObject({ code: 'timeout' });
    expect(await readdir(launch.dir)).not.toContain('qmp');
  });

  it('are refused, with a remedy, when the template has gone', async () => {
    const launch = await all.vm({ origin: { kind: 'clone', keeperPath: join(all.root, 'nobody') } });
    await expect(driver.start(launch)).rejects.toMatchObject({
      code: 'unavailable',
      remedy: expect.stringMatching(/template/) as string,
    });
    expect(existsSync(join(launch.dir, 'pid'))).toBe(false);
  });

  it('are refused, with what QEMU says, when they are another machine than the template', async () => {
    const launch = await all.vm({ origin: { kind: 'clone', keeperPath }, memoryMib: 160 });
    await expect(driver.start(launch)).rejects.toMatchObject({ code: 'failed', remedy: expect.any(String) as string });
    expect((await readdir(launch.dir)).toSorted()).toEqual([
      'console.log',
      'exit.json',
      'lock',
      'qemu.log',
      'service.log',
    ]);
  });
});

describe.runIf(micro !== undefined)('a saved machine', limit, () => {
  it('goes on where it was, and so does the one that was saved', async () => {
    const original = await start();
    await withNote(original, 'before');
    const path = await saved(original);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await original.resume();
    await withNote(original, 'after');

    const fork = await start({ kind: 'saved', statePath: path, layout: layoutOf(path) });
    expect(fork.state()).toBe('paused');
    await fork.resume();
    expect(await note(fork)).toBe('before');
    expect(await note(original)).toBe('after');
    await original.kill();

    // A fork of the fork, and the same state once more.
    await withNote(fork, 'fork');
    const second = await saved(fork);
    await fork.kill();
    const machines = [
      await start({ kind: 'saved', statePath: second, layout: layoutOf(second) }),
      await start({ kind: 'saved', statePath: path, layout: layoutOf(path) }),
    ];
    await Promise.all(machines.map((machine) => machine.resume()));
    expect(await Promise.all(machines.map(note))).toEqual(['fork', 'before']);
    await Promise.all(machines.map((machine) => machine.kill()));
  });

  it('may be a clone, of which it holds all of the memory', async () => {
    const { keeperPath: own } = await makeTemplate();
    const clone = await start({ kind: 'clone', keeperPath: own });
    await withNote(clone, 'a clone');
    const path = await saved(clone);
    expect((await stat(path)).size).toBeGreaterThan(20 * 2 ** 20);
    await clone.kill();
    const fork = await start({ kind: 'saved', statePath: path, layout: layoutOf(path) });
    await fork.resume();
    expect(await note(fork)).toBe('a clone');
    await fork.kill();
  });

  it('may become a template, whose clones are paused as it was', async () => {
    const original = await start();
    await withNote(original, 'for many');
    const path = await saved(original);
    await original.kill();
    const launch = await all.template({}, path, layoutOf(path));
    const loaded = await driver.start(launch);
    expect(loaded.state()).toBe('paused');
    expect(await loaded.becomeTemplate(launch.origin.keeperPath)).toMatchObject({
      stateBytes: expect.any(Number) as number,
    });
    loaded.detach();
    const clones = [1, 2, 3].map(() => start({ kind: 'clone', keeperPath: launch.origin.keeperPath }));
    for (const clone of await Promise.all(clones)) {
      expect(clone.state()).toBe('paused');
      await clone.resume();
      expect(await note(clone)).toBe('for many');
      await clone.kill();
    }
  });

  it('is refused when it is damaged, and leaves nothing', async () => {
    const path = statePath();
    await writeFile(path, 'QEVM and then nothing of use');
    const launch = await all.vm({ origin: { kind: 'saved', statePath: path, layout: layoutOf(path) } });
    await expect(driver.start(launch)).rejects.toMatchObject({ code: 'failed', remedy: expect.any(String) as string });
    expect(existsSync(join(launch.dir, 'pid'))).toBe(false);
  });
});

describe.runIf(micro !== undefined)('a save that fails', limit, () => {
  it('is refused while the machine runs, and over a file that is there', async () => {
    const machine = await start({ kind: 'clone', keeperPath });
    const path = statePath();
    await expect(machine.saveState(path)).rejects.toMatchObject({ code: 'wrong-state' });
    await writeFile(path, 'precious');
    await machine.pause();
    await expect(machine.saveState(path)).rejects.toMatchObject({ code: 'in-use' });
    expect((await stat(path)).size).toBe(8);
    await expect(machine.saveState(join(all.root, 'none', 'state'))).rejects.toMatchObject({ code: 'not-found' });
    await machine.resume();
    await withNote(machine, 'still here');
    await machine.kill();
  });

  it.runIf(isRoot)('for want of room says so, leaves no file, and the machine goes on', async () => {
    const machine = await start({ kind: 'clone', keeperPath });
    const small = await smallFileSystem('8m');
    await machine.pause();
    const path = join(small, 'state');
    await expect(machine.saveState(path)).rejects.toMatchObject({
      code: 'no-space',
      message: expect.stringContaining('No space left on device') as string,
      remedy: expect.stringContaining('room') as string,
    });
    expect(await readdir(small)).toEqual([]);
    // QEMU closes the file a moment after it has told that it failed.
    const { blocks } = await statfs(small);
    await expect.poll(async () => (await statfs(small)).bfree).toBe(blocks);
    // With room it works, without another try at the pause.
    const elsewhere = statePath();
    await machine.saveState(elsewhere);
    await machine.resume();
    await withNote(machine, 'still here');
    expect(await note(machine)).toBe('still here');
    await machine.kill();
  });

  it.each([0, 5, 15, 30, 60])('cancelled after %i ms leaves no half file, and the machine goes on', async (afterMs) => {
    const machine = await start({ kind: 'clone', keeperPath });
    await machine.pause();
    const path = statePath();
    const abort = new AbortController();
    setTimeout(() => abort.abort(), afterMs);
    const done = await machine.saveState(path, { signal: abort.signal }).then(
      () => true,
      (error: unknown) => {
        expect(error).toMatchObject({ code: 'cancelled' });
        return false;
      },
    );
    expect(existsSync(path)).toBe(done);
    expect(await openFiles(machine.pid)).not.toContain(path);
    await machine.resume();
    await withNote(machine, 'still here');
    // Not in the same pause: cancelled in its last moment, QEMU takes it for one that was migrated away.
    await machine.pause();
    await machine.saveState(statePath());
    await machine.resume();
    expect(await note(machine)).toBe('still here');
    await machine.kill();
  });

  it('because QEMU was killed says that it has ended', async () => {
    const machine = await start({ kind: 'clone', keeperPath });
    await machine.pause();
    const path = statePath();
    process.kill(machine.pid, 'SIGSTOP');
    const saving = machine.saveState(path);
    setTimeout(() => process.kill(machine.pid, 'SIGKILL'), 100);
    await expect(saving).rejects.toMatchObject({ code: 'wrong-state' });
    expect(existsSync(path)).toBe(false);
    await machine.exited;
  });
});

describe.runIf(micro !== undefined)('a template that fails', limit, () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)('because of %s keeps nothing, and its end is told', async (signal) => {
    const launch = await all.template();
    const machine = await driver.start(launch);
    process.kill(machine.pid, signal);
    expect(await machine.exited).toMatchObject({ kind: signal === 'SIGKILL' ? 'crashed' : 'killed' });
    await expect(machine.becomeTemplate(launch.origin.keeperPath)).rejects.toMatchObject({ code: 'wrong-state' });
    expect(existsSync(launch.origin.keeperPath)).toBe(false);
  });

  it('because it was given up keeps nothing', async () => {
    const launch = await all.template();
    const machine = await driver.start(launch);
    expect(await machine.kill()).toMatchObject({ kind: 'killed' });
    const again = await driver.start(launch);
    (await agentOf(again)).close();
    const abort = new AbortController();
    abort.abort();
    const work = again.becomeTemplate(launch.origin.keeperPath, { signal: abort.signal });
    await expect(work).rejects.toMatchObject({ code: 'cancelled' });
    // It runs still, and a second try is not confused by the first.
    await again.becomeTemplate(launch.origin.keeperPath);
    const clone = await start({ kind: 'clone', keeperPath: launch.origin.keeperPath });
    await withNote(clone, 'well');
    await clone.kill();
  });

  it.runIf(isRoot)('for want of memory keeps nothing, and says so', async () => {
    const isolation = { cgroup: `skerry-test-${process.pid}/template`, memoryMaxBytes: 48 * 2 ** 20 };
    const launch = await all.template({ isolation });
    const failed = await (async () => {
      const machine = await driver.start(launch);
      if (machine.warnings.length > 0) return undefined; // no control groups here to be had
      (await agentOf(machine)).close();
      await machine.becomeTemplate(launch.origin.keeperPath);
    })().catch((error: unknown) => error);
    if (failed === undefined) return;
    expect(failed).toMatchObject({ name: 'SkerryError' });
    await expect.poll(() => existsSync(launch.origin.keeperPath)).toBe(false);
    await expect(
      all
        .vm({ origin: launch.origin })
        .then((clone) => driver.start({ ...clone, origin: { ...launch.origin, kind: 'clone' } })),
    ).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe.runIf(micro !== undefined)('a daemon that died in the middle of a start', limit, () => {
  it('leaves a machine that never ran, which adoption ends', async () => {
    const launch = await all.vm({ origin: { kind: 'clone', keeperPath } });
    // What such a daemon leaves: the process is there, and was not told yet what to go on from.
    const { pid } = await halfStarted(launch);
    const adoption = await driver.adopt(launch);
    expect(adoption).toMatchObject({ state: 'ended', exit: { kind: 'killed' } });
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});

async function halfStarted(launch: VmLaunch): Promise<{ pid: number }> {
  const plan = qemuPlan(launch, { binary: 'qemu-system-x86_64' });
  const spec = {
    dir: launch.dir,
    command: plan.argv,
    listen: Object.fromEntries(plan.listen.map(({ name, path }) => [name, path])),
    open: Object.fromEntries(plan.open.map(({ name, path, mode }) => [name, { path, mode }])),
    take: plan.take,
  };
  return launchJail(spec, { ...(await findJailHost()), scope: 'none' });
}

async function smallFileSystem(size: string): Promise<string> {
  const path = join(all.root, `small${(saves += 1)}`);
  await run(['mkdir', path]);
  await run(['mount', '-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path]);
  all.defer(() => run(['umount', '-l', path]));
  return path;
}

async function openFiles(pid: number): Promise<string> {
  return (await run(['sh', '-c', `readlink /proc/${pid}/fd/*`], { okExitCodes: 'any' })).stdout;
}

import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Template, Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** Templates, their bad days included: a VM starts in any case, and says how. */

const run = promisify(execFile);
let host: TestHost;
let programs: string;

/** The host has a QEMU of its own, so that it can be upgraded. */
beforeAll(async () => {
  // Outside of the host's directory, which other users may not enter: QEMU runs as one.
  programs = await mkdtemp(join(tmpdir(), 'skq-'));
  await run('mkdir', ['-m', '755', '-p', join(programs, 'bin')]);
  await run('chmod', ['755', programs]);
  const { stdout } = await run('sh', ['-c', 'command -v qemu-system-x86_64']);
  await copyFile(stdout.trim(), qemu());
  // It looks for its firmware and its modules beside itself (qemu: get_relocated_path).
  for (const beside of ['share', 'lib']) await symlink(join('/usr', beside), join(programs, beside));
  host = await startTestHost({ env: { PATH: `${join(programs, 'bin')}:${process.env['PATH']}` } });
});
afterEach(async () => {
  await host.clear();
  await host.client.run('template.prune', { body: { unusedForMs: 0 } });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await rm(programs, { recursive: true, force: true });
});

const qemu = (): string => join(programs, 'bin/qemu-system-x86_64');
const templates = (): Promise<Template[]> => host.client.call('template.list') as Promise<Template[]>;
/** Those that serve VMs of any image; others come by themselves, when nobody waits. */
const common = async (): Promise<Template[]> => (await templates()).filter(({ image }) => image === undefined);
const create = (name: string, body: object = {}): Promise<Vm> =>
  host.client.run('vm.create', { body: { name, memoryMib: 64, start: true, ...body } });
const kept = (): Promise<string[]> => readdir(join(host.dirs.runtimeDir, 't')).catch(() => []);
const templateDir = (id: string): string => join(host.dirs.runtimeDir, 't', id.slice(0, 12));

async function theTemplate(): Promise<Template> {
  const [template, ...others] = await common();
  expect(others).toEqual([]);
  if (template === undefined) throw new Error('there is no template');
  return template;
}
async function isClone(vm: Vm, template: string): Promise<void> {
  expect(vm.status).toMatchObject({ state: 'running', start: { how: 'clone', template } });
  await answers(vm);
}
async function isCold(vm: Vm, why: RegExp): Promise<void> {
  expect(vm.status).toMatchObject({ state: 'running', start: { how: 'cold', coldReason: expect.stringMatching(why) } });
  expect(vm.status.start?.template).toBeUndefined();
  await answers(vm);
}
async function answers({ name }: Vm): Promise<void> {
  expect((await host.client.exec(name, 'hostname')).stdout).toBe(`${name}\n`);
}
/** Who keeps a template's memory: it and nobody else names the template's directory. */
async function keeperOf(id: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (commandLine.includes(`${templateDir(id)}\0`)) return Number(pid);
  }
  throw new Error(`nobody keeps the template ${id}`);
}

describe('by hand', () => {
  test('a template is built, found, used, and let go of', async () => {
    const built = await host.client.run('template.build', { body: { image: 'micro', memoryMib: 64 } });
    expect(built).toMatchObject({
      state: 'ready',
      image: 'micro',
      shape: { cpus: 1, memoryMib: 64, disks: 1, nics: 1 },
      qemuVersion: expect.stringMatching(/^\d+\.\d+/),
    });
    expect(built.memoryBytes).toBeGreaterThan(0);
    const shared = await theTemplate();
    expect(await templates()).toEqual([shared, built]);
    await isClone(await create('a'), built.id);
    const used = await host.client.call('template.get', { params: { template: built.id.slice(0, 8) } });
    expect(used.clones).toBeGreaterThan(built.clones);

    // Another shape is another template.
    await create('b', { memoryMib: 96 });
    expect((await common()).map(({ shape }) => shape.memoryMib).toSorted((a, b) => a - b)).toEqual([64, 96]);
    await host.client.run('template.delete', { params: { template: shared.id } });
    await host.client.run('template.delete', { params: { template: built.id } });
    await expect(host.client.call('template.get', { params: { template: built.id } })).rejects.toMatchObject({
      code: 'not-found',
      remedy: expect.stringContaining('skerry template list'),
    });
    // Its clones have mapped what they need of it.
    await answers(await host.client.call('vm.get', { params: { vm: 'a' } }));
    expect(await host.client.run('template.prune', { body: { unusedForMs: 3_600_000 } })).toMatchObject({
      deleted: [],
    });
    const { shape, id } = await theTemplate();
    expect(shape.memoryMib).toBe(96);
    const pruned = await host.client.run('template.prune', { body: {} });
    expect(pruned).toMatchObject({ deleted: [id] });
    expect(pruned.freedBytes).toBeGreaterThan(0);
    expect([await templates(), await kept()]).toEqual([[], []]);
    expect(await host.leftovers()).toEqual([]);
  });

  test('a policy keeps an image from being cloned', async () => {
    const policy = (image: string, wanted: 'never' | 'auto') =>
      host.client.call('template.policy', { params: { image }, body: { policy: wanted } });
    await expect(policy('nonsense', 'never')).rejects.toMatchObject({ code: 'not-found' });
    await policy('micro', 'never');
    await isCold(await create('a'), /micro is never cloned/);
    expect(await templates()).toEqual([]);
    // It outlives the daemon.
    await host.kill9();
    await host.start();
    await isCold(await host.client.run('vm.restart', { params: { vm: 'a' } }), /never cloned/);
    await policy('micro', 'auto');
    const { status } = await host.client.run('vm.restart', { params: { vm: 'a' } });
    expect(status.start).toMatchObject({ how: 'clone', template: (await theTemplate()).id });
    // Who wants to boot is asked no questions.
    const cold = await create('b', { cold: true });
    expect(cold.status.start).toMatchObject({ how: 'cold' });
    expect(cold.status.start?.coldReason).toBeUndefined();
  });
});

describe('of an image, its root disk mounted', () => {
  const build = (): Promise<Template> =>
    host.client.run('template.build', { body: { image: 'micro', memoryMib: 64 } }) as Promise<Template>;
  const layers = (): Promise<string[]> => readdir(join(host.dirs.dataDir, 'templates')).catch(() => []);
  const sh = async (name: string, script: string): Promise<string> =>
    (await host.client.exec(name, ['sh', '-c', script])).stdout;

  test('new VMs are cloned from it, each with a disk of its own; who starts again is cloned from the other', async () => {
    const built = await build();
    for (const name of ['a', 'b']) {
      const vm = await create(name);
      await isClone(vm, built.id);
      expect(vm.status.start?.phases.map((phase) => phase.name)).toContain('identify');
      expect(await sh(name, `echo ${name} > /root/who; sync; awk '$2 == "/" { print $1 }' /proc/mounts`)).toContain(
        '/dev/vda\n',
      );
    }
    // What has been written is there after a restart, whatever has become of the template.
    await host.client.run('vm.stop', { params: { vm: 'a' }, body: {} });
    await host.client.run('template.prune', { body: {} });
    expect([await templates(), await kept(), await layers()]).toEqual([[], [], []]);
    await isClone(await host.client.run('vm.start', { params: { vm: 'a' } }), (await theTemplate()).id);
    expect(await sh('a', 'cat /root/who')).toBe('a\n');
    await host.client.run('vm.restart', { params: { vm: 'b' } });
    expect(await sh('b', 'cat /root/who; e=$(dmesg | grep -ci "ext4.*error"); echo "$e"')).toBe('b\n0\n');
    // It can be forked, and so can be what comes of it.
    await host.client.run('vm.fork', { params: { vm: 'b' }, body: { name: 'c', count: 1 } });
    expect(await sh('c', 'hostname; cat /root/who')).toBe('c\nb\n');
    expect(await host.leftovers()).toEqual([]);
  });

  test('it comes by itself, when VMs of an image are started more than once and nobody starts one', async () => {
    await create('a');
    await create('b');
    expect((await common()).map(({ clones }) => clones)).toEqual([2]);
    const ofImage = async (): Promise<string[]> =>
      (await templates()).filter(({ image, state }) => image !== undefined && state === 'ready').map(({ id }) => id);
    await expect.poll(ofImage, { timeout: 15_000 }).toHaveLength(1);
    await isClone(await create('c'), (await ofImage())[0] ?? '');
    // Another daemon finds it, and its layer.
    await host.kill9();
    await host.start();
    expect(await layers()).toHaveLength(1);
    await isClone(await create('d'), (await ofImage())[0] ?? '');
  });

  test('its layer has gone: VMs are cloned from the other one', async () => {
    const built = await build();
    await rm(join(host.dirs.dataDir, 'templates', built.id.slice(0, 12)), { recursive: true });
    await isClone(await create('a'), (await theTemplate()).id);
    expect((await templates()).map(({ id }) => id)).not.toContain(built.id);
    await host.kill9();
    await host.start();
    await answers(await host.client.call('vm.get', { params: { vm: 'a' } }));
    expect(await host.leftovers()).toEqual([]);
  });

  test('its keeper is killed: the VM boots from the disk that it has got', async () => {
    const built = await build();
    process.kill(await keeperOf(built.id), 'SIGKILL');
    await isCold(await create('a'), /the template failed: .+/);
    expect((await templates()).map(({ id }) => id)).not.toContain(built.id);
    expect(await host.leftovers()).toEqual([]);
  });
});

test('a guest may use all the memory that it has, the first one of a template too, and what that adds to it is seen', async () => {
  const big = await create('big', { memoryMib: 512 });
  const before = await theTemplate();
  const fill =
    'mkdir /all && mount -t tmpfs -o size=95% none /all && dd if=/dev/zero of=/all/zeros bs=1M count=440 && echo full';
  expect(await host.client.exec(big.name, fill)).toMatchObject({ exitCode: 0, stdout: 'full\n' });
  expect((await theTemplate()).memoryBytes).toBeGreaterThan(before.memoryBytes + 400 * 2 ** 20);
});

describe('bad days', () => {
  test('the keeper of its memory is killed: the next VM boots and says why, the one after has a new template', async () => {
    await create('a');
    const { id, createdAt } = await theTemplate();
    process.kill(await keeperOf(id), 'SIGKILL');
    const b = await create('b');
    await isCold(b, /the template failed: .+/);
    await answers(await host.client.call('vm.get', { params: { vm: 'a' } }));
    const c = await create('c');
    const fresh = await theTemplate();
    await isClone(c, fresh.id);
    expect(fresh.createdAt).not.toBe(createdAt);
    expect(await host.leftovers()).toEqual([]);
  });

  test.each([
    ['under a daemon', false],
    ['while there is none', true],
  ])('QEMU is upgraded %s: the old template is not used any more', async (_, isDown) => {
    await create('a');
    const old = await theTemplate();
    if (isDown) await host.stop();
    await utimes(qemu(), new Date(), new Date(Date.now() - (isDown ? 120_000 : 60_000)));
    await host.start();
    const b = await create('b');
    expect(b.status.start?.template).not.toBe(old.id);
    await isClone(b, b.status.start?.template ?? '');
    await answers(await host.client.call('vm.get', { params: { vm: 'a' } }));
    // It goes as soon as there is one that can be used.
    await expect.poll(async () => (await common()).map(({ id }) => id)).toEqual([b.status.start?.template]);
    expect(await host.leftovers()).toEqual([]);
  });

  test('QEMU is killed while it takes over the memory: the VM boots, nothing of the clone is left', async () => {
    await create('a');
    const { id } = await theTemplate();
    const { id: vm } = await create('b', { start: false });
    const starting = host.client.run('vm.start', { params: { vm: 'b' } });
    starting.catch(() => undefined);
    const pid = async (): Promise<number | undefined> => {
      const text = await readFile(join(host.dirs.dataDir, 'vms', vm, 'pid'), 'utf8').catch(() => '');
      return text === '' ? undefined : (JSON.parse(text) as { pid: number }).pid;
    };
    await expect.poll(pid, { timeout: 10_000, interval: 1 }).toBeDefined();
    process.kill((await pid()) ?? Number.NaN, 'SIGKILL');
    await isCold(await starting, /the template failed: .+/);
    expect((await templates()).map((each) => each.id)).not.toContain(id);
    expect(await host.leftovers()).toEqual([]);
  });

  test('the daemon dies while it builds one, or while it has one', async () => {
    for (const afterMs of [100, 400, 700]) {
      await create('a', { start: false });
      const asked = host.client.call('vm.start', { params: { vm: 'a' } });
      asked.catch(() => undefined);
      await sleep(afterMs);
      await host.kill9();
      await host.start();
      // It may have died before it had the wish.
      const { status } = await host.client.run('vm.start', { params: { vm: 'a' } });
      expect(status).toMatchObject({ state: 'running', start: { how: 'clone' } });
      expect((await kept()).toSorted()).toEqual((await templates()).map((each) => each.id.slice(0, 12)).toSorted());
      await host.clear();
      await host.client.run('template.prune', { body: {} });
    }
    expect(await host.leftovers()).toEqual([]);

    await create('a');
    const template = await theTemplate();
    await host.kill9();
    await host.start();
    const { id, createdAt } = await theTemplate();
    expect({ id, createdAt }).toEqual({ id: template.id, createdAt: template.createdAt });
    await isClone(await create('b'), id);
    // What nobody can read is made again.
    await host.kill9();
    await writeFile(join(templateDir(id), 'template.json'), '{"version":1,"templ');
    await host.start();
    expect([await templates(), await kept()]).toEqual([[], []]);
    await isClone(await create('c'), id);
    expect(await host.leftovers()).toEqual([]);
  });

  test('what the user wants done fails: nobody blames the template, nor tries once more', async () => {
    await create('a');
    const { id } = await theTemplate();
    const files = [{ path: '/proc/nope', contentBase64: 'aGk=', mode: 0o644 }];
    const spec = { vms: { b: { image: 'micro', cpus: 1, memoryMib: 64, files } }, networks: { default: {} } };
    const up = host.client.run('node.up', { body: { name: 'n', spec } });
    await expect(up).rejects.toMatchObject({ message: expect.stringContaining('/proc/nope') });
    expect((await theTemplate()).id).toBe(id);
    expect((await host.client.call('vm.list')).map(({ name, status }) => [name, status.state])).toContainEqual([
      'a',
      'running',
    ]);
    expect(await host.leftovers()).toEqual([]);
  });

  test('four VMs of a shape that has no template yet: it is made once, and all are cloned from it', async () => {
    const names = Array.from({ length: 4 }, (_, index) => `vm-${index}`);
    const vms = await Promise.all(names.map((name) => create(name)));
    const { id } = await theTemplate();
    for (const vm of vms) await isClone(vm, id);
  });
});

import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Vm } from '@skerry/api';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Naming, changing, protecting and selecting VMs, as one types it. */

let host: TestHost;
let editor: string;
beforeAll(async () => {
  host = await startTestHost();
  editor = join(host.dir, 'editor.sh');
  host.env['VISUAL'] = editor;
  await setEditor('true');
});
afterAll(() => host[Symbol.asyncDispose]());
beforeEach(() => host.clear());

/** What "the user" does to the file, as lines of sh; $1 is its path. */
async function setEditor(script: string): Promise<void> {
  await writeFile(editor, `#!/bin/sh\n${script}\n`);
  await chmod(editor, 0o755);
}

const get = (vm: string): Promise<Vm> => host.client.call('vm.get', { params: { vm } });
const create = (name: string, body: object = {}) => host.client.run('vm.create', { body: { name, ...body } });
const names = async () => (await host.client.call('vm.list')).map(({ name }) => name);
const memoryOf = async (vm: string) =>
  Number(/MemTotal: +(\d+)/.exec((await host.cli(['exec', vm, '--', 'cat', '/proc/meminfo'])).stdout)?.[1]) / 1024;

/** stdout of a command that succeeds. */
async function skerry(...args: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await host.cli(args);
  expect([exitCode, stderr]).toEqual([0, expect.anything()]);
  return stdout;
}

async function refused(args: readonly string[], exitCode: number, message: RegExp, remedy: RegExp): Promise<string> {
  const result = await host.cli(args);
  expect(result).toMatchObject({ exitCode, stdout: '' });
  const [said = '', ...advice] = result.stderr.split('\n');
  expect(said).toMatch(message);
  expect(advice.join('\n')).toMatch(remedy);
  return result.stderr;
}

describe('rename', () => {
  test('of a running VM: others find it by the new name, and it keeps all else', async () => {
    const before = await create('web-vm', { start: true });
    await create('other', { start: true });
    const { stdout, stderr } = await host.cli(['rename', 'web-vm', 'front']);
    expect([stdout, stderr]).toEqual(['web-vm: is front now\n', expect.stringContaining('at its next start')]);
    const after = await get('front');
    expect([after.id, after.status.nics, after.status.process]).toEqual([
      before.id,
      before.status.nics,
      before.status.process,
    ]);
    await refused(['info', 'web-vm'], 3, /no VM 'web-vm'/, /skerry list/);
    const lookup = await host.cli(['exec', 'other', '--', 'nslookup', 'front']);
    expect(lookup.stdout).toContain(after.status.nics[0]?.address);
    expect(await skerry('exec', 'front', '--', 'hostname')).toBe('web-vm\n');
    await skerry('restart', 'front');
    expect(await skerry('exec', 'front', '--', 'hostname')).toBe('front\n');
    await refused(['rename', 'front', 'other'], 4, /VM 'other' already/, /another name/);
    await refused(['rename', 'front', 'a/b'], 2, /name/, /\S/);
  });
});

describe('set', () => {
  test('what a running VM does not take up is said, and counts from its next start on', async () => {
    await create('web-vm', { start: true });
    const { stdout, stderr } = await host.cli(['set', 'web-vm', 'memory=256M', '--title', '日本語の名前']);
    expect(stdout).toBe('web-vm: memory, title changed\n');
    expect(stderr).toBe('memory: takes effect at the next start: skerry restart web-vm\n');
    expect(await memoryOf('web-vm')).toBeLessThan(128);
    expect(await skerry('info', 'web-vm')).toContain('256Mi from its next start on, 128Mi now');
    // Memory of 128 MiB can't become another machine's: it goes on as what it was.
    await skerry('suspend', 'web-vm');
    await skerry('start', 'web-vm');
    expect((await get('web-vm')).status.start).toMatchObject({ how: 'resume', memoryMib: 128 });
    await skerry('fork', 'web-vm', 'copy');
    expect((await get('copy')).spec.memoryMib).toBe(128);
    await skerry('restart', 'web-vm');
    expect(await memoryOf('web-vm')).toBeGreaterThan(200);
    expect(await skerry('info', 'web-vm')).not.toContain('next start');
    expect(await skerry('list')).toContain('日本語の名前');
  });

  test('health and forwards are taken up as it runs', async () => {
    await create('web-vm', { start: true });
    await skerry('set', 'web-vm', '--health-cmd', 'test -e /tmp/well', '--health-interval', '50ms');
    await host.cli(['exec', 'web-vm', '--', 'touch', '/tmp/well']);
    await skerry('wait', 'web-vm', 'healthy');
    // Of its start it says nothing.
    expect((await get('web-vm')).status.start?.phases.map(({ name }) => name)).not.toContain('health');
    await skerry('set', 'web-vm', '--unset', 'health');
    expect((await get('web-vm')).status.health).toBe('none');
    expect((await host.cli(['set', 'web-vm', '--unset', 'health'])).stdout).toBe('web-vm: unchanged\n');
  });

  test('is refused before anything is changed', async () => {
    const { revision } = await create('web-vm');
    await refused(['set', 'web-vm', 'memory=40M'], 2, /too little/, /48Mi/);
    await refused(['set', 'web-vm', 'memory=256M', 'image=other'], 5, /can't change 'image'/, /another VM/);
    await refused(['set', 'web-vm', 'memroy=256M'], 2, /does not know 'memroy'/, /Did you mean memory=/);
    await refused(['set', 'web-vm', 'memory=1G', '--memory', '2G'], 2, /twice/, /once/);
    await refused(['set', 'web-vm', 'cpu=0'], 2, /at least 1 CPU/, /\S/);
    await refused(['set', 'web-vm'], 2, /something to change/, /skerry set/);
    await refused(['set', 'web-vm', '--protect', '--ephemeral'], 2, /can not be protected/, /either/);
    expect((await get('web-vm')).revision).toBe(revision);
  });
});

describe('show, edit and apply', () => {
  test('what is shown is read back', async () => {
    await skerry('create', 'web-vm', '--title', '이름', '--label', 'tier=front', '-e', 'A=1', '--health-tcp', '80');
    const { spec, title, labels } = await get('web-vm');
    for (const format of ['yaml', 'json']) {
      const file = join(host.dir, `web-vm.${format}`);
      await writeFile(file, await skerry('show', '-o', format, 'web-vm'));
      expect(await skerry('apply', '-f', file)).toBe('web-vm: unchanged\n');
      await skerry('delete', 'web-vm');
      expect(await skerry('apply', '-f', file, '--dry-run')).toMatch(/create +vm +web-vm/);
      expect(await names()).toEqual([]);
      expect(await skerry('apply', '-f', file)).toBe('web-vm: created\n');
      expect(await get('web-vm')).toMatchObject({ spec, title, labels });
    }
  });

  test('several documents from standard input are all right, or none is done', async () => {
    const vm = (name: string, memory: string) => `apiVersion: skerry/v1\nkind: VM\nname: ${name}\nmemory: ${memory}\n`;
    const node = 'apiVersion: skerry/v1\nkind: Node\nname: shop\nvms: { web: { labels: { tier: front } } }\n';
    const wrong = await host.cli(['apply', '-f', '-'], {
      input: `${vm('a', '64Mi')}---\n${node}---\n${vm('b', 'lots')}`,
    });
    expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('standard input:14:9: memory:') });
    const tooSmall = await host.cli(['apply', '-f', '-'], {
      input: `${vm('a', '64Mi')}---\n${vm('b', '64Mi')}image: none\n`,
    });
    expect(tooSmall).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("no image 'none'") });
    expect(await names()).toEqual([]);
    const done = await host.cli(['apply', '-f', '-', '--start'], { input: `${vm('a', '64Mi')}---\n${node}` });
    expect(done).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^a: created\nshop: up\n/) });
    expect(await skerry('list')).toMatch(/ a +running[^]* shop\/web +running/);
  });

  test('an edit changes the VM; an unchanged or wrong one does not, and nothing that was written is lost', async () => {
    await create('web-vm');
    await setEditor('true');
    expect((await host.cli(['edit', 'web-vm'])).stderr).toContain('nothing was changed');
    await setEditor(`sed -i 's/cpu: 1/cpu: 2/' "$1"`);
    expect(await skerry('edit', 'web-vm')).toBe('web-vm: cpu changed\n');
    await setEditor(`sed -i 's/memory: .*/memory: lots/' "$1"`);
    const said = await refused(['edit', 'web-vm'], 2, /web-vm\.yaml:7:9: memory: 'lots' is not a size/, /apply -f/);
    const kept = /is in (\S+web-vm\.yaml)\./.exec(said)?.[1] ?? '';
    expect(await readFile(kept, 'utf8')).toContain('memory: lots');
    await rm(dirname(kept), { recursive: true });
    await setEditor('exit 3');
    await refused(['edit', 'web-vm'], 1, /ended with 3/, /\S/);
    expect((await get('web-vm')).spec).toMatchObject({ cpus: 2, memoryMib: 128 });
  });

  test('an edit that somebody else was faster than is a conflict; a change of its state is none', async () => {
    await create('web-vm');
    const barrier = join(host.dir, 'edited');
    await setEditor(`touch ${barrier}; while [ -e ${barrier} ]; do sleep 0.05; done; sed -i 's/cpu: 1/cpu: 2/' "$1"`);
    const edit = async (meanwhile: () => Promise<unknown>) => {
      const editing = host.cli(['edit', 'web-vm']);
      await expect.poll(() => readFile(barrier, 'utf8').catch(() => undefined), { timeout: 20_000 }).toBeDefined();
      await meanwhile();
      await rm(barrier);
      return editing;
    };
    expect(await edit(() => skerry('start', 'web-vm'))).toMatchObject({ exitCode: 0, stdout: 'web-vm: cpu changed\n' });
    await skerry('set', 'web-vm', 'cpu=1');
    const lost = await edit(() => skerry('set', 'web-vm', 'title=faster'));
    expect(lost).toMatchObject({ exitCode: 4, stderr: expect.stringMatching(/somebody else[^]*apply -f/) });
    await rm(dirname(/is in (\S+web-vm\.yaml)\./.exec(lost.stderr)?.[1] ?? ''), { recursive: true });
    expect((await get('web-vm')).spec.cpus).toBe(1);
  });
});

describe('protect', () => {
  test('a protected VM is deleted with --force only', async () => {
    await skerry('create', 'web-vm', '--protect');
    await refused(['delete', 'web-vm'], 5, /protected/, /--no-protect.*--force/);
    await skerry('set', 'web-vm', '--no-protect');
    await skerry('set', 'web-vm', 'protect=true');
    await refused(['delete', 'web-vm'], 5, /protected/, /--force/);
    await skerry('delete', 'web-vm', '--force');
    expect(await names()).toEqual([]);
  });

  test('nor is its node, or anew by an `up`', async () => {
    const file = join(host.dir, 'shop.yaml');
    const write = (more: string) =>
      writeFile(
        file,
        `apiVersion: skerry/v1\nname: shop\n${more}vms: { web: { title: 前, labels: { tier: front } } }\n`,
      );
    await write('protect: true\n');
    await skerry('up', file);
    await refused(['node', 'delete', 'shop', '--yes'], 5, /node shop is protected/, /--force/);
    await write('');
    await skerry('up', file);
    await skerry('set', 'shop/web', '--protect');
    await refused(
      ['node', 'delete', 'shop', '--yes'],
      5,
      /shop\/web is protected/,
      /skerry set shop\/web --no-protect/,
    );
    await refused(['set', 'shop/web', 'cpu=2'], 5, /belongs to the node shop/, /skerry up/);
    await refused(['rename', 'shop/web', 'web'], 5, /belongs to the node shop/, /skerry up/);
    await write('defaults: { disk: 2Gi }\n');
    await refused(['up', file], 5, /would delete shop\/web/, /--no-protect/);
    await write('defaults: { labels: { more: "1" } }\n');
    await skerry('up', file);
    expect(await get('shop/web')).toMatchObject({
      title: '前',
      labels: { tier: 'front', more: '1' },
      spec: { protected: true },
    });
    await skerry('node', 'delete', 'shop', '--force');
  });
});

describe('ephemeral', () => {
  test('it is gone once it stops, also when the daemon was killed meanwhile', async () => {
    await skerry('create', 'a', '--ephemeral', '--start');
    await skerry('stop', 'a');
    await expect.poll(names).toEqual([]);
    await skerry('create', 'never-ran', '--ephemeral');
    await skerry('create', 'a', '--ephemeral', '--start');
    await skerry('create', 'b', '--ephemeral', '--start');
    const { pid } = (await get('a')).status.process ?? {};
    await host.kill9();
    process.kill(pid ?? 0, 'SIGKILL');
    await host.start();
    await expect.poll(names, { timeout: 20_000 }).toEqual(['never-ran', 'b']);
    await host.cli(['exec', 'b', '--', 'poweroff']);
    await expect.poll(names, { timeout: 20_000 }).toEqual(['never-ran']);
    expect(await host.leftovers()).toEqual([]);
  });
});

describe('labels', () => {
  test('select what a verb is done to', async () => {
    for (const [name, tier] of [
      ['a', 'front'],
      ['b', 'back'],
      ['c', 'front'],
    ] as const)
      await create(name, { labels: { tier } });
    await create('d');
    const listed = async (selector: string) =>
      (JSON.parse(await skerry('list', '-l', selector, '-o', 'json')) as Vm[]).map(({ name }) => name);
    expect(await listed('tier=front')).toEqual(['a', 'c']);
    expect(await listed('tier in (front,back)')).toEqual(['a', 'b', 'c']);
    expect(await listed('tier!=front')).toEqual(['b', 'd']);
    expect(await listed('!tier')).toEqual(['d']);
    expect(await listed('tier=nothing')).toEqual([]);
    expect((await host.client.vms({ selector: 'tier=back' })).map(({ name }) => name)).toEqual(['b']);
    await refused(['start', '-l', 'tier=nothing'], 3, /No VM has labels that match/, /skerry list/);
    await refused(['stop', '-l', 'tier=('], 2, /does not select/, /tier in/);
    await refused(['stop', 'a', '-l', 'tier=front'], 2, /Both/, /one of them/);
    await refused(['stop'], 2, /which VM/, /-l tier=front/);
    await skerry('start', '-l', 'tier=front');
    expect(await skerry('list', '-l', 'tier=front')).toMatch(/ a +running[^]* c +running/);
    expect((await get('b')).status.state).toBe('stopped');
    await skerry('delete', '-l', 'tier', '--force');
    expect(await names()).toEqual(['d']);
    await refused(['create', 'e', '--label', 'tier=前'], 2, /not a value of a label/, /\S/);
  });
});

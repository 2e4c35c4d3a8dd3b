import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';

/** A secret reaches the guests that name it, and nothing else: looked for in all that the host keeps and shows. */

const VALUE = 'Zq7-tidal-heron-91Xv';
const NEXT = 'Kw3-basalt-otter-42Rm';

const MAIN = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url));

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

async function sh(vm: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await host.client.exec(vm, script);
  expect([exitCode, stderr], script).toEqual([0, '']);
  return stdout.trim();
}

/** Files under the host's directories that hold the text, as it is or in base64; the memory of suspended VMs aside. */
async function holding(text: string): Promise<string[]> {
  const base64 = Buffer.from(text).toString('base64').replace(/=*$/, '').slice(0, -1);
  const found = await promisify(execFile)(
    'grep',
    ['-rlaF', '--devices=skip', '-e', text, '-e', base64, '--exclude=memory.state', host.dir, host.dirs.dataDir],
    { encoding: 'utf8' },
  ).catch((error: { code: number; stdout: string }) => {
    if (error.code === 1) return { stdout: '' };
    throw error;
  });
  return found.stdout.split('\n').filter((line) => line !== '');
}

async function commandLines(): Promise<string> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const texts = pids.flatMap((pid) => ['cmdline', 'environ'].map((file) => `/proc/${pid}/${file}`));
  const read = await Promise.all(texts.map((path) => readFile(path, 'latin1').catch(() => '')));
  // Those of the tests themselves hold it nowhere: it is in their source only.
  return read.join('\n');
}

test('the command line takes the value from anywhere but itself', async () => {
  const refused = await host.cli(['secret', 'set', 'db-password', VALUE]);
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toContain('skerry secret set db-password');
  expect(refused.stdout + refused.stderr).not.toContain(VALUE);
  expect((await host.cli(['secret', 'list', '-o', 'json'])).stdout.trim()).toBe('[]');

  expect(await host.cli(['secret', 'set', 'db-password'], { input: `${VALUE}\n` })).toMatchObject({
    exitCode: 0,
    stdout: 'db-password: set\n',
  });
  const file = join(host.dir, 'from-here');
  await writeFile(file, Buffer.from([0, 255, 10]));
  expect((await host.cli(['secret', 'set', 'blob', '--from-file', file])).exitCode).toBe(0);
  const missing = await host.cli(['secret', 'set', 'blob', '--from-file', `${file}.not`]);
  expect(missing).toMatchObject({ exitCode: 3, stdout: '' });
  expect((await host.cli(['secret', 'set', 'empty'], { input: '' })).exitCode).toBe(2);
});

test('on a terminal it asks, shows nothing of what is typed, and asks again', async () => {
  const asked = async (first: string, second: string) => {
    // script(1) gives the command a terminal.
    const argv = ['-qefc', `${process.execPath} --conditions=source ${MAIN} secret set typed`, '/dev/null'];
    const child = spawn('script', argv, { env: host.env, stdio: 'pipe' });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await expect.poll(() => output, { timeout: 20_000 }).toContain('Value of typed: ');
    child.stdin.write(`${first}\r`);
    await expect.poll(() => output, { timeout: 20_000 }).toContain('Once more: ');
    child.stdin.write(`${second}\r`);
    const [exitCode] = (await once(child, 'close')) as [number];
    return { output, exitCode };
  };
  const differing = await asked(VALUE, NEXT);
  expect(differing).toMatchObject({ exitCode: 2, output: expect.stringContaining('not the same') });
  expect((await host.client.call('secret.list')).map(({ name }) => name)).not.toContain('typed');
  const same = await asked(VALUE, VALUE);
  expect(same).toMatchObject({ exitCode: 0, output: expect.stringContaining('typed: set') });
  expect(differing.output + same.output).not.toMatch(new RegExp(`${VALUE}|${NEXT}`));
  await host.client.call('secret.delete', { params: { secret: 'typed' } });
});

test('what names a secret that is not there is refused before there is anything of it', async () => {
  const create = await host.cli(['create', 'web', 'micro', '--secret', 'nope', '--start']);
  expect(create.exitCode).toBe(3);
  expect(create.stderr).toContain('skerry secret set nope');
  const node = join(host.dir, 'node.yaml');
  await writeFile(node, 'apiVersion: skerry/v1\nname: shop\nvms:\n  web: {secrets: [nope]}\n');
  const up = await host.cli(['up', node]);
  expect(up.exitCode).toBe(3);
  expect(up.stderr).toContain('skerry secret set nope');
  expect([await host.client.call('vm.list'), await host.client.call('node.list')]).toEqual([[], []]);
});

test('a VM has it in its memory, for root alone; nothing else has it', async () => {
  const created = await host.cli(
    ['create', 'web', 'micro', '--secret', 'db-password', '--secret', 'blob:/etc/app/key', '--secret-env', 'PW=db-password', '--start', '-o', 'json'], // prettier-ignore
    { timeoutMs: 120_000 },
  );
  expect(created.exitCode, created.stderr).toBe(0);
  expect(await sh('web', 'stat -c "%a %u %g %n" /run/secrets/*; stat -f -c %T /run/secrets')).toBe(
    '400 0 0 /run/secrets/blob\n400 0 0 /run/secrets/db-password\ntmpfs',
  );
  expect(
    await sh('web', 'cat /run/secrets/db-password; echo; echo $PW; readlink /etc/app/key; wc -c </etc/app/key'),
  ).toBe(`${VALUE}\n${VALUE}\n/run/secrets/blob\n3`);
  // A second VM of the same template and image has nothing of it.
  await host.client.run('vm.create', { body: { name: 'other', start: true } });
  expect(await sh('other', 'ls /run/secrets /etc/app 2>/dev/null; echo ${PW:-none}')).toBe('none');

  const shown = await Promise.all(
    [
      ['info', 'web', '-o', 'yaml'],
      ['list', '-o', 'json'],
      ['secret', 'show', 'db-password'],
      ['secret', 'show', 'db-password', '-o', 'json'],
      ['secret', 'list', '-o', 'yaml'],
      ['task', 'list', '-o', 'json'],
      ['events', '-o', 'json'],
      ['logs', 'web'],
    ].map(async (argv) => {
      const { stdout, stderr, exitCode } = await host.cli(argv);
      expect(exitCode, argv.join(' ')).toBe(0);
      return stdout + stderr;
    }),
  );
  expect(shown.join('\n')).not.toContain(VALUE);
  expect(shown[2]).toContain('used by:  web');
  expect(created.stdout).not.toContain(VALUE);
  await sh('web', 'sync');
  expect(await holding(VALUE)).toEqual([]);
  expect(await commandLines()).not.toContain(VALUE);
  // The looking itself finds what is there.
  await writeFile(join(host.dir, 'planted'), `x${VALUE}y`);
  expect(await holding(VALUE)).toEqual([join(host.dir, 'planted')]);
  await writeFile(join(host.dir, 'planted'), '');
});

test('one that is used is not deleted', async () => {
  const refused = await host.cli(['secret', 'delete', 'blob']);
  expect(refused.exitCode).toBe(4);
  expect(refused.stderr).toContain('used by web');
});

test('another value is there from the next start on, under a daemon that is another one', async () => {
  const set = await host.cli(['secret', 'set', 'db-password'], { input: NEXT });
  expect(set).toMatchObject({ exitCode: 0, stdout: 'db-password: set, version 2\n' });
  expect(set.stderr).toContain('web will have it from the next start on');
  expect((await host.cli(['secret', 'rotate-key'])).stdout).toBe('2 secrets have a new key\n');
  await host.restart();
  expect(await sh('web', 'cat /run/secrets/db-password')).toBe(VALUE);
  await host.client.run('vm.restart', { params: { vm: 'web' } });
  expect(await sh('web', 'cat /run/secrets/db-password; echo; echo $PW')).toBe(`${NEXT}\n${NEXT}`);
  expect(await holding(VALUE)).toEqual([]);
});

test('suspended, it is in a file that only its owner can read; forked, the copy has it too', async () => {
  await host.client.run('vm.fork', { params: { vm: 'web' }, body: { name: 'web-2' } });
  expect(await sh('web-2', 'cat /run/secrets/db-password; echo; echo $PW')).toBe(`${NEXT}\n${NEXT}`);
  const { id } = await host.client.run('vm.suspend', { params: { vm: 'web' } });
  expect((await stat(join(host.dirs.dataDir, 'vms', id, 'memory.state'))).mode & 0o077).toBe(0);
  await host.client.call('secret.set', {
    params: { secret: 'db-password' },
    body: { valueBase64: Buffer.from(VALUE).toString('base64') },
  });
  await host.client.run('vm.start', { params: { vm: 'web' } });
  expect(await sh('web', 'cat /run/secrets/db-password; echo; echo $PW')).toBe(`${VALUE}\n${VALUE}`);
});

test('a node declares them as a compose file does; a member of a pool has none until it is the VM', async () => {
  await host.client.call('pool.set', { params: { image: 'micro' }, body: { size: 1 } });
  await expect.poll(async () => (await host.client.call('pool.list'))[0]?.ready, { timeout: 60_000 }).toBe(1);
  const path = join(host.dir, 'node.yaml');
  await writeFile(
    path,
    [
      'apiVersion: skerry/v1',
      'name: shop',
      'vms:',
      '  web:',
      '    secrets: [db-password, {secret: blob, path: /etc/blob}]',
      '    env: {PLAIN: 1, PASSWORD: {secret: db-password}}',
    ].join('\n'),
  );
  const up = await host.cli(['up', path], { timeoutMs: 120_000 });
  expect(up.exitCode, up.stderr).toBe(0);
  expect(await sh('shop/web', 'cat /etc/blob | wc -c; echo $PLAIN $PASSWORD')).toBe(`3\n1 ${VALUE}`);
  expect((await host.client.call('secret.get', { params: { secret: 'blob' } })).usedBy).toContain('shop/web');
  await host.client.call('pool.set', { params: { image: 'micro' }, body: { size: 0 } });
});

test('a save that names a secret which has gone is not restored, and what runs goes on', async () => {
  await host.client.run('node.save', { params: { node: 'shop' }, body: { name: 'before' } });
  const path = join(host.dir, 'node.yaml');
  await writeFile(path, 'apiVersion: skerry/v1\nname: shop\nvms:\n  web: {secrets: [db-password]}\n');
  const up = await host.cli(['up', path], { timeoutMs: 120_000 });
  expect(up.exitCode, up.stderr).toBe(0);
  // Another declaration of the same secrets is a restart: the variable and the file are gone.
  expect(await sh('shop/web', 'ls /run/secrets; echo ${PASSWORD:-none}')).toBe('db-password\nnone');
  for (const vm of ['web', 'web-2']) await host.client.run('vm.delete', { params: { vm }, query: { force: true } });
  expect((await host.cli(['secret', 'delete', 'blob'])).exitCode).toBe(0);
  const restore = await host.cli(['node', 'restore', 'shop', 'before', '--yes']);
  expect(restore.exitCode, restore.stderr).toBe(3);
  expect(restore.stderr).toContain('skerry secret set blob');
  expect(await sh('shop/web', 'cat /run/secrets/db-password')).toBe(VALUE);
});

import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

/** Bad input and bad days: an error with a remedy, the right exit code, and nothing of it left. */

const run = promisify(execFile);
let host: TestHost;
beforeAll(async () => {
  host = await startTestHost({ env: { SKERRY_AGENT_TIMEOUT: '4s' } });
  await host.client.run('vm.create', { body: { name: 'taken' } });
});
afterAll(() => host[Symbol.asyncDispose]());

const names = async () => (await host.client.call('vm.list')).map((vm) => vm.name);

/** stderr is 'error: ...', then what to do about it. */
async function refused(args: readonly string[], exitCode: number, message: RegExp, remedy: RegExp): Promise<void> {
  const result = await host.cli(args);
  expect(result).toMatchObject({ exitCode, stdout: '' });
  const [said = '', ...advice] = result.stderr.split('\n').filter((line) => !line.startsWith('daemon:'));
  expect(said).toMatch(message);
  expect(advice.join('\n')).toMatch(remedy);
  expect(await names()).toEqual(['taken']);
}

describe('a VM is refused', () => {
  test.each([
    ['an unknown image', ['create', 'web', 'nonsense', '--start'], 3, /no image 'nonsense'/, /image list/],
    ['a name that is taken', ['create', 'taken', 'micro'], 4, /VM 'taken' already/, /another name/],
    [
      'too little memory for the image',
      ['create', 'web', 'micro', '--memory', '40Mi'],
      2,
      /too little/,
      /--memory 48Mi/,
    ],
    [
      'too little memory for the kernel',
      ['create', 'web', 'micro', '--memory', '64Mi', '--kernel', 'distro'],
      2,
      /distribution's kernel needs 128 MiB/,
      /--memory 128Mi.*--kernel micro/,
    ],
    ['no CPU at all', ['create', 'web', 'micro', '--cpu', '0'], 2, /cpu/i, /\S/],
    ['a name with a slash', ['create', 'a/b', 'micro'], 2, /name/i, /\S/],
    ['a name with dots', ['create', '..', 'micro'], 2, /name/i, /\S/],
    ['a name with spaces', ['create', 'a b', 'micro'], 2, /name/i, /\S/],
    ['a name of 200 characters', ['create', 'a'.repeat(200), 'micro'], 2, /name/i, /\S/],
    ['a size that is none', ['create', 'web', 'micro', '--memory', 'lots'], 2, /lots/, /128Mi/],
    ['a VM that is not there', ['start', 'nobody'], 3, /no VM 'nobody'/, /skerry list/],
    ['an unknown verb', ['frobnicate', 'web'], 2, /frobnicate/, /help/],
    ["another tool's verb", ['destroy', 'taken'], 2, /destroy/, /kill/],
    ['two spellings that differ', ['create', 'a', '--name', 'b', 'micro'], 2, /name/i, /\S/],
  ])('%s', async (_, args, exitCode, message, remedy) => refused(args, exitCode, message, remedy));
});

describe('a node file is refused, with line and column', () => {
  const base = 'apiVersion: skerry/v1\nname: bad\nvms:\n';
  test.each([
    ['a tab', `${base}\tweb: {}\n`, 2, /:4:\d+: .*tab/i],
    ['a circle', `${base}  a: { dependsOn: [b] }\n  b: { dependsOn: [a] }\n`, 2, /:\d+:\d+: .*circle/],
    ['a dependency that is not there', `${base}  a: { dependsOn: [z] }\n`, 2, /:4:\d+: .*'z'/],
    ['an unknown field', `${base}  a: { memroy: 64Mi }\n`, 2, /:4:\d+: .*memroy/],
    ['a forward to nowhere', `${base}  a: {}\nforward: [{ host: 1080, to: 'z:80' }]\n`, 2, /:5:\d+: .*'z'/],
  ])('%s', async (_, text, exitCode, message) => {
    const file = join(host.dir, 'bad.yaml');
    await writeFile(file, text);
    await refused(['up', file], exitCode, message, /\S/);
    expect(await host.client.call('node.list')).toEqual([]);
  });

  test('a port that is in use', async () => {
    const server = await listening();
    const port = (server.address() as { port: number }).port;
    const file = join(host.dir, 'port.yaml');
    await writeFile(file, `${base}  a: {}\nforward: [{ host: ${port}, to: 'a:80' }]\n`);
    try {
      await refused(['up', file], 4, new RegExp(`Port ${port} .* in use`), /another port/);
      expect(await host.client.call('node.list')).toEqual([]);
    } finally {
      server.close();
    }
  });

  test('a file that is not there', () => refused(['up', 'nowhere.yaml'], 3, /nowhere\.yaml/, /\S/));
});

test('a guest that never answers is given up, and nothing of it is left', async () => {
  const starting = host.client.run('vm.create', { body: { name: 'mute', cold: true, start: true } });
  starting.catch(() => undefined);
  // Its CPU never runs: QEMU itself stands still before the guest can have booted.
  await expect.poll(() => stopQemu('mute'), { timeout: 10_000, interval: 2 }).toBe(true);
  await expect(starting).rejects.toMatchObject({ code: 'timeout', remedy: expect.stringMatching(/\S/) });
  expect(await names()).toEqual(['taken']);
  expect(await runtimeDirs()).toEqual([]);
});

test('QEMU killed in the middle of a start: the start says so, the VM can start again', async () => {
  await host.client.run('vm.create', { body: { name: 'victim', cold: true } });
  const starting = host.client.run('vm.start', { params: { vm: 'victim' } });
  starting.catch(() => undefined);
  await expect.poll(() => signalQemu('victim', 'SIGKILL'), { timeout: 10_000, interval: 2 }).toBe(true);
  await expect(starting).rejects.toMatchObject({ code: 'failed', remedy: expect.stringMatching(/\S/) });
  expect((await host.client.run('vm.start', { params: { vm: 'victim' } })).status.state).toBe('running');
  await host.client.run('vm.delete', { params: { vm: 'victim' }, query: { force: true } });
});

test('Ctrl-C during run takes the VM away', async () => {
  const child = host.startCli(['run', 'micro', '--', 'sleep', '60']);
  await expect.poll(async () => (await names()).length, { timeout: 20_000 }).toBe(2);
  child.kill('SIGINT');
  expect(await new Promise((resolve) => child.once('close', resolve))).toBe(130);
  await expect.poll(names, { timeout: 10_000 }).toEqual(['taken']);
});

test('without QEMU on the host', async () => {
  const bin = join(host.dir, 'bin');
  await mkdir(bin);
  // All that the daemon needs but QEMU.
  for (const tool of ['sh', 'env', 'cat', 'flock', 'apt-get', 'apt-cache', 'dpkg-deb', 'cpio', 'qemu-img', 'mke2fs']) {
    const { stdout } = await run('sh', ['-c', `command -v ${tool} || true`]);
    if (stdout.trim() !== '') await symlink(stdout.trim(), join(bin, tool));
  }
  await using bare = await startTestHost({ env: { PATH: bin, SKERRY_CACHE_DIR: join(host.dir, 'bare-cache') } });
  const result = await bare.cli(['create', 'web', 'micro', '--start']);
  expect(result.exitCode).toBe(5);
  expect(result.stderr).toMatch(/qemu-system-x86/);
  expect(await bare.client.call('vm.list')).toEqual([]);
}, 60_000);

test('on a full disk', async () => {
  const small = join(host.dir, 'small');
  await mkdir(small);
  // A file system of 3 MiB: room for the store, not for an image.
  await run('mount', ['-t', 'tmpfs', '-o', 'size=3m,mode=700', 'tmpfs', small]).catch(() => undefined);
  if (!(await readFile('/proc/mounts', 'utf8')).includes(small)) return; // not root
  try {
    await using full = await startTestHost({ dataDir: join(small, 'data') });
    const result = await full.cli(['create', 'web', 'micro', '--start']);
    expect(result.exitCode).toBe(5);
    expect(result.stderr).toMatch(/full|room|space/i);
    expect(await full.client.call('vm.list')).toEqual([]);
  } finally {
    await run('umount', [small]);
    await rm(small, { recursive: true, force: true });
  }
}, 60_000);

async function runtimeDirs(): Promise<string[]> {
  const { stdout } = await run('ls', [join(host.dirs.runtimeDir, 'v')]).catch(() => ({ stdout: '' }));
  return stdout.split('\n').filter((line) => line !== '');
}

const stopQemu = (name: string) => signalQemu(name, 'SIGSTOP');

/** False while there is no process yet. */
async function signalQemu(name: string, signal: NodeJS.Signals): Promise<boolean> {
  const vm = (await host.client.call('vm.list')).find((one) => one.name === name);
  if (vm === undefined) return false;
  const text = await readFile(join(host.dirs.dataDir, 'vms', vm.id, 'pid'), 'utf8').catch(() => '');
  if (text === '') return false;
  process.kill((JSON.parse(text) as { pid: number }).pid, signal);
  return true;
}

function listening(): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
  });
}

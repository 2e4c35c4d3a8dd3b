import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connect, type Skerry, type VM } from '../src/index.ts';
import { argvOf } from '../src/vms/exec.ts';
import { startTestDaemon, type TestDaemon, vmOf } from '@skerry/testkit/contract-server';

let daemon: TestDaemon;
let client: Skerry;
let vm: VM;

beforeAll(async () => {
  daemon = await startTestDaemon();
  client = connect({ socketPath: daemon.socketPath });
  const resource = vmOf('web', {}, { state: 'running' });
  daemon.vms.set(resource.id, resource);
  vm = await client.vm('web');
});
afterAll(async () => {
  client.close();
  await daemon[Symbol.asyncDispose]();
});

test('a plain word runs as it is, other text by the shell, a list word by word', () => {
  expect(argvOf('hostname')).toEqual(['hostname']);
  expect(argvOf('/bin/true')).toEqual(['/bin/true']);
  expect(argvOf('ls -l')).toEqual(['sh', '-c', 'ls -l']);
  expect(argvOf('ls|wc')).toEqual(['sh', '-c', 'ls|wc']);
  expect(argvOf('A=1')).toEqual(['sh', '-c', 'A=1']);
  expect(argvOf(['echo', 'a b'])).toEqual(['echo', 'a b']);
});

test('awaited: the output apart, and the exit code', async () => {
  expect(await vm.exec('echo hi; echo oh >&2; exit 3')).toEqual({
    stdout: 'hi\n',
    stderr: 'oh\n',
    exitCode: 3,
    signal: null,
  });
});

test('iterated: the bytes as they come, then the exit code', async () => {
  const p = vm.exec(['sh', '-c', 'echo hi; sleep 0.05; echo oh >&2; exit 4']);
  const came: string[] = [];
  for await (const { stream, data } of p) came.push(`${stream} ${Buffer.from(data).toString()}`);
  expect(came).toEqual(['stdout hi\n', 'stderr oh\n']);
  expect(await p).toEqual({ stdout: '', stderr: '', exitCode: 4, signal: null });
});

test('awaited long after its end: nothing is lost', async () => {
  const p = vm.exec('echo late');
  await sleep(100);
  expect((await p).stdout).toBe('late\n');
});

test('reads what it is given: text, bytes, a stream, or what is written to it', async () => {
  expect((await vm.exec('cat', { stdin: { text: 'text' } })).stdout).toBe('text');
  expect((await vm.exec('cat', { stdin: Buffer.alloc(100_000, 'x') })).stdout.length).toBe(100_000);
  expect((await vm.exec('cat', { stdin: Readable.from(['a', 'b']) })).stdout).toBe('ab');
  const p = vm.exec('cat');
  p.stdin.write('one ');
  p.stdin.end('two');
  expect((await p).stdout).toBe('one two');
  const later = vm.exec('cat', { stdin: 'pipe' });
  await sleep(50);
  later.stdin.end('later');
  expect((await later).stdout).toBe('later');
});

test('without standard input it reads end-of-file, and asking for it afterwards says how', async () => {
  const p = vm.exec('cat; sleep 0.2');
  await sleep(60);
  expect(() => p.stdin).toThrow('without standard input');
  expect((await p).stdout).toBe('');
});

test('a process that does not read its input ends all the same', async () => {
  const endless = new PassThrough();
  endless.write('x');
  expect((await vm.exec('true', { stdin: endless })).exitCode).toBe(0);
});

test('signals reach it', async () => {
  const p = vm.exec(['sleep', '60']);
  p.kill('INT');
  expect(await p).toMatchObject({ exitCode: null, signal: 'SIGINT' });
});

test('aborting ends it and throws cancelled', async () => {
  const abort = new AbortController();
  const p = vm.exec(['sleep', '60'], { signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await expect(p.then()).rejects.toMatchObject({ code: 'cancelled' });
  await expect(vm.exec('true', { signal: AbortSignal.abort() }).then()).rejects.toMatchObject({ code: 'cancelled' });
});

test('leaving the loop ends the process', async () => {
  let pid = 0;
  for await (const { data } of vm.exec('echo $$; exec sleep 60')) {
    pid = Number(Buffer.from(data).toString());
    break;
  }
  expect(pid).toBeGreaterThan(1);
  await expect.poll(() => isAlive(pid)).toBe(false);
});

test('a slow reader holds the process up', async () => {
  let read = 0;
  const p = vm.exec(['sh', '-c', 'head -c 64000000 /dev/zero']);
  for await (const { data } of p) {
    if (read === 0) await sleep(200);
    if (read === 0) expect(process.memoryUsage().external).toBeLessThan(60_000_000);
    read += data.length;
  }
  expect(read).toBe(64_000_000);
  expect((await p).exitCode).toBe(0);
});

test('more output than an awaited result may hold is an error', async () => {
  const p = vm.exec('head -c 100000 /dev/zero', { maxOutputBytes: 10_000 });
  await expect(p.then()).rejects.toThrow('more than 10000 bytes');
});

test('errors: no such VM, no such command', async () => {
  const { id } = vm;
  const resource = daemon.vms.get(id);
  daemon.vms.delete(id);
  await expect(vm.exec('true').then()).rejects.toMatchObject({ code: 'not-found' });
  if (resource !== undefined) daemon.vms.set(id, resource);
  await expect(vm.exec('no-such-command').then()).rejects.toThrow("no command 'no-such-command'");
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

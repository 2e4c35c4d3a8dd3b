import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { nodeOf, startTestDaemon, type TestDaemon, vmOf } from '@skerry/testkit/contract-server';

/** The real program, in a process of its own, against a server that speaks the contract. */

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
let daemon: TestDaemon;
let directory: string;

beforeAll(async () => {
  daemon = await startTestDaemon();
  directory = await mkdtemp(join(tmpdir(), 'skerry-cli-'));
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});
beforeEach(() => {
  daemon.vms.clear();
  daemon.templates.clear();
  daemon.nodes.clear();
  const vm = vmOf('web-vm', {}, { state: 'running' });
  daemon.vms.set(vm.id, vm);
});

function start(args: readonly string[]) {
  const { SKERRY_RUNTIME_DIR: _, ...env } = process.env;
  return spawn(process.execPath, ['--conditions=source', MAIN, ...args], {
    cwd: directory,
    env: { ...env, SKERRY_HOST: daemon.socketPath, NODE_COMPILE_CACHE: join(directory, 'cache') },
    stdio: 'pipe',
  });
}

async function skerry(
  args: readonly string[],
  input = '',
): Promise<{ stdout: string; stderr: string; exitCode: number | null }> {
  const child = start(args);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { stdout, stderr, exitCode };
}

describe('list', () => {
  test('the short way and the long way print the same', async () => {
    const short = await skerry(['list']);
    const long = await skerry(['list', '--yes']);
    expect(short).toEqual(long);
    expect(short.stdout).toMatch(
      /^ID +NAME +STATE +CPU +MEMORY +ADDRESSES +NODE\n\w{8} +web-vm +running +1 +128Mi +- +-\n$/,
    );
    expect(JSON.parse((await skerry(['list', '-o', 'json'])).stdout)).toMatchObject([{ name: 'web-vm' }]);
    expect((await skerry(['list', '-o', 'yaml'])).stdout).toContain('name: web-vm');
  });

  test('into a reader that has seen enough ends quietly', async () => {
    for (let index = 0; index < 2000; index++) {
      const vm = vmOf(`vm-${index}`);
      daemon.vms.set(vm.id, vm);
    }
    const child = start(['list', '-o', 'json']);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdout.once('data', () => child.stdout.destroy());
    const [exitCode] = await once(child, 'close');
    expect([exitCode, stderr]).toEqual([0, '']);
  });
});

describe('exec', () => {
  test("streams apart, exit code the guest's", async () => {
    expect(await skerry(['exec', 'web-vm', '--', 'sh', '-c', 'echo hi >&2; echo ho; exit 3'])).toEqual({
      stdout: 'ho\n',
      stderr: 'hi\n',
      exitCode: 3,
    });
  });

  test('passes standard input, and not with -n', async () => {
    expect((await skerry(['exec', 'web-vm', '--', 'cat'], 'typed')).stdout).toBe('typed');
    expect((await skerry(['exec', '-n', 'web-vm', '--', 'cat'], 'typed')).stdout).toBe('');
  });

  test('big output arrives whole', async () => {
    const { stdout } = await skerry(['exec', 'web-vm', '--', 'sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x']);
    expect(stdout.length).toBe(3_000_000);
  });

  test('the end of the output arrives, however slowly somebody reads it', async () => {
    const script = 'head -c 995000 /dev/zero | tr "\\0" x; sleep 0.1; printf %5000s end';
    const child = start(['exec', 'web-vm', '--', 'sh', '-c', script]);
    const ended = once(child, 'close');
    let length = 0;
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      length += chunk.length;
      await sleep(100);
    }
    expect(await ended).toEqual([0, null]);
    expect(length).toBe(1_000_000);
  });

  test("Ctrl-C goes to the guest's process", async () => {
    const child = start([
      'exec',
      'web-vm',
      '--',
      'sh',
      '-c',
      'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.05; done',
    ]);
    let stdout = '';
    child.stdout.on('data', (chunk: Buffer) => {
      if (stdout === '') child.kill('SIGINT');
      stdout += chunk.toString();
    });
    const [exitCode] = await once(child, 'close');
    expect([exitCode, stdout]).toEqual([130, 'ready\ncaught\n']);
  });

  test('death by a signal is 128 and its number', async () => {
    expect((await skerry(['exec', 'web-vm', '--', 'sh', '-c', 'kill -9 $$'])).exitCode).toBe(137);
  });
});

describe('run', () => {
  test('makes, runs and deletes', async () => {
    const { stdout, exitCode } = await skerry(['run', 'micro', '--', 'sh', '-c', 'echo hi; exit 5']);
    expect([stdout, exitCode]).toEqual(['hi\n', 5]);
    expect(daemon.tasks.slice(-2).map(({ kind, state }) => [kind, state])).toEqual([
      ['vm.create', 'succeeded'],
      ['vm.delete', 'succeeded'],
    ]);
    expect(daemon.vms.size).toBe(1);
  });

  test.each([
    ['while it starts', ['run', '--name', 'slow', 'micro', '--', 'true'], /booting/],
    ['while it runs', ['run', 'micro', '--', 'sh', '-c', 'echo booted >&2; sleep 60'], /booted/],
    [
      'that it ignores',
      ['run', 'micro', '--', 'sh', '-c', 'trap "" INT; echo booted >&2; sleep 60; sleep 60'],
      /booted/,
    ],
  ])('Ctrl-C %s: the VM is deleted, exit code 130', async (_, args, ready) => {
    const child = start(args);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      const before = ready.test(stderr);
      stderr += chunk.toString();
      if (!before && ready.test(stderr)) child.kill('SIGINT');
    });
    const [exitCode] = await once(child, 'close');
    expect(exitCode).toBe(130);
    expect([...daemon.vms.values()].map(({ name }) => name)).toEqual(['web-vm']);
  });
});

describe('power', () => {
  test('several targets: what fails is told, the others are done', async () => {
    const { stdout, stderr, exitCode } = await skerry(['stop', 'web-vm', 'nope']);
    expect(stdout).toBe('web-vm: stopped\n');
    expect(stderr).toContain("error: There is no VM 'nope'\n  See `skerry list`.\n");
    expect(exitCode).toBe(3);
  });

  test("--timeout of stop is the guest's time", async () => {
    expect((await skerry(['stop', 'web-vm', '--timeout', '3s'])).stderr).toContain('{"timeoutMs":3000}');
  });

  test('--timeout of others cancels', async () => {
    const { stderr, exitCode } = await skerry(['create', 'slow', '--start', '--timeout', '300ms']);
    expect([exitCode, stderr]).toEqual([6, expect.stringContaining('not done within 300ms, so it was cancelled')]);
    expect(daemon.tasks.at(-1)?.state).toBe('cancelled');
  });

  test('--no-wait prints the task', async () => {
    expect(JSON.parse((await skerry(['start', 'web-vm', '--no-wait', '-o', 'json'])).stdout)).toMatchObject({
      kind: 'vm.start',
    });
  });
});

describe('memory', () => {
  test('suspended and started again; what is so already is told', async () => {
    expect((await skerry(['suspend', 'web-vm'])).stdout).toBe('web-vm: suspended\n');
    expect((await skerry(['suspend', 'web-vm'])).stdout).toBe('web-vm: suspended already\n');
    expect((await skerry(['list'])).stdout).toMatch(/ web-vm +suspended /);
    expect((await skerry(['start', 'web-vm'])).stderr).toContain('resuming');
    await skerry(['suspend', 'web-vm']);
    expect((await skerry(['start', 'web-vm', '--discard-memory'])).stderr).toContain('booting');
  });

  test('forks: one is a VM, with --count they are a list', async () => {
    expect((await skerry(['fork', 'web-vm', 'web-2'])).stdout).toMatch(/^web-2: running/);
    expect(JSON.parse((await skerry(['fork', 'web-vm', 'web-3', '-o', 'json'])).stdout)).toMatchObject({
      name: 'web-3',
    });
    expect((await skerry(['fork', 'web-vm', 'w', '--count', '2'])).stdout).toMatch(/^ID .*\n.* w-1 .*\n.* w-2 .*\n$/);
    expect(JSON.parse((await skerry(['fork', 'web-vm', 'x', '--count', '1', '-o', 'json'])).stdout)).toHaveLength(1);
    expect((await skerry(['fork', 'nope', 'x'])).exitCode).toBe(3);
  });

  test('--cold goes along, and only when it is said', async () => {
    const cold = async (...args: string[]): Promise<unknown> =>
      JSON.parse((await skerry(['create', ...args, '-o', 'json'])).stdout).spec.cold;
    expect([await cold('a', '--cold'), await cold('b')]).toEqual([true, false]);
  });

  test('templates: built, shown, pruned', async () => {
    expect((await skerry(['template', 'build', 'micro', '--memory', '256Mi'])).stdout).toMatch(
      /^[0-9a-f]{16}: ready, holds 256Mi, built in 800ms\n$/,
    );
    const [template] = daemon.templates.values();
    const id = template?.id ?? '';
    expect((await skerry(['template', 'list'])).stdout).toMatch(
      new RegExp(`^ID .*HOLDS  CLONES  USED\n${id}  ready  1    256Mi   1     micro   any    256Mi  0       .* ago\n$`),
    );
    expect((await skerry(['template', 'show', id.slice(0, 8)])).stdout).toContain('machine:    microvm/tcg\n');
    expect((await skerry(['template', 'prune', '--unused-for', '1h'])).stdout).toBe('Nothing to delete\n');
    expect((await skerry(['template', 'delete', id, 'nope'])).exitCode).toBe(3);
    expect((await skerry(['template', 'policy', 'micro', 'never'])).stdout).toBe('micro: never\n');
    expect(daemon.policies.get('micro')).toBe('never');
  });

  test('pools', async () => {
    expect((await skerry(['pool', 'set', 'micro', '--size', '5'])).stdout).toBe(
      'IMAGE  SIZE  READY  CPU  MEMORY\nmicro  5     0      1    128Mi\n',
    );
    expect((await skerry(['pool', 'set', 'micro'])).stderr).toContain('skerry pool set micro --size 5');
    expect((await skerry(['pool', 'set', 'micro', '--size', '0'])).stdout).toBe('micro: no pool\n');
    expect((await skerry(['pool', 'list'])).stdout).toBe('IMAGE  SIZE  READY  CPU  MEMORY\n');
  });

  test('nodes: saved, forked, restored', async () => {
    daemon.nodes.set('shop', nodeOf('shop'));
    expect((await skerry(['node', 'save', 'shop', 'before'])).stdout).toBe('shop: saved as before, 1 VMs, 1Mi\n');
    expect((await skerry(['node', 'saves', 'shop'])).stdout).toMatch(/^SAVE .*\nbefore +\S+ +1 +1 +1Mi\n$/);
    expect((await skerry(['node', 'restore', 'shop', 'before'])).stdout).toMatch(/^shop: up\n/);
    expect((await skerry(['node', 'restore', 'shop', 'nope'])).exitCode).toBe(3);
    expect((await skerry(['node', 'fork', 'shop', 'shop-b'])).stdout).toMatch(/^shop-b: up\n/);
    expect((await skerry(['node', 'delete-save', 'shop', 'before'])).stdout).toBe('shop: the save before is deleted\n');
    expect(daemon.saves).toEqual([]);
  });
});

describe('top', () => {
  const snapshot = ['top', '--once', '--interval', '200ms'];

  test('shows two looks where there is no terminal', async () => {
    const { stdout } = await skerry(['top', '--interval', '200ms']);
    expect(stdout).toMatch(
      /^host: cpu 50\.0% of 2, memory 2Gi of 8Gi\n1 VM: PSS 20Mi, private 18Mi; templates: 0B; pools: none\n\n/,
    );
    expect(stdout).toMatch(/NAME .*\nweb-vm +running +25\.0 +20Mi +18Mi +40Mi +0B +0B +\S+Ki +0B\n$/);
    const { vms, overMs } = JSON.parse((await skerry([...snapshot, '-o', 'json'])).stdout);
    expect(vms).toMatchObject([{ name: 'web-vm', cpuPercent: expect.closeTo(25, 5), pssBytes: 20 * 2 ** 20 }]);
    expect(overMs).toBeGreaterThan(190);
  });

  test('--interval has a least', async () => {
    expect(await skerry(['top', '--interval', '1ms'])).toMatchObject({ exitCode: 2 });
  });

  /** On a terminal: `script` gives it one, and passes what is typed. */
  async function onTerminal(act: (child: ReturnType<typeof spawn>) => void) {
    const { SKERRY_RUNTIME_DIR: _, ...env } = process.env;
    const command = `stty rows 10 cols 60; "${process.execPath}" --conditions=source "${MAIN}" top --interval 200ms; echo "code $?"; stty -a`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      cwd: directory,
      env: { ...env, SKERRY_HOST: daemon.socketPath, NODE_COMPILE_CACHE: join(directory, 'cache'), SHELL: '/bin/sh' },
      stdio: 'pipe',
    });
    let stdout = '';
    let acted = false;
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      // The second frame, with rates.
      if (acted || !/web-vm.* 25\.0/.test(stdout)) return;
      acted = true;
      act(child);
    });
    await once(child, 'close');
    return stdout;
  }

  test.each([
    ['q', 0],
    ['\u0003', 130],
  ])('live: %j ends it with %i, and the terminal is as it was', async (key, code) => {
    const stdout = await onTerminal(({ stdin }) => stdin?.write(key));
    const [frames = '', after = ''] = stdout.split('\u001b[?25h\u001b[?1049l');
    expect(frames).toContain('\u001b[?1049h\u001b[?25l');
    expect(frames).toContain('sort: c [cpu]');
    expect(after).toContain(`code ${code}\r\n`);
    expect(after).toMatch(/ icanon .*\bisig|isig icanon/);
    expect(after).not.toMatch(/-echo |-icanon|-isig/);
    // Rows and columns of the terminal are not left.
    // oxlint-disable-next-line no-control-regex -- takes the sequences out
    const lines = frames.replace(/\u001b\[\??\d*[a-zA-Z]/g, '\n').split(/\r?\n/);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60);
  });
});

describe('cp', () => {
  test('there and back', async () => {
    const content = 'x'.repeat(200_000);
    await writeFile(join(directory, 'file'), content);
    expect((await skerry(['cp', './file', 'web-vm:/copy'])).exitCode).toBe(0);
    expect((await skerry(['cp', 'web-vm:/copy', '-'])).stdout).toBe(content);
    expect((await skerry(['cp', 'web-vm:/copy', 'back'])).exitCode).toBe(0);
    expect(await readFile(join(directory, 'back'), 'utf8')).toBe(content);
    expect((await skerry(['cp', '-', 'web-vm:/typed'], 'typed')).exitCode).toBe(0);
    expect((await skerry(['cp', 'web-vm:/typed', '-'])).stdout).toBe('typed');
  });

  test('damaged on the way: an error, and no file is left', async () => {
    await skerry(['cp', '-', 'web-vm:/damaged'], 'x');
    const { exitCode, stderr } = await skerry(['cp', 'web-vm:/damaged', 'damaged']);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('arrived damaged')]);
    await expect(readFile(join(directory, 'damaged'))).rejects.toThrow('ENOENT');
  });

  test.each([
    [['cp', 'a', 'b'], 2],
    [['cp', 'web-vm:/gone', '.'], 3],
    [['cp', '.', 'web-vm:/x'], 2],
    [['cp', 'gone', 'web-vm:/x'], 3],
  ])('%j exits with %i', async (args, code) => expect((await skerry(args)).exitCode).toBe(code));
});

describe('errors', () => {
  test('as JSON on stderr where -o json', async () => {
    const { stdout, stderr, exitCode } = await skerry(['info', 'nope', '-o', 'json']);
    expect([stdout, exitCode]).toEqual(['', 3]);
    expect(JSON.parse(stderr)).toEqual({
      code: 'not-found',
      message: "There is no VM 'nope'",
      remedy: 'See `skerry list`.',
    });
  });

  test('usage, with what to type', async () => {
    expect(await skerry(['strat'])).toEqual({
      stdout: '',
      stderr: "error: There is no command 'strat'\n  Did you mean: skerry start\n",
      exitCode: 2,
    });
  });

  test('all problems of a node file', async () => {
    await writeFile(
      join(directory, 'bad.yaml'),
      'apiVersion: skerry/v1\nname: bad\nvms:\n  a: { cpu: 0 }\n  b: { memory: x }\n',
    );
    const { stderr, exitCode } = await skerry(['up', 'bad.yaml']);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: bad\.yaml:4:13: .*\n[^]*bad\.yaml:5:16: /);
  });
});

test('the console shows what was, and what is typed goes there', async () => {
  const child = start(['console', 'web-vm']);
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.endsWith('typed')) child.kill('SIGINT');
  });
  child.stdin.write('typed');
  const [exitCode] = await once(child, 'close');
  expect([stdout, exitCode]).toEqual(['past output\r\ntyped', 130]);
});

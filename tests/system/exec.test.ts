import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VM } from '@skerry/sdk';
import { startTestHost, type TestHost } from '@skerry/testkit';

let host: TestHost;
let vm: VM;
beforeAll(async () => {
  host = await startTestHost();
  await host.client.run('vm.create', {
    body: { name: 'web', start: true, command: ['sh', '-c', 'echo begun; while sleep 1; do echo tick; done'] },
  });
  vm = await host.client.vm('web');
});
afterAll(() => host[Symbol.asyncDispose]());

describe('exec', () => {
  test('keeps stdout and stderr apart and returns the exit code', async () => {
    expect(await host.cli(['exec', 'web', '--', 'sh', '-c', 'echo hi >&2; echo ho; exit 3'])).toEqual({
      stdout: 'ho\n',
      stderr: 'hi\n',
      exitCode: 3,
    });
  });

  test('passes stdin', async () => {
    expect(await host.cli(['exec', 'web', '--', 'wc', '-c'], { input: 'x'.repeat(100_000) })).toMatchObject({
      stdout: '100000\n',
    });
  });

  test('loses nothing of 10 MiB, sent or received', async () => {
    const bytes = 10 * 2 ** 20;
    // The same pseudo-random bytes on both sides, and not one of them through a text.
    const child = vm.exec(`head -c ${bytes} /dev/urandom | tee /tmp/big`);
    const received = createHash('sha256');
    let count = 0;
    for await (const { data } of child) {
      received.update(data);
      count += data.length;
    }
    expect(count).toBe(bytes);
    expect((await vm.exec('sha256sum /tmp/big')).stdout).toContain(received.digest('hex'));

    const content = randomBytes(bytes);
    const { stdout } = await vm.exec('sha256sum', { stdin: content });
    expect(stdout).toContain(hash(content));
  });

  test('gives chunks as they come, and the exit code afterwards', async () => {
    const child = vm.exec(['sh', '-c', 'echo out; echo err >&2; exit 4']);
    const seen: Record<string, string> = { stdout: '', stderr: '' };
    for await (const { stream, data } of child) seen[stream] += Buffer.from(data).toString();
    expect(seen).toEqual({ stdout: 'out\n', stderr: 'err\n' });
    expect((await child).exitCode).toBe(4);
  });

  test('a terminal has the size it is given, and takes another', async () => {
    const child = vm.exec("trap 'stty size; exit' WINCH; stty size; while sleep 0.1; do :; done", {
      tty: { cols: 80, rows: 24 },
    });
    let seen = '';
    for await (const { data } of child) {
      seen += Buffer.from(data).toString();
      if (seen === '24 80\r\n') child.resize(200, 50);
    }
    expect(seen).toBe('24 80\r\n50 200\r\n');
  });

  test('Ctrl-C on a terminal interrupts what runs on it, not the shell', async () => {
    const child = vm.exec(['sh', '-i'], { tty: { cols: 80, rows: 24 }, stdin: 'pipe', env: { PS1: '$ ' } });
    // What is typed has quotes in it, so that its echo is not taken for its output. Who says that it has begun has the terminal
    // by then: a Ctrl-C sooner is the shell's own, here as on any terminal, and what it is about to start goes on.
    const script = [
      { after: '$ ', type: `sh -c 'echo be""gin; exec sleep 300'\n` },
      { after: 'begin\r\n', type: '\x03' },
      { after: '$ ', type: 'echo en""d; exit 5\n' },
    ];
    let seen = '';
    for await (const { data } of child) {
      seen += Buffer.from(data).toString();
      const next = script[0];
      if (next === undefined || !seen.includes(next.after)) continue;
      seen = '';
      script.shift();
      child.stdin.write(next.type);
    }
    expect(seen).toContain('end\r\n');
    expect((await child).exitCode).toBe(5);
  });

  test('signals, by name and by the end of the time', async () => {
    const child = vm.exec(['sh', '-c', "trap 'echo got it; exit 9' USR1; echo ready; while :; do sleep 0.1; done"]);
    let seen = '';
    for await (const { data } of child) {
      seen += Buffer.from(data).toString();
      if (seen === 'ready\n') child.kill('USR1');
    }
    expect(seen).toContain('got it\n');
    expect((await child).exitCode).toBe(9);

    await expect(vm.exec(['sleep', '300'], { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'timeout',
      remedy: expect.any(String),
    });
    expect(await processes('sleep 300')).toBe(0);
  });

  test('an abort ends the command in the guest', async () => {
    const stopping = new AbortController();
    const child = vm.exec(['sleep', '301'], { signal: stopping.signal });
    setTimeout(() => stopping.abort(), 300);
    await expect(child).rejects.toMatchObject({ code: 'cancelled' });
    await expect.poll(() => processes('sleep 301'), { timeout: 10_000 }).toBe(0);
  });

  test('Ctrl-C of the command line ends the command in the guest', async () => {
    const cli = host.startCli(['exec', 'web', '--', 'sh', '-c', 'echo begin; exec sleep 302']);
    await once(cli.stdout, 'data');
    cli.kill('SIGINT');
    expect(await once(cli, 'exit')).toEqual([130, null]);
    await expect.poll(() => processes('sleep 302'), { timeout: 10_000 }).toBe(0);
  });

  test('a command that is not there ends with 127', async () => {
    expect((await host.cli(['exec', 'web', '--', 'no-such-command'])).exitCode).toBe(127);
  });

  test('run makes a VM, returns the exit code of the command, and leaves nothing', async () => {
    expect(await host.cli(['run', 'micro', '--', 'sh', '-c', 'hostname; exit 7'])).toMatchObject({ exitCode: 7 });
    expect((await host.client.call('vm.list')).map((one) => one.name)).toEqual(['web']);
  });
});

describe('files', () => {
  test.each([0, 1, 20_000_000])('%d bytes go in and come back the same', async (size) => {
    const content = randomBytes(size);
    const [there, back] = [join(host.dir, `there-${size}`), join(host.dir, `back-${size}`)];
    await writeFile(there, content);
    expect(await host.cli(['cp', there, 'web:/root/copy'])).toMatchObject({ exitCode: 0 });
    expect(await host.cli(['cp', 'web:/root/copy', back])).toMatchObject({ exitCode: 0 });
    expect(hash(await readFile(back))).toBe(hash(content));
    expect((await vm.exec('sha256sum /root/copy')).stdout).toContain(hash(content));
  });

  test('into a directory, and to standard output', async () => {
    const file = join(host.dir, 'motd');
    await writeFile(file, 'welcome\n');
    expect(await host.cli(['cp', file, 'web:/root/'])).toMatchObject({ exitCode: 0 });
    expect(await host.cli(['cp', 'web:/root/motd', '-'])).toMatchObject({ stdout: 'welcome\n' });
  });

  test('a file that is not there is said to be so', async () => {
    const result = await host.cli(['cp', 'web:/no/such', '-']);
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toContain('/no/such');
  });

  test('the SDK writes from a stream', async () => {
    await vm.files.write('/etc/x', Readable.from(['a', 'b']));
    expect((await vm.exec(['cat', '/etc/x'])).stdout).toBe('ab');
  });
});

describe('what a VM has written', () => {
  test('logs has what its command wrote, and goes on with -f', async () => {
    expect((await host.cli(['logs', 'web'])).stdout).toContain('begun\n');
    const following = host.startCli(['logs', 'web', '-f']);
    let seen = '';
    for await (const chunk of following.stdout) {
      seen += String(chunk);
      if (seen.split('tick').length > 3) break;
    }
    expect(seen).toMatch(/^begun\n(tick\n)+/);
    following.kill('SIGINT');
    await once(following, 'exit');
  });

  test('the console begins with its past output, and goes on', async () => {
    await vm.exec('echo from the past > /dev/console');
    const console = vm.console();
    let seen = '';
    for await (const chunk of console) {
      seen += String(chunk);
      if (seen.includes('from the past') && !seen.includes('and now'))
        void vm.exec('echo and now > /dev/console').then(() => undefined);
      if (seen.includes('and now')) break;
    }
    expect(seen.indexOf('from the past')).toBeLessThan(seen.indexOf('and now'));
  });
});

test('QEMU killed under a command: the command ends with an error, the VM is shown crashed and can start again', async () => {
  const running = vm.exec(['sleep', '303']);
  const message = expect.stringMatching(/^web has ended meanwhile: .*SIGKILL/);
  const ended = expect(running).rejects.toMatchObject({
    code: 'unavailable',
    message,
    remedy: expect.stringMatching(/\S/),
  });
  await expect.poll(() => processes('sleep 303'), { timeout: 10_000 }).toBe(1);
  process.kill((await vm.info()).status.process?.pid ?? Number.NaN, 'SIGKILL');
  await ended;
  expect((await vm.wait('stopped')).status).toMatchObject({
    state: 'crashed',
    exit: { signal: 'SIGKILL', reason: expect.stringContaining('SIGKILL') },
  });
  const refused = await host.cli(['exec', 'web', '--', 'true']);
  expect(refused).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('skerry start web') });
  expect((await vm.start()).status.state).toBe('running');
});

async function processes(commandLine: string): Promise<number> {
  const { stdout } = await vm.exec(`ps | grep -c "[${commandLine[0]}]${commandLine.slice(1)}" || true`);
  return Number(stdout);
}

function hash(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { VM } from '@skerry/sdk';
import { startTestHost, type TestHost } from '@skerry/testkit/host';

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

  test('loses nothing of a long output', async () => {
    const { stdout } = await vm.exec(['sh', '-c', 'seq 1 200000']);
    expect(stdout.split('\n')).toHaveLength(200_001);
    expect(stdout.endsWith('199999\n200000\n')).toBe(true);
  });

  test('gives chunks as they come, and the exit code afterwards', async () => {
    const child = vm.exec(['sh', '-c', 'echo out; echo err >&2; exit 4']);
    const seen: Record<string, string> = { stdout: '', stderr: '' };
    for await (const { stream, data } of child) seen[stream] += Buffer.from(data).toString();
    expect(seen).toEqual({ stdout: 'out\n', stderr: 'err\n' });
    expect((await child).exitCode).toBe(4);
  });

  test.each([
    [80, 24],
    [200, 50],
  ])('a terminal has %d columns and %d rows', async (cols, rows) => {
    const { stdout } = await vm.exec(['stty', 'size'], { tty: { cols, rows } });
    expect(stdout.trim()).toBe(`${rows} ${cols}`);
  });

  test('a signal ends the command in the guest', async () => {
    const stopping = new AbortController();
    const child = vm.exec(['sleep', '300'], { signal: stopping.signal });
    setTimeout(() => stopping.abort(), 300);
    await expect(child).rejects.toMatchObject({ code: 'cancelled' });
    await expect
      .poll(async () => (await vm.exec('ps | grep -c "[s]leep 300" || true')).stdout.trim(), { timeout: 10_000 })
      .toBe('0');
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
  test.each([0, 1, 70_000, 5_000_000])('%d bytes go in and come back the same', async (size) => {
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

test('logs has what the command wrote, and goes on with -f', async () => {
  expect((await host.cli(['logs', 'web'])).stdout).toContain('begun');
  const following = await vm.logs({ follow: true });
  let ticks = 0;
  for await (const chunk of following) {
    ticks += String(chunk).split('tick').length - 1;
    if (ticks >= 3) break;
  }
  expect(ticks).toBeGreaterThanOrEqual(3);
});

function hash(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentClient } from '../../../src/vms/agent/index.ts';
import { collect, finish, startAgent, until, type RealAgent } from './real-agent.ts';

let agent: RealAgent;
let client: AgentClient;

beforeAll(async () => {
  agent = await startAgent();
  client = await agent.connect();
});
afterAll(() => agent[Symbol.asyncDispose]());

const sh = (script: string) => client.exec({ argv: ['sh', '-c', script], stdin: false });

test('keeps stdout, stderr and the exit code apart', async () => {
  expect(await finish(sh('echo out; echo err >&2; exit 3'))).toEqual({
    stdout: 'out\n',
    stderr: 'err\n',
    exitCode: 3,
    signal: null,
  });
});

test('passes stdin to its end', async () => {
  const process = client.exec({ argv: ['wc', '-c'] });
  process.stdin.end(Buffer.alloc(1_000_000, 'x'));
  expect((await finish(process)).stdout.trim()).toBe('1000000');
});

test('without stdin the command reads end of file', async () => {
  expect((await finish(client.exec({ argv: ['cat'], stdin: false }))).exitCode).toBe(0);
});

test('a socket is input and output, and each of its halves ends by itself', async () => {
  const script = 'readlink /proc/self/fd/0 /proc/self/fd/1; echo error >&2; wc -c; echo after';
  const process = client.exec({ argv: ['sh', '-c', script], socket: true });
  process.stdin.end(Buffer.alloc(1_000_000, 'x'));
  const { stdout, stderr, exitCode } = await finish(process);
  const [input, output, count, after] = stdout.trim().split(/\s+/);
  expect(input).toMatch(/^socket:/);
  expect([output, count, after, stderr, exitCode]).toEqual([input, '1000000', 'after', 'error\n', 0]);
});

test('passes every byte value, unchanged, both ways', async () => {
  const data = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) & 255));
  const process = client.exec({ argv: ['cat'] });
  process.stdin.end(data);
  expect((await collect(process.stdout)).equals(data)).toBe(true);
});

test('data that has the magic in it is no new session', async () => {
  const magic = Buffer.from('\xf5SKERRY-AGENT/1\xfe', 'latin1');
  const data = Buffer.concat([Buffer.alloc(100, 1), magic, magic, Buffer.alloc(70_000, 2), magic]);
  const process = client.exec({ argv: ['cat'] });
  process.stdin.end(data);
  expect((await collect(process.stdout)).equals(data)).toBe(true);
});

test('says that a command was not found, with 127', async () => {
  const result = await finish(client.exec({ argv: ['no-such-command'] }));
  expect(result).toMatchObject({ exitCode: 127, stdout: '' });
  expect(result.stderr).toBe('no-such-command: command not found\n');
  expect((await finish(client.exec({ argv: ['/etc/passwd'] }))).exitCode).toBe(126);
});

test('reports death by a signal, to the whole group', async () => {
  const process = sh('sleep 100 & sleep 100');
  await sleep(50);
  process.kill('TERM');
  expect(await process.exited).toEqual({ exitCode: null, signal: 'SIGTERM' });
});

test('sets env and cwd', async () => {
  const process = client.exec({
    argv: ['sh', '-c', 'echo "$PWD $A $HOME"'],
    env: { A: 'b c', HOME: '/h' },
    cwd: '/usr',
    stdin: false,
  });
  expect((await finish(process)).stdout).toBe('/usr b c /h\n');
});

test('refuses a folder and a user that do not exist', async () => {
  await expect(client.exec({ argv: ['true'], cwd: '/no/such' }).exited).rejects.toMatchObject({ code: 'not-found' });
  await expect(client.exec({ argv: ['true'], user: 'nobody-here' }).exited).rejects.toMatchObject({
    code: 'not-found',
  });
});

test.runIf(process.getuid?.() === 0)('runs as another user with its groups', async () => {
  const result = await finish(
    client.exec({ argv: ['sh', '-c', 'id -u; id -g; echo $HOME; echo x >/dev/stdout'], user: 'daemon', stdin: false }),
  );
  expect(result).toMatchObject({ stdout: '1\n1\n/usr/sbin\nx\n', stderr: '' });
  expect((await finish(client.exec({ argv: ['id', '-u'], user: '4242:7', stdin: false }))).stdout).toBe('4242\n');
});

test('ends at its time limit', async () => {
  const process = client.exec({ argv: ['sleep', '100'], timeoutMs: 50 });
  await expect(process.exited).rejects.toMatchObject({ code: 'timeout' });
});

test('a time limit kills who ignores SIGTERM', { timeout: 15_000 }, async () => {
  const process = client.exec({ argv: ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'], timeoutMs: 50 });
  await expect(process.exited).rejects.toMatchObject({ code: 'timeout' });
});

test('an abort ends the command in the guest', async () => {
  const abort = new AbortController();
  const process = client.exec(
    { argv: ['sh', '-c', 'echo $$; exec sleep 1000'], stdin: false },
    { signal: abort.signal },
  );
  const [pid] = (await once(process.stdout, 'data')) as [Buffer];
  abort.abort();
  await expect(process.exited).rejects.toMatchObject({ code: 'cancelled' });
  await until(() => !alive(Number(pid)));
});

test('gives a terminal with a size that follows', async () => {
  const process = client.exec({
    argv: ['sh', '-c', 'tty; stty size; read x; stty size'],
    tty: { cols: 200, rows: 50 },
  });
  let text = '';
  process.stdout.on('data', (data: Buffer) => (text += data.toString()));
  await until(() => text.includes('50 200'));
  process.resize(80, 24);
  process.stdin.write('\n');
  expect(await process.exited).toEqual({ exitCode: 0, signal: null });
  await until(() => text.includes('24 80'));
  expect(text).toContain('/dev/pts/');
});

test('Ctrl-C in a terminal interrupts the command', async () => {
  const process = client.exec({ argv: ['sh', '-c', 'echo ready; exec sleep 100'], tty: { cols: 80, rows: 24 } });
  // exec: dash loses a SIGINT that falls into its vfork.
  await once(process.stdout, 'data');
  process.stdin.write('\x03');
  expect(await process.exited).toMatchObject({ signal: 'SIGINT' });
});

test('a large output is complete before the exit, and waits for its reader', async () => {
  const process = client.exec({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero; echo end >&2'], stdin: false });
  let ended = false;
  void process.exited.then(() => (ended = true));
  await sleep(200);
  expect(ended).toBe(false);
  const result = await finish(process);
  expect([result.stdout.length, result.stderr, result.exitCode]).toEqual([5_000_000, 'end\n', 0]);
});

test('a reader that goes away lets the command end', async () => {
  const process = client.exec({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero; exit 4'], stdin: false });
  process.stdout.destroy();
  process.stderr.resume();
  expect(await process.exited).toEqual({ exitCode: 4, signal: null });
});

test('a command that leaves a child behind ends with its own output complete', async () => {
  const result = await finish(sh('sleep 3 & echo done'));
  expect(result).toMatchObject({ stdout: 'done\n', exitCode: 0 });
});

test('a command that does not read its input ends without an error', async () => {
  const process = client.exec({ argv: ['true'] });
  process.stdin.write(Buffer.alloc(3_000_000));
  expect(await process.exited).toEqual({ exitCode: 0, signal: null });
});

test('many at once', async () => {
  const results = await Promise.all(
    Array.from({ length: 60 }, (_, index) => finish(sh(`echo ${index}; exit ${index}`))),
  );
  expect(results.map((result) => [result.stdout, result.exitCode])).toEqual(
    Array.from({ length: 60 }, (_, index) => [`${index}\n`, index]),
  );
});

test('refuses what can not be passed', () => {
  expect(() => client.exec({ argv: [] })).toThrowError(expect.objectContaining({ code: 'invalid' }));
  expect(() => client.exec({ argv: ['a\0b'] })).toThrowError(expect.objectContaining({ code: 'invalid' }));
  expect(() => client.exec({ argv: ['a', 'x'.repeat(70_000)] })).toThrowError(
    expect.objectContaining({ code: 'invalid' }),
  );
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectAgent, type AgentNotice } from '../../../src/vms/agent/index.ts';
import { encodeFrame } from '../../../src/vms/agent/frames.ts';
import { FRAME, MAGIC, OP } from '../../../src/vms/agent/protocol.ts';
import { collect, exists, finish, startAgent, until, type RealAgent } from './real-agent.ts';

let agent: RealAgent;

beforeAll(async () => {
  agent = await startAgent();
});
afterAll(() => agent[Symbol.asyncDispose]());

test('says hello with version, kernel and a nonce that stays', async () => {
  const first = await agent.connect();
  first.close();
  const second = await agent.connect();
  expect(second.hello).toEqual({ ...first.hello, readyUs: second.hello.readyUs });
  expect(first.hello).toMatchObject({ protocol: 1, bootNonce: expect.stringMatching(/^[0-9a-f]{32}$/) });
  second.close();
});

test('ends commands of a session that is lost, keeps the service', { timeout: 15_000 }, async () => {
  const first = await agent.connect();
  await first.service.set({ argv: ['sh', '-c', 'echo one; echo two >&2; sleep 1000'], env: { A: 'b' } });
  const { pid } = await first.service.status();
  const command = first.exec({ argv: ['sh', '-c', 'echo $$; exec sleep 1000'] });
  const [shell] = (await once(command.stdout, 'data')) as [Buffer];
  const stubborn = first.exec({ argv: ['sh', '-c', 'trap "" HUP; echo $$; while :; do sleep 1; done'] });
  const [other] = (await once(stubborn.stdout, 'data')) as [Buffer];
  first.close();
  await expect(command.exited).rejects.toMatchObject({ code: 'unavailable' });
  await until(async () => !(await exists(`/proc/${Number(shell)}`)) && !(await exists(`/proc/${Number(other)}`)));
  await using second = await agent.connect();
  expect(await second.service.status()).toMatchObject({ state: 'running', pid });
  // The same specification again changes nothing.
  await second.service.set({ argv: ['sh', '-c', 'echo one; echo two >&2; sleep 1000'], env: { A: 'b' } });
  expect((await second.service.status()).pid).toBe(pid);
  await until(() => agent.serviceLog().includes('one\n') && agent.serviceLog().includes('two\n'));
  await second.service.set(null);
  await until(async () => (await second.service.status()).state === 'exited');
});

test('a service is restarted with a growing pause, and each exit is told', async () => {
  await using client = await agent.connect();
  const notices: AgentNotice[] = [];
  client.on('notify', (notice) => notices.push(notice));
  await client.service.set({ argv: ['sh', '-c', 'exit 7'], restart: 'on-failure' });
  await until(() => notices.length >= 3);
  expect(notices[1]).toEqual({ kind: 'service-exit', exitCode: 7, signal: null, restarts: 1, willRestart: true });
  await client.service.set({ argv: ['true'], restart: 'on-failure' });
  await until(async () => (await client.service.status()).state === 'exited');
  expect(await client.service.status()).toMatchObject({ exitCode: 0, restarts: 0 });
  await client.service.set({ argv: ['/no/such/service'], restart: 'never' });
  await until(async () => (await client.service.status()).exitCode === 127);
  await until(() => agent.serviceLog().includes('/no/such/service: No such file'));
});

test('a new session follows a frame that was cut anywhere', async () => {
  const open = encodeFrame(FRAME.OPEN, 1, Buffer.from([OP.STATS]));
  const data = encodeFrame(FRAME.DATA, 1, Buffer.alloc(1000, 0xf5));
  const bytes = Buffer.concat([open, data, encodeFrame(FRAME.OPEN, 2, Buffer.from([OP.STATS]))]);
  for (let cut = 0; cut < bytes.length; cut += cut < 40 || cut > bytes.length - 20 ? 1 : 53) {
    // Two sessions on one connection: as a port sees it when the old host's bytes are followed by the new one's.
    const socket = createConnection(agent.socketPath);
    const [one, two] = [Buffer.from('session1'), Buffer.from('session2')];
    socket.write(Buffer.concat([MAGIC, one, bytes.subarray(0, cut), MAGIC.subarray(0, 5)]));
    await sleep(1);
    socket.write(Buffer.concat([MAGIC.subarray(5), two]));
    await receive(socket, Buffer.concat([MAGIC, two]));
    socket.destroy();
  }
  await using client = await agent.connect();
  expect((await client.stats()).memoryTotalKib).toBeGreaterThan(0);
});

test('a new session follows a greeting that was cut anywhere', async () => {
  const greeting = Buffer.concat([MAGIC, Buffer.from('session1')]);
  for (let cut = 1; cut < greeting.length; cut++) {
    const socket = createConnection(agent.socketPath);
    socket.write(Buffer.concat([greeting.subarray(0, cut), MAGIC, Buffer.from('session2')]));
    await receive(socket, Buffer.concat([MAGIC, Buffer.from('session2')]));
    socket.destroy();
  }
});

test('a lost session leaves no half upload', async () => {
  const client = await agent.connect();
  const path = join(agent.dir, 'upload');
  const source = new Readable({ read: () => {} });
  source.push(Buffer.alloc(100_000));
  const put = client.put(path, source);
  await sleep(50);
  client.close();
  await expect(put).rejects.toMatchObject({ code: 'unavailable' });
  await using next = await agent.connect();
  expect((await next.list(agent.dir)).map(({ name }) => name).filter((name) => name.includes('upload'))).toEqual([]);
  expect((await next.list(agent.dir)).map(({ name }) => name).filter((name) => name.includes('skerry-put'))).toEqual(
    [],
  );
});

test('rubbish from the host does not hurt the agent', async () => {
  for (let round = 0; round < 30; round++) {
    const socket = createConnection(agent.socketPath);
    socket.on('error', () => {});
    socket.write(
      Buffer.concat([
        MAGIC,
        Buffer.from('12345678'),
        encodeFrame(round % 12, round % 3, randomBytes(round * 50)),
        randomBytes(500),
      ]),
    );
    await sleep(2);
    socket.destroy();
  }
  await using client = await agent.connect();
  expect((await finish(client.exec({ argv: ['echo', 'alive'], stdin: false }))).stdout).toBe('alive\n');
});

test('who never reads is not waited for by others', async () => {
  await using client = await agent.connect();
  const lazy = client.exec({ argv: ['head', '-c', '2000000', '/dev/zero'], stdin: false });
  const path = join(agent.dir, 'busy');
  await client.put(path, Readable.from([Buffer.alloc(1_000_000, 7)]));
  expect((await collect(client.get(path).body)).length).toBe(1_000_000);
  expect((await collect(lazy.stdout)).length).toBe(2_000_000);
});

test('forwards to a port, with each half closing by itself', async () => {
  await using client = await agent.connect();
  await using server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => socket.end(Buffer.concat([Buffer.from('got '), ...chunks])));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const duplex = client.forward(port);
  await once(duplex, 'connect');
  duplex.write(Buffer.alloc(900_000, 'a'));
  duplex.end('end');
  const answer = await collect(duplex);
  expect(answer.length).toBe(900_007);
  expect(answer.subarray(-4).toString()).toBe('aend');
});

test('tells why a port can not be reached', async () => {
  await using client = await agent.connect();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const [error] = await once(client.forward(port), 'error');
  expect(error).toMatchObject({ code: 'unavailable', message: expect.stringContaining(`localhost:${port}`) });
  const [other] = await once(client.forward(80, 'example.org'), 'error');
  expect(other).toMatchObject({ code: 'invalid' });
});

test('a forward that is given up resets the connection in the guest', async () => {
  await using client = await agent.connect();
  await using server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const duplex = client.forward((server.address() as AddressInfo).port);
  const [socket] = (await once(server, 'connection')) as [Socket];
  duplex.destroy();
  const [error] = await once(socket.resume(), 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});

test('gives its statistics', async () => {
  await using client = await agent.connect();
  const stats = await client.stats();
  expect(stats.memoryAvailableKib).toBeLessThan(stats.memoryTotalKib);
  expect(stats.cpuIdleMs).toBeGreaterThan(0);
  expect(Math.abs(stats.uptimeMs / 1000 - Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]))).toBeLessThan(
    5,
  );
});

test('freeze is refused by an agent without a control group of its own', async () => {
  await using client = await agent.connect();
  expect(client.hello.frozen).toBe(false);
  await expect(client.freeze()).rejects.toMatchObject({ code: 'unsupported' });
  await expect(client.thaw()).rejects.toMatchObject({ code: 'unsupported' });
});

test('power is refused by an agent that is not init', async () => {
  await using client = await agent.connect();
  await expect(client.powerOff('poweroff')).rejects.toMatchObject({ code: 'unsupported' });
});

test('a socket that is not there, and one that never answers', async () => {
  await expect(connectAgent(join(agent.dir, 'none'))).rejects.toMatchObject({ code: 'unavailable' });
  const path = join(agent.dir, 'mute');
  await using server = createServer((socket) => socket.resume()).listen(path);
  await once(server, 'listening');
  await expect(connectAgent(path, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'timeout' });
  await expect(connectAgent(path, { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({ code: 'cancelled' });
});

test('idle, it uses no CPU at all', async () => {
  await using client = await agent.connect();
  await client.stats();
  const pid = agent.process.pid ?? 0;
  const switches = async () =>
    /voluntary_ctxt_switches:\t(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  await sleep(100);
  const before = await switches();
  await sleep(400);
  expect(await switches()).toBe(before);
});

async function receive(socket: Socket, wanted: Buffer): Promise<void> {
  let all = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    all = Buffer.concat([all, chunk as Buffer]);
    if (all.includes(wanted)) return;
  }
  throw new Error('the agent closed');
}

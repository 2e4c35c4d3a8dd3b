import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { followCapture } from '@skerry/switch';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nativePath, run } from '../../../src/hosts/index.ts';
import { SocketMachine } from './socket-machine.ts';

/** What passes an interface, as pcap; captures of VMs are in tests/system/kernel-networks.test.ts. */

const possible = process.getuid?.() === 0;
const WAIT = { timeout: 10_000 };

let netns: string;
let dir: string;
const inside = (...argv: string[]) => run(['nsenter', `--net=/run/netns/${netns}`, ...argv]);
const ip = (...args: string[]) => run(['ip', '-n', netns, ...args]);
/** Sends this many datagrams of that size to everybody, by an interface. */
const shout = (count: number, bytes: number, address: string) =>
  inside(
    process.execPath,
    '-e',
    `const s = require('node:dgram').createSocket('udp4');
     s.bind(() => {
       s.setBroadcast(true);
       let left = ${count};
       const more = () => left-- > 0 ? s.send(Buffer.alloc(${bytes}, 7), 99, '${address}', more) : s.close();
       more();
     });`,
  );

interface Record {
  readonly atMs: number;
  readonly length: number;
  readonly frame: Buffer;
}

function records(pcap: Buffer): Record[] {
  expect(pcap.subarray(0, 4).toString('hex')).toBe('4d3cb2a1');
  const found: Record[] = [];
  for (let at = 24; at < pcap.length;) {
    const end = at + 16 + pcap.readUInt32LE(at + 8);
    const atMs = pcap.readUInt32LE(at) * 1000 + pcap.readUInt32LE(at + 4) / 1e6;
    found.push({ atMs, length: pcap.readUInt32LE(at + 12), frame: pcap.subarray(at + 16, end) });
    at = end;
  }
  return found;
}

beforeEach(async () => {
  if (!possible) return;
  netns = `skc${Math.random().toString(16).slice(2, 8)}`;
  dir = await mkdtemp(join(tmpdir(), 'skc-'));
  await run(['ip', 'netns', 'add', netns]);
  await ip('link', 'add', 'skt0', 'type', 'veth', 'peer', 'name', 'skt1');
  for (const name of ['skt0', 'skt1']) await ip('link', 'set', name, 'addrgenmode', 'none', 'up');
  await ip('address', 'add', '10.99.0.1/24', 'brd', '+', 'dev', 'skt1');
});
afterEach(async () => {
  if (!possible) return;
  await run(['ip', 'netns', 'delete', netns], { okExitCodes: 'any' });
  // A relay writes into it how it has ended.
  await rm(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
});

function capture(interfaceName: string, ...args: string[]) {
  const child = spawn(
    'nsenter',
    [`--net=/run/netns/${netns}`, nativePath('vmjail'), '--capture', interfaceName, ...args],
    {
      stdio: ['ignore', 'inherit', 'pipe'],
    },
  );
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>;
  return { child, ended };
}

test.skipIf(!possible)('keeps the newest in a ring of two files, counts all, and ends with the interface', async () => {
  const [path, stats] = [join(dir, 'a.pcap'), join(dir, 'stats')];
  const { ended } = capture('skt0', 'ring', path, String(256 * 1024), stats);
  await expect.poll(() => readFile(path).catch(() => undefined), WAIT).toBeDefined();
  const startedAtMs = Date.now();
  // 1 MiB and more: four times the ring.
  await shout(800, 1400, '10.99.0.255');
  await expect
    .poll(async () => (await readFile(stats, 'utf8')).trim().split(/ +/), WAIT)
    .toEqual(['800', '1153600', '0']);
  const [older, newer] = [await readFile(`${path}.1`), await readFile(path)];
  expect(older.length + newer.length).toBeLessThanOrEqual(256 * 1024);
  expect(older.length).toBeGreaterThan(64 * 1024);
  const all = [...records(older), ...records(newer)];
  expect(all.every(({ frame, length }) => length === 1442 && frame.subarray(42).equals(Buffer.alloc(1400, 7)))).toBe(
    true,
  );
  const times = all.map(({ atMs }) => atMs);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times[0]).toBeGreaterThan(startedAtMs - 1);
  // Who follows its file sees the end, too.
  const following = (async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of followCapture(path, new AbortController().signal)) chunks.push(chunk);
    return Buffer.concat(chunks);
  })();
  await ip('link', 'delete', 'skt0');
  expect(await ended).toEqual([0, null]);
  expect((await following).length).toBe(older.length + newer.length - 24);
});

test.skipIf(!possible)('puts tags of VLANs back, and writes what is there before it is ended', async () => {
  await using machine = await SocketMachine.listen();
  const vmjail = nativePath('vmjail');
  const relay = ['--dir', dir, '--tap', 'tap=skt2', '--', vmjail, '--relay', '{tap}', machine.path];
  spawn('nsenter', [`--net=/run/netns/${netns}`, vmjail, ...relay], { stdio: 'ignore' });
  await expect.poll(() => machine.isConnected, WAIT).toBe(true);
  await ip('link', 'set', 'skt2', 'up');
  const path = join(dir, 'a.pcap');
  const { child, ended } = capture('skt2', 'ring', path, String(1024 * 1024), join(dir, 'stats'));
  await expect.poll(() => readFile(path).catch(() => undefined), WAIT).toBeDefined();
  const bytes = Buffer.from('ffffffffffff02000000000181002005', 'hex');
  machine.send(Buffer.concat([bytes, Buffer.from([8, 0]), Buffer.from('tagged'.repeat(10))]));
  await expect.poll(() => readFile(path, 'latin1'), WAIT).toContain('tagged');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
  const [found] = records(await readFile(path)).filter(({ frame }) => frame.includes('tagged'));
  expect(found?.frame.subarray(0, 24).toString('latin1')).toBe(`${bytes.toString('latin1')}\x08\0tagged`);
});

test.skipIf(!possible)('goes on with an interface that was down, and ends with one that is', async () => {
  const path = join(dir, 'a.pcap');
  const { ended } = capture('skt0', 'ring', path, String(1024 * 1024), join(dir, 'stats'));
  await expect.poll(() => readFile(path).catch(() => undefined), WAIT).toBeDefined();
  const sizeAfter = async (count: number): Promise<number> => {
    await shout(count, 100, '10.99.0.255');
    await expect.poll(async () => records(await readFile(path)).length, WAIT).toBeGreaterThanOrEqual(count);
    return (await readFile(path)).length;
  };
  const before = await sizeAfter(1);
  await ip('link', 'set', 'skt0', 'down');
  await sleep(100);
  await ip('link', 'set', 'skt0', 'up');
  expect(await sizeAfter(2)).toBeGreaterThan(before);
  await ip('link', 'set', 'skt0', 'down');
  // Until it knows that: Linux tells it once, and not again when the interface goes.
  await sleep(100);
  await ip('link', 'delete', 'skt0');
  expect(await ended).toEqual([0, null]);
});

test.skipIf(!possible)('a reader gets it as it comes, and ends it by hanging up', async () => {
  const server = createServer();
  const path = join(dir, 's');
  server.listen(path);
  await once(server, 'listening');
  const { ended } = capture('skt0', 'reader', path);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  const chunks: Buffer[] = [];
  socket.on('data', (data: Buffer) => chunks.push(data));
  await shout(3, 100, '10.99.0.255');
  await expect.poll(() => (chunks.length === 0 ? 0 : records(Buffer.concat(chunks)).length), WAIT).toBe(3);
  socket.destroy();
  expect(await ended).toEqual([0, null]);
});

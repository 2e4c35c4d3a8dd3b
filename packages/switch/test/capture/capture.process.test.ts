import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { followCapture } from '../../src/capture/follow.ts';
import { readCapture } from '../../src/capture/read.ts';
import type { SwitchConfig } from '../../src/config.ts';
import { temporaryDirectory, until } from '../process.ts';
import { numbered, payloadOf, shop, shopOf } from '../shop.ts';
import { DB, udp, WEB } from '../support.ts';
import { readPcap } from './pcap-reader.ts';

/** Captures of the real process, into real files and sockets. */

async function captured(path: string) {
  const chunks: Buffer[] = [];
  for await (const chunk of readCapture(path)) chunks.push(chunk);
  return readPcap(Buffer.concat(chunks)).records;
}

const numberOf = (frame: Buffer) => Number(payloadOf(frame).toString().trim());
const padded = (n: number) => udp(WEB, DB, { payload: Buffer.from(`${n}`.padEnd(958)) });
const range = (count: number, from = 0) => Array.from({ length: count }, (_, n) => from + n);

/** web's port with a loss and a delay in both directions. */
function impaired(directory: string): SwitchConfig {
  const [web, db] = shop(directory).segments[0]!.ports;
  const what = { loss: 0.5, delayMs: 20 };
  return shop(directory, { ports: [{ ...web!, impairments: [{ out: what, in: what, seed: 3 }] }, db!] });
}

test('a file has what the guest sent, before impairments, and what it got, after them', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(impaired(directory.path));
  const { client } = at.target;
  const path = join(directory.path, 'web.pcap');
  const startedAtMs = Date.now();
  await client.call('capture.start', { portId: 'web', name: 'one', path });
  const [sent, sentBack] = [
    range(100).map(numbered),
    range(100).map((n) => udp(DB, WEB, { payload: Buffer.from(`${n}`) })),
  ];
  at.web.send(...sent);
  await sleep(5);
  await client.call('sync', impaired(directory.path));
  at.db.send(...sentBack);
  const web = async () => (await client.call('stats')).segments[0]!.ports[0]!;
  await until(async () => (await web()).impaired.in.lost > 20 && (await web()).sentFrames > 20);
  await until(async () => (await web()).sentFrames === 100 - (await web()).impaired.in.lost);
  await until(() => at.web.frames.length > 0);
  const state = await client.call('capture.stop', { name: 'one' });
  const records = await captured(path);
  const fromWeb = records.filter(({ bytes }) => bytes.readUIntBE(6, 6) === 0x02_0000_0000_0a);
  const toWeb = records.filter(({ bytes }) => !fromWeb.some((each) => each.bytes === bytes));
  expect(fromWeb.map(({ bytes }) => bytes)).toEqual(sent);
  expect(toWeb.map(({ bytes }) => bytes)).toEqual(at.web.frames);
  expect(toWeb.length).toBeLessThan(90);
  const times = records.map(({ atNs }) => atNs);
  expect(times).toEqual(times.toSorted((a, b) => Number(a - b)));
  expect(Number(toWeb[0]!.atNs - fromWeb[0]!.atNs) / 1e6).toBeGreaterThan(20);
  expect(Number(times[0]! / 1_000_000n)).toBeGreaterThanOrEqual(startedAtMs - 1);
  expect(Number(times.at(-1)! / 1_000_000n)).toBeLessThanOrEqual(Date.now() + 1);
  const file = await stat(path);
  expect(file.mode & 0o777).toBe(0o400);
  expect(state).toMatchObject({ portId: 'web', frames: records.length, drops: 0, keptBytes: file.size });
  expect(await client.call('capture.list')).toEqual({ captures: [] });
});

test('a ring keeps the last of two generations, which are read as one while it turns', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const { client } = at.target;
  const path = join(directory.path, 'ring.pcap');
  const ringBytes = 256 * 1024;
  await client.call('capture.start', { portId: 'db', name: 'ring', path, ringBytes });
  let isDone = false;
  const looks: number[][] = [];
  const looking = (async () => {
    while (!isDone) looks.push((await captured(path)).map(({ bytes }) => numberOf(bytes)));
  })();
  for (let n = 0; n < 3000; n += 50) {
    at.web.send(...range(50, n).map(padded));
    await until(() => at.db.frames.length >= n + 50);
  }
  isDone = true;
  await looking;
  const state = await client.call('capture.stop', { name: 'ring' });
  const numbers = (await captured(path)).map(({ bytes }) => numberOf(bytes));
  expect(state).toMatchObject({ frames: 3000, drops: 0 });
  expect(state.keptBytes).toBe((await stat(path)).size + (await stat(`${path}.1`)).size);
  expect(state.keptBytes).toBeLessThanOrEqual(ringBytes);
  expect(state.keptBytes).toBeGreaterThan(ringBytes / 4);
  expect(numbers).toEqual(range(numbers.length, 3000 - numbers.length));
  for (const seen of looks) expect(seen).toEqual(range(seen.length, seen[0]));
  expect(Math.max(...looks.map((seen) => seen.length))).toBeGreaterThan(100);
  for (const generation of [path, `${path}.1`]) readPcap(await readFile(generation)); // each is whole for itself
});

test('what is kept is followed from its beginning, over turns, until the capture ends or the reader has enough', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const { client } = at.target;
  const path = join(directory.path, 'ring.pcap');
  await client.call('capture.start', { portId: 'db', name: 'ring', path, ringBytes: 256 * 1024 });
  const follow = (signal: AbortSignal) => {
    const chunks: Buffer[] = [];
    const ended = (async () => {
      for await (const chunk of followCapture(path, signal)) chunks.push(chunk);
    })();
    return {
      ended,
      numbers: () =>
        chunks.length === 0 ? [] : readPcap(Buffer.concat(chunks)).records.map(({ bytes }) => numberOf(bytes)),
    };
  };
  const send = async (from: number, count: number) => {
    at.web.send(...range(count, from).map(padded));
    await until(() => at.db.frames.length >= from + count);
  };
  await send(0, 10);
  const bored = new AbortController();
  const all = follow(new AbortController().signal);
  const some = follow(bored.signal);
  await until(() => all.numbers().length === 10 && some.numbers().length === 10);
  bored.abort();
  await some.ended;
  for (let n = 10; n < 2010; n += 50) {
    await send(n, 50);
    await until(() => all.numbers().length === n + 50);
  }
  await client.call('capture.stop', { name: 'ring' });
  await all.ended;
  expect(all.numbers()).toEqual(range(2010));
  // One that comes late has all at once, and ends.
  const late = follow(new AbortController().signal);
  await late.ended;
  expect(late.numbers().at(-1)).toBe(2009);
  await expect(follow(new AbortController().signal).ended).resolves.toBeUndefined();
  for (const each of [path, `${path}.1`]) await rm(each);
  await expect(follow(new AbortController().signal).ended).rejects.toThrow('not there');
});

test('a reader follows live; one that is slow loses frames of the capture, never of the guests; hanging up ends it', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const { client } = at.target;
  const socketPath = join(directory.path, 'follow');
  const chunks: Buffer[] = [];
  let reader: Socket | undefined;
  const server = createServer((socket) => {
    reader = socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  });
  await using undo = new AsyncDisposableStack();
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  undo.defer(() => void server.close());
  await client.call('capture.start', { portId: 'web', name: 'live', socketPath, snapBytes: 60 });
  at.web.send(padded(1));
  await until(() => Buffer.concat(chunks).length === 24 + 16 + 60);
  const [record] = readPcap(Buffer.concat(chunks)).records;
  expect([record!.bytes, record!.length]).toEqual([padded(1).subarray(0, 60), 1000]);
  await client.call('capture.start', { portId: 'web', name: 'slow', socketPath });
  await until(() => chunks.length > 2);
  reader!.pause();
  const startedFrames = at.db.frames.length;
  let sent = 0;
  const slow = async () => (await client.call('capture.list')).captures.find(({ name }) => name === 'slow');
  while ((await slow())!.drops === 0) {
    at.web.send(...range(200, sent).map(padded));
    sent += 200;
    await until(() => at.db.frames.length === startedFrames + sent); // every one of them
  }
  expect(sent).toBeGreaterThan(5000);
  reader!.destroy();
  await until(async () => (await client.call('capture.list')).captures.every(({ name }) => name !== 'slow'));
  await expect(client.call('capture.stop', { name: 'slow' })).rejects.toThrow('There is no capture slow');
  expect(await client.call('capture.stop', { name: 'live' })).toMatchObject({ frames: sent + 1, drops: 0 });
}, 30_000);

test('it ends with its port, and with the switch, and all is written then', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const { client } = at.target;
  const paths = [join(directory.path, 'web.pcap'), join(directory.path, 'db.pcap')];
  await client.call('capture.start', { portId: 'web', name: 'web', path: paths[0]! });
  await client.call('capture.start', { portId: 'db', name: 'db', path: paths[1]! });
  at.web.send(numbered(1), numbered(2));
  await until(() => at.db.frames.length === 2);
  await client.call('sync', shop(directory.path, { ports: [shop(directory.path).segments[0]!.ports[1]!] }));
  await until(async () => (await client.call('capture.list')).captures.length === 1);
  expect(await captured(paths[0]!)).toHaveLength(2);
  expect(at.target.log()).toMatch(/capture web: its port is gone/);
  await client.call('shutdown');
  expect(await at.target.exited).toBe(0);
  expect(await captured(paths[1]!)).toHaveLength(2);
});

test('what can not be written is refused, and leaves no capture; what fails later says why', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const { client } = at.target;
  const inside = join(directory.path, 'inside');
  await mkdir(inside);
  const path = join(inside, 'a.pcap');
  const start = (more: object) => client.call('capture.start', { portId: 'web', name: 'a', path, ...more });
  await writeFile(join(inside, 'there'), 'precious');
  await symlink(join(inside, 'nowhere'), join(inside, 'link'));
  await writeFile(join(inside, 'b.pcap.1'), 'precious');
  for (const [more, message] of [
    [{ portId: 'mail' }, /no port mail/],
    [{ path: 'a.pcap' }, /path is not an absolute path/],
    [{ path: undefined }, /not one of path and socketPath/],
    [{ socketPath: '/run/x' }, /not one of path and socketPath/],
    [{ ringBytes: 1 }, /ringBytes is not a whole number/],
    [{ path: join(inside, 'there') }, /EEXIST/],
    [{ path: join(inside, 'link') }, /EEXIST/],
    [{ path: join(inside, 'b.pcap') }, /b\.pcap\.1 is there already/],
    [{ path: join(inside, 'no', 'a.pcap') }, /ENOENT/],
    [{ path: undefined, socketPath: join(inside, 'nobody') }, /ENOENT/],
  ] as const) {
    await expect(start(more)).rejects.toThrow(message);
  }
  expect(await readFile(join(inside, 'there'), 'utf8')).toBe('precious');
  const [first, second] = await Promise.allSettled([start({}), start({})]);
  expect([first.status, second.status].toSorted()).toEqual(['fulfilled', 'rejected']);
  await client.call('capture.stop', { name: 'a' });
  // Its directory goes while it is written: the ring can not turn.
  await start({ path: join(inside, 'c.pcap'), ringBytes: 256 * 1024 });
  await rm(inside, { recursive: true });
  for (let n = 0; n < 400; n += 100) {
    at.web.send(...range(100, n).map(padded));
    await until(() => at.db.frames.length === n + 100);
  }
  await until(async () => (await client.call('capture.list')).captures[0]!.error !== undefined);
  const [failed] = (await client.call('capture.list')).captures;
  expect(failed!.error).toMatch(/ENOENT/);
  expect(failed!.drops).toBeGreaterThan(0);
  await client.call('capture.stop', { name: 'a' });
  expect(await client.call('capture.list')).toEqual({ captures: [] });
});

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { access, readdir, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { SwitchConfig } from '../src/config.ts';
import { Resolver } from '../src/resolver.ts';
import { readDnsQuery } from '../src/packets/dns.ts';
import { spawnSwitch, startSwitch, temporaryDirectory, until } from './process.ts';
import { numbered, payloadOf, shop, shopOf } from './shop.ts';
import { arp, DB, GATEWAY_MAC, segment, udp, WEB } from './support.ts';

/** The process itself, between sockets that stand for QEMU's. */

const GATEWAY = { mac: GATEWAY_MAC, address: '10.213.4.1' };
const DNS_QUERY = Buffer.from('1234010000010000000000000264620000010001', 'hex');

test('frames cross in order; spoofed ones do not; names are answered; stats say so', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  at.web.send(
    numbered(0),
    udp({ ...WEB, address: DB.address }, DB),
    numbered(1),
    udp(WEB, GATEWAY, { port: 53, payload: DNS_QUERY }),
    numbered(2),
  );
  for (const n of [0, 1, 2]) expect(payloadOf(await at.db.receive()).toString()).toBe(`${n}`);
  const answer = payloadOf(await at.web.receive());
  expect(answer.subarray(-4)).toEqual(Buffer.from([10, 213, 4, 11]));
  at.db.send(arp({ operation: 1, senderMac: DB.mac, sender: DB.address, target: '10.213.4.1' }));
  expect((await at.db.receive()).readUIntBE(6, 6)).toBe(0x5255_0ad5_0401);
  const [ports] = (await at.target.client.call('stats')).segments.map((s) => s.ports);
  expect(ports).toMatchObject([
    { id: 'web', receivedFrames: 5, sentFrames: 1, drops: { 'foreign-address': 1 } },
    { id: 'db', receivedFrames: 1, sentFrames: 4, drops: {} },
  ]);
});

test('a sync keeps the connections of ports that stay, and loses no frame', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  const config = shop(directory.path);
  await at.sync(config);
  for (let n = 0; n < 200; n += 1) {
    at.web.send(numbered(n));
    if (n % 10 === 0)
      void at.target.client.call('sync', n % 20 === 0 ? shop(directory.path, { domain: 'other' }) : config);
    if (n % 25 === 0) await sleep(1);
  }
  await until(() => at.db.frames.length === 200);
  expect(at.db.frames.map((frame) => Number(payloadOf(frame).toString()))).toEqual(
    Array.from({ length: 200 }, (_, i) => i),
  );
  expect([at.web.connections, at.db.connections]).toEqual([1, 1]);
  // One that goes is closed, the other stays.
  const web = config.segments[0]!.ports[0]!;
  await at.target.client.call('sync', shop(directory.path, { ports: [web] }));
  at.web.send(numbered(0));
  await until(async () => (await at.target.client.call('stats')).segments[0]!.ports[0]!.receivedFrames === 201);
  expect(at.web.connections).toBe(1);
});

test('two segments do not hear each other', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  const [web, db] = shop(directory.path).segments[0]!.ports;
  const other = { subnet: '10.213.5.0/24', gateway: '10.213.5.1', gatewayMac: '52:55:0a:d5:05:01' };
  await at.sync({
    version: 1,
    segments: [
      segment({ id: 'one', egress: undefined, ports: [web!] }),
      segment({ id: 'two', egress: undefined, ...other, ports: [{ ...db!, addresses: ['10.213.5.10'] }] }),
    ],
  });
  at.web.send(numbered(1), arp({ operation: 1, senderMac: WEB.mac, sender: WEB.address, target: DB.address }));
  at.web.send(udp(WEB, GATEWAY, { port: 53, payload: DNS_QUERY }));
  await at.web.receive(); // what came before it has been dealt with
  await sleep(50);
  expect(at.db.frames).toEqual([]);
});

test('it connects again after QEMU came back, and drops what a standing guest does not take', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  at.db.hangUp();
  await until(() => at.db.connections === 2);
  await at.sync(shop(directory.path));
  at.web.send(numbered(7));
  expect(payloadOf(await at.db.receive()).toString()).toBe('7');
  at.db.pause();
  const big = udp(WEB, DB, { payload: Buffer.alloc(1400) });
  const db = async () => (await at.target.client.call('stats')).segments[0]!.ports[1]!;
  for (let n = 0; n < 40; n += 1) at.web.send(...Array.from({ length: 40 }, () => big));
  await until(async () => (await db()).queueDrops > 0);
  // The sender is not held up by it.
  at.web.send(udp(WEB, GATEWAY, { port: 53, payload: DNS_QUERY }));
  await at.web.receive();
  const { sentFrames, queueDrops } = await db();
  expect(sentFrames + queueDrops).toBe(1601);
});

test('an impossible frame length costs that guest its connection, for a moment', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  at.web.sendRaw(Buffer.from('ffffffff00', 'hex'));
  await until(() => at.web.connections === 2);
  expect(at.db.connections).toBe(1);
  expect(at.target.log()).toMatch(/port web: disconnected: it sent an impossible frame length/);
});

test('bad requests get an error and change nothing', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const bad = { ...shop(directory.path), version: 2 } as unknown as SwitchConfig;
  await expect(at.target.client.call('sync', bad)).rejects.toMatchObject({ code: 'invalid' });
  const raw = connect(join(directory.path, 'control'));
  raw.write('nonsense\n{"id":1,"method":"nonsense"}\n{"id":2}\n');
  let text = '';
  raw.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await until(() => text.split('\n').length === 4);
  raw.destroy();
  const errors = text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { error: { code: string } }).error.code);
  expect(errors).toEqual(['invalid', 'invalid', 'invalid']);
  expect((await at.target.client.call('state')).segments[0]!.ports).toHaveLength(2);
});

test('a second one refuses, a stale socket is no obstacle, and shutdown leaves nothing', async () => {
  await using directory = await temporaryDirectory();
  {
    await using first = await startSwitch(directory.path);
    const second = spawnSwitch(directory.path);
    expect(await second.exited).toBe(75);
    expect(second.log()).toMatch(new RegExp(`A switch \\(pid ${first.pid}\\) answers`));
    expect(await first.client.call('ping')).toEqual({ protocol: 1, pid: first.pid });
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
  }
  await using third = await startSwitch(directory.path);
  const pidFile = JSON.parse(await readFile(join(directory.path, 'pid'), 'utf8')) as { pid: number };
  expect(pidFile.pid).toBe(third.pid);
  await third.client.call('shutdown');
  expect(await third.exited).toBe(0);
  await expect(access(join(directory.path, 'control'))).rejects.toThrow();
  await expect(access(join(directory.path, 'pid'))).rejects.toThrow();
});

test('one whose control socket was removed ends', async () => {
  await using directory = await temporaryDirectory();
  await using target = await startSwitch(directory.path);
  await rm(join(directory.path, 'control'));
  expect(await target.exited).toBe(0);
});

test('one whose control socket is removed the moment it appears ends as well, and leaves nothing', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'control');
  const { child, exited, log } = spawnSwitch(directory.path);
  for (const end = Date.now() + 8000; !existsSync(path);) if (Date.now() > end) throw new Error(`no socket: ${log()}`);
  rmSync(path);
  expect(await exited, log()).toBe(0);
  expect(await readdir(directory.path)).toEqual([]);
  expect(child.signalCode).toBeNull();
});

test('a question for the outside is asked with another id, and only its own answer counts', async () => {
  const server = createSocket('udp4');
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const seen: Buffer[] = [];
  server.on('message', (message, from) => {
    seen.push(message);
    const forged = Buffer.from(message);
    forged.writeUInt16BE((message.readUInt16BE(0) + 1) % 65_536, 0);
    forged[2]! |= 0x80;
    const real = Buffer.from(message);
    real[2]! |= 0x80;
    server.send(forged, from.port, from.address);
    server.send(Buffer.alloc(3), from.port, from.address);
    server.send(Buffer.concat([real, Buffer.from('real')]), from.port, from.address);
  });
  const resolver = new Resolver({ port: server.address().port, timeoutMs: 300 });
  const message = Buffer.from('12340100000100000000000006646562' + '69616e036f72670000010001', 'hex');
  const query = readDnsQuery(message)!;
  const ask = (servers: string[], asker: object = {}) =>
    new Promise<Buffer>((resolve) => resolver.ask(asker, query, message, servers, resolve));
  // 127.0.0.2: nobody listens there; the next is asked.
  const answers = await Promise.all(Array.from({ length: 8 }, () => ask(['127.0.0.2', '127.0.0.1'])));
  for (const answer of answers) {
    expect(answer.readUInt16BE(0)).toBe(0x1234);
    expect(answer.subarray(-4).toString()).toBe('real');
  }
  expect(new Set(seen.map((one) => one.readUInt16BE(0))).size).toBeGreaterThan(5);
  server.removeAllListeners('message');
  const failed = await ask(['127.0.0.1']);
  expect(failed.readUInt16BE(2) & 0x800f).toBe(0x8002);
  const asker = {};
  const accepted = Array.from({ length: 40 }, () => resolver.ask(asker, query, message, ['127.0.0.1'], () => {}));
  expect(accepted.filter(Boolean)).toHaveLength(32);
  resolver.close();
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

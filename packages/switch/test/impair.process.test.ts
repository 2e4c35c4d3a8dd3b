import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { PortImpairment, Segment, SegmentPort, SwitchConfig } from '../src/config.ts';
import { Guest, temporaryDirectory, until } from './process.ts';
import { numbered, payloadOf, shop, shopOf } from './shop.ts';
import { DB, segment, segmentPort, udp, WEB } from './support.ts';

/** What happens to frames on their way, in the real process. */

/** The shop with these impairments on web's port. */
function impaired(directory: string, impairments: readonly PortImpairment[], more: Partial<SegmentPort> = {}) {
  const [web, db] = shop(directory).segments[0]!.ports;
  return shop(directory, { ports: [{ ...web!, impairments, ...more }, db!] });
}

function wire(directory: string, more: Partial<Segment> = {}): SwitchConfig {
  const ports = [
    segmentPort('web', WEB, { socketPath: join(directory, 'web') }),
    segmentPort('db', DB, { socketPath: join(directory, 'db') }),
  ];
  return { version: 1, segments: [segment({ kind: 'link', egress: undefined, ports, ...more })] };
}

const receivedBy = (guest: Guest) => guest.frames.map((frame) => Number(payloadOf(frame).toString()));
const range = (count: number) => Array.from({ length: count }, (_, n) => n);

test('a link carries any frame of any size both ways, unread, in order, and no other hears it', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(wire(directory.path));
  const frames = Array.from({ length: 300 }, (_, n) => randomBytes([0, 1, 60, 1514, 9000, 65_549][n % 6]!));
  const backwards = frames.toReversed();
  for (let n = 0; n < 300; n += 30) {
    at.web.send(...frames.slice(n, n + 30));
    at.db.send(...backwards.slice(n, n + 30));
    // So many fit into a port's queue.
    await until(() => at.db.frames.length === n + 30 && at.web.frames.length === n + 30);
  }
  // Not by toEqual: it takes seconds for megabytes.
  expect(at.db.frames.findIndex((frame, n) => !frame.equals(frames[n]!))).toBe(-1);
  expect(at.web.frames.findIndex((frame, n) => !frame.equals(backwards[n]!))).toBe(-1);
  const [web, db] = wire(directory.path).segments[0]!.ports;
  await at.target.client.call('sync', wire(directory.path, { ports: [web!, { ...db!, linkUp: false }] }));
  at.web.send(frames[2]!);
  at.db.send(frames[2]!);
  const stats = async () => (await at.target.client.call('stats')).segments[0]!.ports;
  await until(async () => (await stats()).every((port) => port.receivedFrames === 301));
  expect((await stats()).map((port) => port.drops)).toEqual([{ 'link-down': 1 }, { 'link-down': 1 }]);
  expect(at.db.frames).toHaveLength(300);
});

test('a delay delays, a sync between leaves it as it is, and it ends with nobody there to say so', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  const untilMs = Date.now() + 3000;
  const impairment: PortImpairment = { out: { delayMs: 200, loss: 0.3 }, seed: 11, untilMs };
  const config = impaired(directory.path, [impairment]);
  await at.sync(config);
  const [web] = (await at.target.client.call('state')).segments[0]!.ports;
  expect(web!.impairments).toEqual([impairment]);
  const sentAtMs = performance.now();
  for (let n = 0; n < 100; n += 1) {
    at.web.send(numbered(n));
    if (n % 20 === 0) await at.target.client.call('sync', config);
  }
  await until(() => at.db.frames.length > 0);
  expect(performance.now() - sentAtMs).toBeGreaterThan(199);
  const { impaired: counts } = (await at.target.client.call('stats')).segments[0]!.ports[0]!;
  await until(() => at.db.frames.length === 100 - counts.out.lost);
  expect(counts.out).toMatchObject({ delayed: 100 - counts.out.lost, queueDrops: 0, downDrops: 0 });
  expect(counts.out.lost).toBeGreaterThan(10);
  expect(receivedBy(at.db)).toEqual(receivedBy(at.db).toSorted((a, b) => a - b));
  // The daemon is gone.
  at.target.client.close();
  await sleep(Math.max(0, untilMs - Date.now()) + 20);
  at.db.frames.length = 0;
  const endedAtMs = performance.now();
  at.web.send(...range(100).map(numbered));
  await until(() => at.db.frames.length === 100);
  expect(performance.now() - endedAtMs).toBeLessThan(190);
});

test('the same seed and the same frames give the same losses, in another process too', async () => {
  const run = async (seed: number) => {
    await using directory = await temporaryDirectory();
    await using at = await shopOf(directory.path);
    // A port made anew has another id, and the same name for its seeds.
    const more = { id: randomUUID(), seedName: 'web/0' };
    await at.sync(impaired(directory.path, [{ out: { loss: 0.2, duplicate: 0.1 }, seed }], more));
    at.web.send(...range(500).map(numbered));
    const web = async () => (await at.target.client.call('stats')).segments[0]!.ports[0]!;
    await until(async () => (await web()).receivedFrames === 500);
    const { lost, duplicated } = (await web()).impaired.out;
    await until(() => at.db.frames.length === 500 - lost + duplicated);
    return receivedBy(at.db);
  };
  const [first, again, other] = await Promise.all([run(9), run(9), run(10)]);
  expect(again).toEqual(first);
  expect(other).not.toEqual(first);
});

test('a link that is down drops both ways and says so; the rate of a NIC holds in both directions', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(impaired(directory.path, [{ down: true, seed: 0 }]));
  at.web.send(numbered(1));
  at.db.send(...wireFrames(1, DB, WEB));
  const stats = async () => (await at.target.client.call('stats')).segments[0]!.ports;
  await until(async () => (await stats()).every((port) => port.receivedFrames === 1));
  expect((await stats())[0]!.impaired).toMatchObject({ out: { downDrops: 1 }, in: { downDrops: 1 } });
  expect([at.web.frames, at.db.frames]).toEqual([[], []]);
  // 100 frames of 1,000 bytes at 8 Mbit/s are 100 ms.
  await at.sync(impaired(directory.path, [], { rateKbit: 8000 }));
  for (const [sender, receiver, frames] of [
    [at.web, at.db, wireFrames(100, WEB, DB)],
    [at.db, at.web, wireFrames(100, DB, WEB)],
  ] as const) {
    const startedAtMs = performance.now();
    sender.send(...frames);
    await until(() => receiver.frames.length === 100);
    expect(performance.now() - startedAtMs).toBeGreaterThan(99);
  }
});

function wireFrames(count: number, source: typeof WEB, destination: typeof WEB): Buffer[] {
  return Array.from({ length: count }, () => udp(source, destination, { payload: Buffer.alloc(958) }));
}

test('a cut: what is delayed stays where it is, goes on in the original, and arrives in the copy', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await using copyOfWeb = await Guest.listen(join(directory.path, 'web-2'));
  await using copyOfDb = await Guest.listen(join(directory.path, 'db-2'));
  const [web, db] = shop(directory.path).segments[0]!.ports;
  const minute: PortImpairment = { out: { delayMs: 60_000 }, in: { delayMs: 60_000 }, seed: 1 };
  const sync = (onWeb: readonly PortImpairment[], onDb: readonly PortImpairment[]) => {
    const ports = (suffix: string, ...impairments: (readonly PortImpairment[])[]): SegmentPort[] => [
      { ...web!, socketPath: join(directory.path, `web${suffix}`), impairments: impairments[0] },
      { ...db!, socketPath: join(directory.path, `db${suffix}`), impairments: impairments[1] },
    ];
    const original = segment({ egress: undefined, ports: ports('', onWeb, onDb) });
    const copy = segment({ id: 'copy', egress: undefined, ports: ports('-2') });
    return at.sync({ version: 1, segments: [original, copy] });
  };
  const call = at.target.client;
  const taken = async () => (await call.call('stats')).segments[0]!.ports[0]!.receivedFrames;
  await sync([], [minute]);
  at.web.send(numbered(0), numbered(1));
  await until(async () => (await taken()) === 2);
  await sync([minute], [minute]);
  at.web.send(numbered(2)); // behind the other two on their way
  await until(async () => (await taken()) === 3);
  await call.call('hold', { segments: ['shop'] });
  at.web.send(numbered(3));
  await call.call('gather', { segments: ['shop'] });
  await until(async () => (await taken()) === 4);
  await sync([], []); // waits as well
  expect(at.db.frames).toEqual([]);
  expect(await call.call('release', { segments: ['shop'], keepAs: 'cut' })).toEqual({ frames: 4 });
  const kept = await call.call('kept', { keptAs: 'cut' });
  expect(await call.call('inject', { keptAs: 'cut', segments: { shop: 'copy' } })).toEqual({ frames: 4 });
  await until(() => copyOfDb.frames.length === 4);
  expect(receivedBy(copyOfDb)).toEqual([0, 1, 2, 3]);
  // Put on a disk, and back from there.
  await call.call('keep', { keptAs: 'saved', segments: JSON.parse(JSON.stringify(kept)) });
  expect(await call.call('inject', { keptAs: 'saved', segments: { shop: 'copy' } })).toEqual({ frames: 4 });
  await until(() => copyOfDb.frames.length === 8);
  expect(receivedBy(copyOfDb)).toEqual([0, 1, 2, 3, 0, 1, 2, 3]);
  const bad = { shop: { 1: { held: ['AAAACQ=='], out: [], in: [] } } };
  await expect(call.call('keep', { keptAs: 'bad', segments: bad })).rejects.toMatchObject({ code: 'invalid' });
  await until(() => at.db.frames.length === 4);
  expect(receivedBy(at.db)).toEqual([0, 1, 2, 3]);
  expect(copyOfWeb.frames).toEqual([]);
  // What they were on the way to is another now.
  await sync([minute], []);
  at.web.send(numbered(4));
  await until(async () => (await taken()) === 5);
  await call.call('drop', { segments: ['shop'] });
  await sync([], []);
  at.web.send(numbered(5));
  await until(() => at.db.frames.length === 5);
  expect(receivedBy(at.db)).toEqual([0, 1, 2, 3, 5]);
});

test('a bad impairment is refused and changes nothing', async () => {
  await using directory = await temporaryDirectory();
  await using at = await shopOf(directory.path);
  await at.sync(shop(directory.path));
  const bad = impaired(directory.path, [{ out: { loss: 2 }, seed: 1 }]);
  await expect(at.target.client.call('sync', bad)).rejects.toThrow(/impairments\[0\]\.out\.loss is not from 0 to 1/);
  at.web.send(numbered(1));
  await at.db.receive();
});

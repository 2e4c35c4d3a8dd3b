import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Segment, SegmentPort } from '../src/config.ts';
import { readIpv4 } from '../src/packets/ipv4.ts';
import { readUdp } from '../src/packets/udp.ts';
import { Guest, startSwitch, temporaryDirectory, until } from './process.ts';
import { tagged } from './frames.ts';
import { segment, segmentPort, udp } from './support.ts';

/** VLANs and ACLs in the process itself, between sockets that stand for QEMU's. */

const station = (n: number) => ({ mac: `02:00:00:00:00:0${n}`, address: `10.213.4.${10 + n}` });
const EVERYONE = { mac: 'ff:ff:ff:ff:ff:ff', address: '10.213.4.255' };

/** Guests g0, g1, ... with what `ports` says of each. */
async function switchWith(ports: readonly Partial<SegmentPort>[]) {
  const undo = new AsyncDisposableStack();
  const { path } = undo.use(await temporaryDirectory());
  const guests: Guest[] = [];
  for (const index of ports.keys()) guests.push(undo.use(await Guest.listen(join(path, `g${index}`))));
  const target = undo.use(await startSwitch(path));
  const sync = async (more: Partial<Segment> = {}) => {
    const planned = ports.map((port, i) =>
      segmentPort(`g${i}`, station(i), { socketPath: join(path, `g${i}`), ...port }),
    );
    await target.client.call('sync', {
      version: 1,
      segments: [segment({ egress: undefined, ports: planned, ...more })],
    });
    await until(async () => (await target.client.call('state')).segments[0]!.ports.every((port) => port.connected));
  };
  const received = async () => (await target.client.call('stats')).segments[0]!.ports.map((p) => p.receivedFrames);
  /** Sends, waits until the switch has dealt with it, and says what each guest got: tag or none, and the text. */
  const heard = async (from: number, ...frames: Buffer[]): Promise<string[]> => {
    const before = (await received())[from]!;
    guests[from]!.send(...frames);
    await until(async () => (await received())[from] === before + frames.length);
    await sleep(30);
    return guests.map((guest) => guest.frames.splice(0).map(told).join());
  };
  await sync();
  return { heard, sync, target, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

function told(frame: Buffer): string {
  const isTagged = frame.readUInt16BE(12) === 0x8100;
  const plain = isTagged ? Buffer.concat([frame.subarray(0, 12), frame.subarray(16)]) : frame;
  return `${isTagged ? `${frame.readUInt16BE(14)}:` : ''}${readUdp(readIpv4(plain)!)!.payload.toString()}`;
}

test('each VLAN hears itself alone, trunks with tags', async () => {
  const trunk = [{ from: 10, to: 11 }];
  await using at = await switchWith([{}, {}, { vlan: 10 }, { vlan: 10 }, { vlan: 11 }, { trunk }, { trunk, vlan: 10 }]);
  const all = (from: number, text: string) => udp(station(from), EVERYONE, { payload: Buffer.from(text) });
  expect(await at.heard(0, all(0, 'a'))).toEqual(['', 'a', '', '', '', '', '']);
  expect(await at.heard(2, all(2, 'b'))).toEqual(['', '', '', 'b', '', '10:b', 'b']);
  expect(await at.heard(4, all(4, 'c'))).toEqual(['', '', '', '', '', '11:c', '11:c']);
  expect(await at.heard(5, tagged(all(5, 'd'), 11))).toEqual(['', '', '', '', 'd', '', '11:d']);
  expect(await at.heard(6, all(6, 'e'), tagged(all(6, 'f'), 11))).toEqual(['', '', 'e', 'e', 'f', '10:e,11:f', '']);
  const to = (from: number, n: number, text: string) => udp(station(from), station(n), { payload: Buffer.from(text) });
  expect(await at.heard(5, tagged(to(5, 2, 'g'), 10), tagged(to(5, 6, 'h'), 10))).toEqual([
    '',
    '',
    'g',
    '',
    '',
    '',
    'h',
  ]);
  // Untagged on a trunk without a VLAN, a foreign tag, priority only, two tags, a tag on an access port, across.
  const nobody = Array.from({ length: 7 }, () => '');
  const inner = all(5, 'x');
  expect(await at.heard(5, inner, tagged(inner, 12), tagged(inner, 0), tagged(tagged(inner, 10), 11))).toEqual(nobody);
  expect(await at.heard(2, tagged(all(2, 'x'), 10), tagged(all(2, 'x'), 11), to(2, 0, 'x'), to(2, 4, 'x'))).toEqual(
    nobody,
  );
  expect(await at.heard(0, to(0, 2, 'x'), tagged(to(0, 2, 'x'), 10))).toEqual(nobody);
  const drops = (await at.target.client.call('stats')).segments[0]!.ports.map((port) => port.drops);
  expect([drops[5], drops[2], drops[0]]).toEqual([{ vlan: 4 }, { vlan: 4 }, { vlan: 2 }]);
});

test('an ACL lets through what it says and what answers it, over syncs, and nothing else', async () => {
  await using at = await switchWith([{}, {}, {}]);
  const say = (from: number, to: number, port: number, text: string, sourcePort = 40_000) =>
    udp(station(from), station(to), { port, sourcePort, payload: Buffer.from(text) });
  expect(await at.heard(0, say(0, 1, 9, 'a'))).toEqual(['', 'a', '']);
  const rules = [
    {
      id: 1,
      action: 'allow' as const,
      from: [station(0).address],
      protocol: 'udp' as const,
      ports: { from: 53, to: 53 },
    },
  ];
  const acl = { default: 'deny' as const, rules };
  await at.sync({ acl });
  expect(await at.heard(0, say(0, 1, 9, 'b'), say(0, 1, 53, 'c'), say(0, 2, 53, 'd'))).toEqual(['', 'c', 'd']);
  await at.sync({ acl, domain: 'other' });
  expect(await at.heard(1, say(1, 0, 40_000, 'e', 53), say(1, 0, 40_001, 'f', 53), say(1, 2, 53, 'g'))).toEqual([
    'e',
    '',
    '',
  ]);
  const everyone = (from: number) => udp(station(from), EVERYONE, { port: 53, payload: Buffer.from('h') });
  expect(await at.heard(0, everyone(0))).toEqual(['', 'h', 'h']);
  expect(await at.heard(1, everyone(1))).toEqual(['', '', '']);
  await at.sync({ acl: { default: 'deny', rules: [] } });
  expect(await at.heard(1, say(1, 0, 40_000, 'i', 53))).toEqual(['', '', '']);
  await at.sync();
  expect(await at.heard(1, say(1, 0, 40_000, 'j', 53))).toEqual(['j', '', '']);
  const drops = (await at.target.client.call('stats')).segments[0]!.ports.map((port) => port.drops);
  expect(drops).toEqual([{ acl: 1 }, { acl: 4 }, {}]);
});

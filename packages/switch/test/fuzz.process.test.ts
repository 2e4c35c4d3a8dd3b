import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Segment, SegmentImpairment } from '../src/config.ts';
import { withLength } from '../src/framing.ts';
import { Prng } from '../src/prng.ts';
import { temporaryDirectory, until } from './process.ts';
import { numbered, shop, shopOf } from './shop.ts';
import { arp, DB, damagedBits, GATEWAY_MAC, udp, WEB } from './support.ts';

/** Hostile frames into the real process, through a port that damages them further. */

const SEED = 20_261_121;
const COUNT = 1500;
const GATEWAY = { mac: GATEWAY_MAC, address: '10.213.4.1' };
const DNS = Buffer.from('1234010000010000000000000264620000010001', 'hex');

function hostileFrames(random: Prng): Buffer[] {
  const pick = (below: number) => Math.floor(random.share() * below);
  const noise = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => pick(256)));
  const sound = [
    () => udp(WEB, DB, { payload: noise(pick(200)) }),
    () =>
      udp(
        WEB,
        { mac: 'ff:ff:ff:ff:ff:ff', address: '255.255.255.255' },
        { sourcePort: 68, port: 67, payload: noise(300) },
      ),
    () => udp(WEB, GATEWAY, { port: 53, payload: DNS }),
    () => arp({ operation: 1 + pick(2), senderMac: WEB.mac, sender: WEB.address, target: DB.address }),
    () => noise(pick(1600)),
  ];
  return Array.from({ length: COUNT }, () => {
    const frame = sound[pick(sound.length)]!();
    for (let times = pick(4); times > 0 && frame.length > 0; times -= 1) frame[pick(frame.length)] = pick(256);
    return pick(5) === 0 ? frame.subarray(0, pick(frame.length + 1)) : frame;
  });
}

const ALL: SegmentImpairment = { delayMs: 3, jitterMs: 2, loss: 0.1, duplicate: 0.1, reorder: 0.1, corrupt: 0.2 };

test.each(['lan', 'link'] as const)(
  'hostile frames through an impaired %s: it lives, and invents nothing',
  async (kind) => {
    await using directory = await temporaryDirectory();
    await using at = await shopOf(directory.path);
    const segmentOf = (impairments: Segment['ports'][number]['impairments']) => {
      const ports = shop(directory.path).segments[0]!.ports.map((port) => ({ ...port, impairments }));
      return shop(directory.path, { kind, ports });
    };
    await at.sync(segmentOf([{ out: ALL, in: ALL, seed: 7 }]));
    const random = new Prng(SEED);
    const frames = hostileFrames(random);
    const stream = Buffer.concat(frames.map((frame) => withLength(frame)));
    // In pieces that have nothing to do with where frames end.
    for (let start = 0; start < stream.length;) {
      const end = Math.min(stream.length, start + 1 + Math.floor(random.share() * 40_000));
      at.web.sendRaw(stream.subarray(start, end));
      start = end;
      await sleep(1);
    }
    const ports = async () => (await at.target.client.call('stats')).segments[0]!.ports;
    await until(async () => (await ports())[0]!.receivedFrames === COUNT);
    await sleep(50);
    await at.sync(segmentOf([])); // lets go of the rest
    const [web, db] = await ports();
    await until(() => at.db.frames.length === db!.sentFrames && at.web.frames.length === web!.sentFrames);
    const byLength = Map.groupBy(frames, ({ length }) => length);
    expect(at.db.frames.length).toBeGreaterThan(kind === 'link' ? COUNT / 2 : 100);
    for (const frame of at.db.frames) {
      // Once by what the sender's port does, once by what the receiver's does.
      const bits = Math.min(...(byLength.get(frame.length) ?? []).map((one) => damagedBits(one, frame)));
      expect(bits).toBeLessThanOrEqual(2);
    }
    if (kind === 'link') {
      const [out, into] = [web!.impaired.out, db!.impaired.in];
      const lost = out.lost + out.queueDrops + into.lost + into.queueDrops + db!.queueDrops;
      expect(at.db.frames.length).toBe(COUNT + out.duplicated + into.duplicated - lost);
      expect(at.web.frames).toEqual([]);
    } else {
      // It hears the switch's own answers alone; one bit of them may be turned over.
      expect(at.web.frames.length).toBeGreaterThan(10);
      for (const frame of at.web.frames) {
        expect(damagedBits(frame.subarray(6, 12), Buffer.from(GATEWAY_MAC.replaceAll(':', ''), 'hex'))).toBeLessThan(2);
      }
    }
    expect(at.target.log()).not.toMatch(/internal error/);
    expect([at.web.connections, at.db.connections]).toEqual([1, 1]);
    at.web.send(numbered(1));
    await at.db.receive((frame) => frame.equals(numbered(1)));
  },
);

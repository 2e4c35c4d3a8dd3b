import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { attacks, type Attack } from './attacks.ts';
import { CAST, castSegment } from './cast.ts';
import { Guest, startSwitch, temporaryDirectory, until } from './process.ts';
import { segmentPort } from './support.ts';

/** All attacks in one switch, between sockets that stand for QEMU's. */

const PLACES = ['eve', 'victim', 'friend', 'walled', 'egress', 'elsewhere'] as const;

test('nothing of an attack gets anywhere, and each control arrives', async () => {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await temporaryDirectory());
  const at = {} as Record<(typeof PLACES)[number], Guest>;
  for (const place of PLACES) at[place] = undo.use(await Guest.listen(join(path, place)));
  const { client } = undo.use(await startSwitch(path));
  const elsewhere = segmentPort('elsewhere', { mac: '02:00:00:00:09:0a', address: CAST.elsewhere });
  await client.call('sync', {
    version: 1,
    segments: [
      castSegment((id) => join(path, id)),
      {
        ...castSegment(),
        id: 'other',
        subnet: '10.213.9.0/24',
        gateway: '10.213.9.1',
        ipv6: undefined,
        egress: undefined,
        udpForwards: undefined,
        ports: [{ ...elsewhere, socketPath: join(path, 'elsewhere') }],
      },
    ],
  });
  await until(async () =>
    (await client.call('state')).segments.every(({ ports, egress }) =>
      [...ports, ...(egress === undefined ? [] : [egress])].every(({ connected }) => connected),
    ),
  );
  const eve = async () => (await client.call('stats')).segments[0]!.ports[0]!;
  const send = async (frames: readonly Buffer[]) => {
    const before = (await eve()).receivedFrames;
    at.eve.send(...frames);
    await until(async () => (await eve()).receivedFrames === before + frames.length);
    await sleep(100);
  };

  const all = attacks(CAST);
  await send(all.flatMap(({ frames }) => frames));
  for (const place of PLACES)
    expect([place, at[place].frames.map((frame) => frame.toString('hex'))]).toEqual([place, []]);
  const expected: Record<string, number> = {};
  for (const { reason, frames } of all) expected[reason] = (expected[reason] ?? 0) + frames.length;
  expect((await eve()).drops).toEqual(expected);

  await send(all.flatMap(({ control }) => control));
  const controls = (reaches: Attack['reaches']) =>
    all.filter((each) => each.reaches === reaches).flatMap((each) => each.control);
  const hex = (frames: readonly Buffer[]) => frames.map((frame) => frame.toString('hex'));
  expect(hex(at.victim.frames)).toEqual(hex(controls('victim')));
  expect(hex(at.egress.frames)).toEqual(hex(controls('outside')));
  expect(at.eve.frames.length).toBe(controls('answer').length);
  expect([at.walled.frames, at.elsewhere.frames]).toEqual([[], []]);
  expect((await eve()).drops).toEqual(expected);
});

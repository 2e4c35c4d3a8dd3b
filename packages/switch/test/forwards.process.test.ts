import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Segment } from '../src/config.ts';
import { readIpv4 } from '../src/packets/ipv4.ts';
import { readUdp } from '../src/packets/udp.ts';
import { Guest, startSwitch, temporaryDirectory, until } from './process.ts';
import { DB, GATEWAY_MAC, ip, segment, segmentPort, udp, WEB } from './support.ts';

/** UDP ports of the host, in the process itself. */

const GATEWAY = { mac: GATEWAY_MAC, address: '10.213.4.1' };
/** A rule that refuses all: forwards are not asked about. */
const ACL = { default: 'deny' as const, rules: [] };

async function udpSocket(port = 0): Promise<Socket & AsyncDisposable> {
  const socket = createSocket('udp4').bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return Object.assign(socket, { [Symbol.asyncDispose]: async () => void socket.close() });
}

async function message(socket: Socket): Promise<string> {
  return String((await once(socket, 'message', { signal: AbortSignal.timeout(8000) }))[0]);
}

function datagram(frame: Buffer) {
  const packet = readIpv4(frame)!;
  const { sourcePort, destinationPort, payload } = readUdp(packet)!;
  return { from: packet.source, to: packet.destination, sourcePort, destinationPort, text: payload.toString() };
}

test('datagrams to a port of the host reach the guest, and its answers alone reach who asked', async () => {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await temporaryDirectory());
  const web = undo.use(await Guest.listen(join(path, 'web')));
  const db = undo.use(await Guest.listen(join(path, 'db')));
  const one = undo.use(await udpSocket());
  const two = undo.use(await udpSocket());
  // Taken at first, and a free one.
  const taken = await udpSocket();
  const other = await udpSocket();
  const ports = [taken.address().port, other.address().port] as const;
  other.close();
  const { client, log } = undo.use(await startSwitch(path));
  const forwards = ports.map((hostPort) => ({
    hostAddress: '127.0.0.1',
    hostPort,
    address: WEB.address,
    guestPort: 53,
  }));
  const sync = (more: Partial<Segment>) =>
    client.call('sync', {
      version: 1,
      segments: [
        segment({
          egress: undefined,
          acl: ACL,
          ports: [
            segmentPort('web', WEB, { socketPath: join(path, 'web') }),
            segmentPort('db', DB, { socketPath: join(path, 'db') }),
          ],
          ...more,
        }),
      ],
    });
  const state = async () => (await client.call('state')).segments[0]!;
  await sync({ udpForwards: forwards });
  await until(async () => (await state()).ports.every((port) => port.connected));
  await until(async () => (await state()).udpForwards![0]!.error?.includes('EADDRINUSE') === true);
  expect((await state()).udpForwards![1]).toEqual({ ...forwards[1], clients: 0, drops: 0 });
  expect(log()).toContain('forward: bind EADDRINUSE 127.0.0.1');

  one.send('a', ports[1], '127.0.0.1');
  const first = datagram(await web.receive());
  two.send('b', ports[1], '127.0.0.1');
  const second = datagram(await web.receive());
  expect([first, second]).toMatchObject([
    { from: ip('10.213.4.1'), to: ip(WEB.address), destinationPort: 53, text: 'a' },
    { from: ip('10.213.4.1'), to: ip(WEB.address), destinationPort: 53, text: 'b' },
  ]);
  expect(first.sourcePort).not.toBe(second.sourcePort);
  const answer = (from: typeof WEB, port: number, text: string, sourcePort = 53) =>
    udp(from, GATEWAY, { sourcePort, port, payload: Buffer.from(text) });
  const heard = [message(one), message(two)];
  // From another guest, from another port, and to nobody: none of them is heard.
  db.send(answer(DB, first.sourcePort, 'x'));
  const nobody = [49_152, 49_153, 49_154].find((port) => ![first.sourcePort, second.sourcePort].includes(port))!;
  web.send(answer(WEB, first.sourcePort, 'x', 54), answer(WEB, nobody, 'x'));
  await sleep(50);
  web.send(answer(WEB, second.sourcePort, 'B'), answer(WEB, first.sourcePort, 'A'));
  expect(await Promise.all(heard)).toEqual(['A', 'B']);
  const drops = (await client.call('stats')).segments[0]!.ports.map((port) => port.drops);
  expect(drops).toEqual([{ host: 2 }, { host: 1 }]);

  // More than a frame holds.
  one.send(Buffer.alloc(1473), ports[1], '127.0.0.1');
  await until(async () => (await state()).udpForwards![1]!.drops === 1);
  one.send(Buffer.alloc(1472, 'c'), ports[1], '127.0.0.1');
  expect(datagram(await web.receive()).text.length).toBe(1472);
  expect((await state()).udpForwards![1]).toMatchObject({ clients: 2, drops: 1 });

  // What was taken is had once it is free; a sync keeps the clients, and one without forwards ends them.
  await taken[Symbol.asyncDispose]();
  await until(async () => (await state()).udpForwards![0]!.error === undefined);
  await sync({ udpForwards: forwards, domain: 'other' });
  const again = message(one);
  web.send(answer(WEB, first.sourcePort, 'still'));
  expect(await again).toBe('still');
  one.send('d', ports[0], '127.0.0.1');
  expect(datagram(await web.receive()).sourcePort).not.toBe(first.sourcePort);
  await sync({ udpForwards: [{ ...forwards[0]!, address: DB.address }] });
  // It is opened anew, in its own time.
  await until(() => {
    one.send('e', ports[0], '127.0.0.1');
    return db.frames.length > 0;
  });
  expect(datagram(await db.receive())).toMatchObject({ to: ip(DB.address), text: 'e' });
  await sync({});
  expect((await state()).udpForwards).toBeUndefined();
  await using free = await udpSocket(ports[0]);
  expect(free.address().port).toBe(ports[0]);
});

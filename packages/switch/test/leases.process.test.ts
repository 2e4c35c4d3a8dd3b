import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readIpv4 } from '../src/packets/ipv4.ts';
import { Guest, startSwitch, temporaryDirectory, until } from './process.ts';
import { arp, ip, mac, segment, segmentPort, udp, WEB } from './support.ts';

/** DHCP for a port without an address, in the process itself. */

const STRANGER = { mac: '02:00:00:00:00:5a', address: '0.0.0.0' };

function dhcp(type: number, requested?: string): Buffer {
  const message = Buffer.alloc(300);
  message.set([1, 1, 6]);
  message.writeUIntBE(mac(STRANGER.mac), 28, 6);
  message.writeUInt32BE(0x6382_5363, 236);
  message.set(
    [53, 1, type, ...(requested === undefined ? [] : [50, 4, ...requested.split('.').map(Number)]), 255],
    240,
  );
  const everybody = { mac: 'ff:ff:ff:ff:ff:ff', address: '255.255.255.255' };
  return udp(STRANGER, everybody, { sourcePort: 68, port: 67, payload: message });
}

test('a guest without an address gets one of the range, may use it then, and is shown', async () => {
  await using undo = new AsyncDisposableStack();
  const { path } = undo.use(await temporaryDirectory());
  const web = undo.use(await Guest.listen(join(path, 'web')));
  const stranger = undo.use(await Guest.listen(join(path, 'stranger')));
  const { client } = undo.use(await startSwitch(path));
  const config = {
    version: 1 as const,
    segments: [
      segment({
        egress: undefined,
        dhcpRange: { from: '10.213.4.100', to: '10.213.4.101' },
        ports: [
          segmentPort('web', WEB, { socketPath: join(path, 'web') }),
          segmentPort('stranger', STRANGER, { addresses: [], socketPath: join(path, 'stranger') }),
        ],
      }),
    ],
  };
  await client.call('sync', config);
  await until(async () => (await client.call('state')).segments[0]!.ports.every((port) => port.connected));
  const own = { ...STRANGER, address: '10.213.4.100' };
  stranger.send(udp(own, WEB), dhcp(1));
  const offer = readIpv4(await stranger.receive())!.payload;
  expect([offer.readUInt32BE(8 + 16), offer.includes(Buffer.from([51, 4, 0, 0, 2, 88]))]).toEqual([
    ip(own.address),
    true,
  ]);
  stranger.send(dhcp(3, own.address));
  await stranger.receive();
  await until(async () => (await client.call('leases')).segments[0]!.leases.length === 1);
  expect((await client.call('leases')).segments).toEqual([
    { id: 'shop', leases: [{ mac: STRANGER.mac, address: own.address, expiresAtMs: expect.any(Number) }] },
  ]);
  // And it outlives a sync.
  stranger.send(udp(own, WEB, { payload: Buffer.from('first') }));
  await web.receive((frame) => frame.includes('first'));
  await client.call('sync', config);
  stranger.send(arp({ operation: 1, senderMac: own.mac, sender: own.address, target: WEB.address }));
  stranger.send(udp({ ...own, address: '10.213.4.101' }, WEB), udp(own, WEB, { payload: Buffer.from('mine') }));
  await web.receive((frame) => frame.includes('mine'));
  const { drops } = (await client.call('stats')).segments[0]!.ports[1]!;
  expect(drops).toEqual({ 'foreign-address': 2 });
});

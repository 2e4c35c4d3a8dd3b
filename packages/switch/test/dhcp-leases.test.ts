import { describe, expect, test } from 'vitest';
import { DhcpLeases } from '../src/dhcp-leases.ts';
import { DHCP, type DhcpRequest } from '../src/packets/dhcp.ts';
import { DB, ip, segment, segmentPort, WEB } from './support.ts';

const SERVER = ip('10.213.4.1');
const range = { from: '10.213.4.10', to: '10.213.4.13' };

/** Leases of .12 and .13: the others of the range are ports' own. */
function leases() {
  let nowMs = 0;
  const table = new DhcpLeases(() => nowMs);
  const plug = (dhcpRange: typeof range | undefined) =>
    table.update(segment({ dhcpRange, ports: [segmentPort('web', WEB), segmentPort('db', DB)] }));
  plug(range);
  const say = (mac: number, messageType: number, more: Partial<DhcpRequest> = {}) =>
    table.answer(
      {
        transaction: 1,
        seconds: 0,
        flags: 0,
        clientAddress: 0,
        clientMac: mac,
        messageType,
        requestedAddress: undefined,
        server: undefined,
        wanted: Buffer.alloc(0),
        ...more,
      },
      SERVER,
    );
  const request = (mac: number, address: string) => say(mac, DHCP.request, { requestedAddress: ip(address) });
  return { table, plug, say, request, wait: (seconds: number) => void (nowMs += seconds * 1000) };
}

describe('leases of the range', () => {
  test("are offered, given and given again; no address twice, none that is a port's own", () => {
    const { say, request, table } = leases();
    expect([say(1, DHCP.discover), say(2, DHCP.discover), say(3, DHCP.discover)]).toEqual([
      ip('10.213.4.12'),
      ip('10.213.4.13'),
      undefined,
    ]);
    expect(table.given().size).toBe(0);
    expect(request(1, '10.213.4.12')).toBe(ip('10.213.4.12'));
    expect(say(1, DHCP.discover)).toBe(ip('10.213.4.12'));
    expect([...table.given().values()]).toEqual([{ mac: 1, address: ip('10.213.4.12'), expiresAtMs: 600_000 }]);
  });

  test.each([
    ['of another', '10.213.4.12'],
    ["that is a port's own", '10.213.4.10'],
    ['outside the range', '10.213.4.14'],
    ["the gateway's", '10.213.4.1'],
  ])('one that is %s is refused', (_, address) => {
    const { request, table } = leases();
    request(1, '10.213.4.12');
    expect(request(2, address)).toBe(0);
    expect([...table.given().keys()]).toEqual([1]);
  });

  test('end in time unless they are asked for again', () => {
    const { say, request, table, wait } = leases();
    request(1, '10.213.4.12');
    wait(300);
    expect(say(1, DHCP.request, { clientAddress: ip('10.213.4.12') })).toBe(ip('10.213.4.12'));
    wait(599);
    expect(table.given().size).toBe(1);
    wait(1);
    expect(table.given().size).toBe(0);
    // After a restart of the switch: it is its own still if it is free.
    expect(request(1, '10.213.4.12')).toBe(ip('10.213.4.12'));
  });

  test('are given back, and then others get another first', () => {
    const { say, request, table } = leases();
    request(1, '10.213.4.12');
    expect(say(1, DHCP.release)).toBeUndefined();
    expect(table.given().size).toBe(0);
    expect(say(2, DHCP.discover)).toBe(ip('10.213.4.13'));
  });

  test('an offer of another server is not ours to give; a new range ends what it has not', () => {
    const { say, plug, request, table } = leases();
    expect(say(1, DHCP.request, { server: ip('10.213.4.9'), requestedAddress: ip('10.213.4.12') })).toBeUndefined();
    expect(table.given().size).toBe(0);
    request(1, '10.213.4.12');
    request(2, '10.213.4.13');
    plug({ from: '10.213.4.13', to: '10.213.4.20' });
    expect([...table.given().keys()]).toEqual([2]);
    plug(undefined);
    expect(table.given().size).toBe(0);
  });
});

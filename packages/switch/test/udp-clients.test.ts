import { describe, expect, test } from 'vitest';
import { UdpClients } from '../src/udp-clients.ts';

const dns = { port: 53 };
const ntp = { port: 123 };

function clients() {
  let nowMs = 0;
  return { table: new UdpClients<object>(() => nowMs), wait: (seconds: number) => void (nowMs += seconds * 1000) };
}

describe('clients of forwards', () => {
  test('each has a port of its own, for each forward, and keeps it', () => {
    const { table } = clients();
    const first = table.from(dns, '192.0.2.1', 5000)!;
    const others = [
      table.from(dns, '192.0.2.1', 5001),
      table.from(dns, '192.0.2.2', 5000),
      table.from(ntp, '192.0.2.1', 5000),
    ];
    const ports = [first, ...others].map((client) => client!.gatewayPort);
    expect(new Set(ports).size).toBe(4);
    for (const port of ports) expect(port).toBeGreaterThanOrEqual(49_152);
    expect(table.from(dns, '192.0.2.1', 5000)).toBe(first);
    expect(table.at(first.gatewayPort)).toBe(first);
    expect([table.count(dns), table.count(ntp)]).toEqual([3, 1]);
  });

  test('is forgotten when nobody uses it, in either direction', () => {
    const { table, wait } = clients();
    const asked = table.from(dns, '192.0.2.1', 1)!;
    const answered = table.from(dns, '192.0.2.1', 2)!;
    const silent = table.from(dns, '192.0.2.1', 3)!;
    wait(100);
    table.from(dns, '192.0.2.1', 1);
    table.at(answered.gatewayPort);
    wait(21);
    expect([asked, answered, silent].map((client) => table.at(client.gatewayPort))).toEqual([
      asked,
      answered,
      undefined,
    ]);
    expect(table.count(dns)).toBe(2);
    wait(121);
    expect(table.count(dns)).toBe(0);
  });

  test('a forward that is flooded takes no more, and leaves room for others', () => {
    const { table, wait } = clients();
    const got = Array.from({ length: 2000 }, (_, port) => table.from(dns, '192.0.2.1', port));
    expect(got.filter((client) => client !== undefined).length).toBe(1024);
    expect(got[1023]).toBeDefined();
    expect(table.from(dns, '192.0.2.1', 0)).toBe(got[0]);
    expect(table.from(ntp, '192.0.2.1', 0)).toBeDefined();
    wait(121);
    expect(table.from(dns, '192.0.2.1', 1999)).toBeDefined();
  });

  test('those of all forwards together are bounded too', () => {
    const { table, wait } = clients();
    const forwards = Array.from({ length: 5 }, (_, port) => ({ port }));
    const each = forwards.map((forward) => {
      for (let port = 0; port < 1024; port += 1) table.from(forward, '192.0.2.1', port);
      return table.count(forward);
    });
    expect(each).toEqual([1024, 1024, 1024, 1024, 0]);
    wait(121);
    expect(table.from(forwards[4]!, '192.0.2.1', 1)).toBeDefined();
  });

  test('go with their forward', () => {
    const { table } = clients();
    const client = table.from(dns, '192.0.2.1', 1)!;
    table.forget(dns);
    expect(table.at(client.gatewayPort)).toBeUndefined();
    expect(table.count(dns)).toBe(0);
  });
});

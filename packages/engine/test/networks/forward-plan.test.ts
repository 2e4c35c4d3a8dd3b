import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { NetworkSpec, SkerryError } from '@skerry/api';
import { assertUdpPortFree, newUdpEnds } from '../../src/networks/index.ts';
import { checkForwards } from '../../src/networks/forward-plan.ts';

const udp = (hostPort: number, guestPort = 53) => ({ hostPort, vm: 'web', guestPort, protocol: 'udp' });
const network = (...forwards: object[]) => ({ spec: NetworkSpec.parse({ forwards }) });

describe('UDP ports that a network asks for', () => {
  test('are those that it has not had', () => {
    const asked = newUdpEnds(network(udp(5300), udp(5301)), network(udp(5300)), []);
    expect(asked.map(({ hostPort }) => hostPort)).toEqual([5301]);
  });

  test('TCP ports of that number are others', () => {
    expect(newUdpEnds(network({ ...udp(5300), protocol: 'tcp' }), undefined, [network(udp(5300))])).toEqual([]);
    expect(newUdpEnds(network(udp(5300)), undefined, [network({ ...udp(5300), protocol: 'tcp' })])).toHaveLength(1);
  });

  test("another network's are in use", () => {
    expect(() => newUdpEnds(network(udp(5300)), undefined, [network(udp(5300, 54))])).toThrow(
      expect.objectContaining({ code: 'in-use' }),
    );
  });

  test('lead into no link', () => {
    const spec = NetworkSpec.parse({ mode: 'link', forwards: [udp(5300)] });
    expect(() => checkForwards(spec)).toThrow(expect.objectContaining({ code: 'invalid' }));
  });

  test('have to be free on the host', async () => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    const error = await assertUdpPortFree('127.0.0.1', port).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(SkerryError);
    expect(error).toMatchObject({ code: 'in-use', remedy: expect.stringContaining(`sport = :${port}`) });
    socket.close();
    await once(socket, 'close');
    await assertUdpPortFree('127.0.0.1', port);
  });
});

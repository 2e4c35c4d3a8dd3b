import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SkerryError } from '@skerry/api';
import { listenFor } from '../src/commands/forward/listen.ts';
import { parsePair, shownAddress } from '../src/commands/forward/ports.ts';

describe('a pair of ports', () => {
  test.each([
    ['8080:80', '127.0.0.1', 8080, 80],
    ['0:80', '127.0.0.1', 0, 80],
    ['8080:80/tcp', '127.0.0.1', 8080, 80],
    ['0.0.0.0:8080:80', '0.0.0.0', 8080, 80],
    ['[::1]:8080:80', '::1', 8080, 80],
  ])('%s', (written, hostAddress, hostPort, guestPort) => {
    expect(parsePair(written)).toEqual({ hostAddress, hostPort, guestPort });
  });

  test.each(['', '80', '8080:', ':80', '8080:0', '65536:80', '80:65536', 'a:b', '-1:80', '8080:80:90', '::1:8080:80'])(
    '%j is none, and it is said what is one',
    (written) => {
      expect(() => parsePair(written)).toThrow(
        expect.objectContaining({ code: 'invalid', remedy: expect.stringContaining('8080:80') }),
      );
    },
  );

  test('of UDP is not supported', () => {
    expect(() => parsePair('53:53/udp')).toThrow(expect.objectContaining({ code: 'unsupported' }));
  });
});

describe('a port that is listened at', () => {
  // The guest: says how much it was told, once it has been told all.
  const guest = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (data) => (bytes += data.length));
    socket.on('end', () => socket.end(`${bytes} bytes`));
    socket.on('error', () => {});
  });
  const dial = async (): Promise<Duplex> => {
    const socket = connect({ port: (guest.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return socket;
  };
  beforeAll(() => new Promise<void>((resolve) => guest.listen(0, '127.0.0.1', resolve)));
  afterAll(() => guest.close());
  const any = parsePair('0:80');
  const noFailure = (error: SkerryError): never => {
    throw error;
  };

  test('serves many at once, and tells each when the other half has ended', async () => {
    using listener = await listenFor(any, dial, noFailure);
    const { hostAddress, hostPort } = listener.pair;
    expect(hostPort).toBeGreaterThan(0);
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const socket = connect({ host: hostAddress, port: hostPort, allowHalfOpen: true });
        socket.end(Buffer.alloc(index * 10_000));
        return text(socket);
      }),
    );
    expect(answers).toEqual(Array.from({ length: 40 }, (_, index) => `${index * 10_000} bytes`));
  });

  test('that is taken is refused with what to type; without a guest its client sees a reset', async () => {
    const failures: string[] = [];
    const nobody = () => Promise.reject(new SkerryError('unavailable', 'nothing listens'));
    using listener = await listenFor(any, nobody, ({ message }) => failures.push(message));
    const again = listenFor(listener.pair, dial, noFailure);
    await expect(again).rejects.toMatchObject({ code: 'in-use', remedy: expect.stringContaining('0:80') });
    const socket = connect(listener.pair.hostPort, listener.pair.hostAddress);
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNRESET');
    expect(failures).toEqual(['nothing listens']);
  });

  test('is free once it is closed, with no connection left', async () => {
    const listener = await listenFor(any, dial, noFailure);
    const socket = connect(listener.pair.hostPort, listener.pair.hostAddress);
    await once(socket, 'connect');
    socket.on('error', () => {});
    listener[Symbol.dispose]();
    await once(socket, 'close');
    using _again = await listenFor(listener.pair, dial, noFailure);
  });

  test('at an address that is not of this machine is refused', async () => {
    const pair = { ...any, hostAddress: '192.0.2.1' };
    await expect(listenFor(pair, dial, noFailure)).rejects.toMatchObject({ code: 'invalid' });
    expect(shownAddress('::1', 80)).toBe('[::1]:80');
  });
});

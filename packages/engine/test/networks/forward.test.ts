import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, expect, test } from 'vitest';
import { ForwardService, type PortForward } from '../../src/networks/index.ts';

/** The "guest" is a TCP server on loopback: what the agent's stream would be is a connection to it. */

const undo: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

async function server(serve: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const listening = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    serve(socket);
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  undo.push(() => new Promise((resolve) => listening.close(resolve)));
  return { server: listening, port: (listening.address() as AddressInfo).port };
}

async function freePort(): Promise<number> {
  const { server: probe, port } = await server(() => {});
  await new Promise((resolve) => probe.close(resolve));
  undo.pop();
  return port;
}

function service(guests: Record<string, number>): ForwardService {
  const forwards = new ForwardService({
    dial: async (vmId) => {
      const socket = connect({ port: guests[vmId]!, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return socket;
    },
  });
  undo.push(() => forwards.close());
  return forwards;
}

const forward = (hostPort: number, vmId: string, port = 80): PortForward => ({
  hostAddress: '127.0.0.1',
  hostPort,
  to: { vmId, port },
});

async function exchange(port: number, data: Buffer): Promise<Buffer> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.end(data);
  return await buffer(socket);
}

/** Answers only when the client has said that it is done. */
const reverse = (socket: Socket): void => {
  void buffer(socket).then((data) => socket.end(data.reverse()));
};

test('both ways with half-close: the answer comes after the end of the question, of any size', async () => {
  const guest = await server(reverse);
  const hostPort = await freePort();
  const forwards = service({ web: guest.port });
  await forwards.sync([forward(hostPort, 'web')]);
  const big = Buffer.alloc(5_000_000, 'abcdefg');
  expect((await exchange(hostPort, big)).equals(Buffer.from(big).reverse())).toBe(true);
  expect((await exchange(hostPort, Buffer.from('abc'))).toString()).toBe('cba');
});

test('a reader that stands still holds up the guest, not our memory', async () => {
  let written = 0;
  const chunk = Buffer.alloc(256 * 1024);
  const guest = await server((socket) => {
    const more = (): void => {
      do written += chunk.length;
      while (socket.write(chunk) && written < 200_000_000);
    };
    socket.on('drain', more);
    more();
  });
  const hostPort = await freePort();
  await service({ web: guest.port }).sync([forward(hostPort, 'web')]);
  const socket = connect(hostPort, '127.0.0.1');
  socket.pause();
  await once(socket, 'connect');
  let before = -1;
  for (; before !== written; await new Promise((resolve) => setTimeout(resolve, 200))) before = written;
  expect(written).toBeLessThan(50_000_000);
  socket.destroy();
});

test('a guest that does not take the connection resets it', async () => {
  const hostPort = await freePort();
  const forwards = new ForwardService({ dial: () => Promise.reject(new Error('nobody listens')) });
  undo.push(() => forwards.close());
  await forwards.sync([forward(hostPort, 'web')]);
  const socket = connect(hostPort, '127.0.0.1');
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNRESET');
});

test('a sync keeps what stays with its connections, and ends what goes', async () => {
  const guest = await server((socket) => void socket.pipe(socket));
  const [stays, goes] = [await freePort(), await freePort()];
  const forwards = service({ web: guest.port });
  await forwards.sync([forward(stays, 'web'), forward(goes, 'web')]);
  const kept = connect(stays, '127.0.0.1');
  const lost = connect(goes, '127.0.0.1');
  for (const socket of [kept, lost]) {
    socket.write('1');
    await once(socket, 'data');
  }
  const closed = once(lost, 'close');
  await forwards.sync([forward(stays, 'web')]);
  await closed;
  kept.write('2');
  expect(String((await once(kept, 'data'))[0])).toBe('2');
  kept.destroy();
  await expect(once(connect(goes, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('a port in use is told before anything changes, with one that is free', async () => {
  const taken = await server(() => {});
  const guest = await server(reverse);
  const before = await freePort();
  const forwards = service({ web: guest.port });
  await forwards.sync([forward(before, 'web')]);
  const wanted = [forward(before, 'web'), forward(taken.port, 'web')];
  const expected = {
    code: 'in-use',
    message: `Port ${taken.port} of 127.0.0.1 is in use`,
    remedy: expect.stringMatching(/^Choose another port, such as \d+, or end what listens there: ss -ltnp/) as string,
  };
  await expect(forwards.assertPortsFree(wanted)).rejects.toMatchObject(expected);
  await expect(forwards.sync([forward(taken.port, 'web')])).rejects.toMatchObject(expected);
  // Taken back: the old one works again.
  expect(forwards.forwards).toEqual([forward(before, 'web')]);
  expect((await exchange(before, Buffer.from('abc'))).toString()).toBe('cba');
  await expect(forwards.sync([forward(before, 'web'), forward(before, 'db')])).rejects.toMatchObject({
    code: 'in-use',
  });
  await expect(forwards.sync([{ ...forward(before, 'web'), hostAddress: '192.0.2.200' }])).rejects.toMatchObject({
    code: 'invalid',
  });
  await forwards.assertPortsFree([forward(before, 'web')]);
});

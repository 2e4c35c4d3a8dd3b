import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SkerryError } from '@skerry/api/base';
import { shownAddress, type PortPair } from './ports.ts';

/**
 * A port of this machine, listened at by this process: when it ends, however it ends, nothing is left of it.
 *
 * The engine listens much the same for a VM's own forwards (networks/forward.ts). It stays written twice: what both may import
 * is `api`, which does no I/O, and their answers differ (here 0 takes any port, there another free one is looked for).
 */

export interface Listener extends Disposable {
  /** With the port that was chosen. */
  readonly pair: PortPair;
}

/**
 * @param dial opens a connection to the port in the guest
 * @param onFailure why one could not be opened; its client sees a reset, as of a closed port
 * @throws SkerryError `in-use`, `refused` (a port below 1024), `invalid` (no address of this machine)
 */
export async function listenFor(
  pair: PortPair,
  dial: (guestPort: number) => Promise<Duplex>,
  onFailure: (error: SkerryError) => void,
): Promise<Listener> {
  const connections = new Set<Socket>();
  // Half-open: a client that has sent all it has to say still waits for the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
    connections.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.once('close', () => connections.delete(socket));
    void serve(socket, () => dial(pair.guestPort), onFailure);
  });
  await listen(server, pair);
  const { port } = server.address() as AddressInfo;
  return {
    pair: { ...pair, hostPort: port },
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

async function serve(
  socket: Socket,
  dial: () => Promise<Duplex>,
  onFailure: (error: SkerryError) => void,
): Promise<void> {
  let guest: Duplex;
  try {
    guest = await dial();
  } catch (error) {
    socket.resetAndDestroy();
    onFailure(SkerryError.from(error));
    return;
  }
  try {
    await Promise.all([pipeline(socket, guest), pipeline(guest, socket)]);
  } catch {
    // One side broke off: so does the other.
  } finally {
    socket.destroy();
    guest.destroy();
  }
}

function listen(server: Server, pair: PortPair): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenFailure(pair, error)));
    server.listen({ host: pair.hostAddress, port: pair.hostPort, exclusive: true }, resolve);
  });
}

function listenFailure({ hostAddress, hostPort, guestPort }: PortPair, error: NodeJS.ErrnoException): SkerryError {
  const what = shownAddress(hostAddress, hostPort);
  const options = { details: { hostAddress, hostPort }, cause: error };
  switch (error.code) {
    case 'EADDRINUSE':
      return new SkerryError('in-use', `${what} is in use`, {
        remedy: `Take any port that is free (0:${guestPort}), or end what listens there: ss -ltnp 'sport = :${hostPort}'`,
        ...options,
      });
    case 'EACCES':
      return new SkerryError('refused', `${what} needs more rights than this user has`, {
        remedy: 'Choose a port of 1024 or above.',
        ...options,
      });
    case 'EADDRNOTAVAIL':
      return new SkerryError('invalid', `${hostAddress} is no address of this machine`, {
        remedy: 'Use 127.0.0.1 for this machine only, or 0.0.0.0 for all its addresses.',
        ...options,
      });
    default:
      return new SkerryError('failed', `${what} can not be listened at: ${error.message}`, {
        remedy: 'Choose another port.',
        ...options,
      });
  }
}

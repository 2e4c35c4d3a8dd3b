import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SkerryError } from '@skerry/api';

/**
 * Ports of the host that lead into VMs. `skerry forward` listens much the same for itself (the CLI's forward/listen.ts, which
 * says why there are two).
 */

export interface PortForward {
  /** 127.0.0.1: this host only. */
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly to: { readonly vmId: string; readonly port: number };
}

/** Opens a TCP connection inside the guest. */
export type Dial = (vmId: string, port: number) => Promise<Duplex>;

interface Listener {
  readonly server: Server;
  readonly connections: Set<Socket>;
  forward: PortForward;
}

export class ForwardService {
  readonly #dial: Dial;
  readonly #listeners = new Map<string, Listener>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly dial: Dial }) {
    this.#dial = options.dial;
  }

  get forwards(): readonly PortForward[] {
    return [...this.#listeners.values()].map((listener) => listener.forward);
  }

  /**
   * Makes exactly these forwards. Those that stay keep their connections, those that go lose them. When one can't be
   * made, it is as if nothing had been asked.
   * @throws SkerryError as `assertPortsFree`
   */
  sync(wanted: readonly PortForward[]): Promise<void> {
    // One after the other: two at once would fight over the same ports.
    const result = this.#last.then(() => this.#sync(wanted));
    this.#last = result.catch(() => {});
    return result;
  }

  /**
   * Whether `sync` would succeed, for use before anything else is changed.
   * @throws SkerryError `in-use` (remedy names a free port), `refused` (below 1024 without rights), `invalid`
   */
  async assertPortsFree(wanted: readonly PortForward[]): Promise<void> {
    assertDistinct(wanted);
    for (const forward of wanted) {
      if (this.#listeners.has(keyOf(forward))) continue;
      const server = createServer();
      await listen(server, forward);
      await close(server);
    }
  }

  /** Ends all of them. */
  close(): Promise<void> {
    return this.sync([]);
  }

  async #sync(wanted: readonly PortForward[]): Promise<void> {
    assertDistinct(wanted);
    const keys = new Set(wanted.map((forward) => keyOf(forward)));
    const before = this.forwards;
    // First: 0.0.0.0:80 has to go before 127.0.0.1:80 can come.
    const gone = [...this.#listeners].filter(([key]) => !keys.has(key));
    const opened: string[] = [];
    await Promise.all(gone.map(([key]) => this.#close(key)));
    try {
      for (const forward of wanted) {
        const kept = this.#listeners.get(keyOf(forward));
        if (kept === undefined) {
          await this.#open(forward);
          opened.push(keyOf(forward));
        } else this.#retarget(kept, forward);
      }
    } catch (error) {
      await Promise.all(opened.map((key) => this.#close(key)));
      for (const forward of before) {
        const kept = this.#listeners.get(keyOf(forward));
        if (kept === undefined) await this.#open(forward).catch(() => {});
        else this.#retarget(kept, forward);
      }
      throw error;
    }
  }

  #retarget(listener: Listener, forward: PortForward): void {
    const { to } = listener.forward;
    listener.forward = forward;
    if (to.vmId === forward.to.vmId && to.port === forward.to.port) return;
    for (const socket of listener.connections) socket.destroy();
  }

  async #open(forward: PortForward): Promise<void> {
    const connections = new Set<Socket>();
    // Half-open: a client that has sent all it has to say still waits for the answer.
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true });
    const listener: Listener = { server, connections, forward };
    server.on('connection', (socket) => void this.#serve(listener, socket));
    await listen(server, forward);
    this.#listeners.set(keyOf(forward), listener);
  }

  async #serve(listener: Listener, socket: Socket): Promise<void> {
    listener.connections.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => listener.connections.delete(socket));
    let guest: Duplex;
    try {
      guest = await this.#dial(listener.forward.to.vmId, listener.forward.to.port);
    } catch {
      // As a closed port of the guest's would: a reset.
      socket.resetAndDestroy();
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

  async #close(key: string): Promise<void> {
    const listener = this.#listeners.get(key);
    if (listener === undefined) return;
    this.#listeners.delete(key);
    const closed = close(listener.server);
    for (const socket of listener.connections) socket.destroy();
    await closed;
  }
}

function keyOf(forward: PortForward): string {
  return `${forward.hostAddress} ${forward.hostPort}`;
}

function assertDistinct(wanted: readonly PortForward[]): void {
  const seen = new Set<string>();
  for (const forward of wanted) {
    if (seen.has(keyOf(forward))) {
      throw new SkerryError('in-use', `Port ${forward.hostPort} of ${forward.hostAddress} is to be forwarded twice`, {
        remedy: 'Give one of the two another port of the host.',
        details: { hostAddress: forward.hostAddress, hostPort: forward.hostPort },
      });
    }
    seen.add(keyOf(forward));
  }
}

async function listen(server: Server, forward: PortForward): Promise<void> {
  try {
    await tryListen(server, forward.hostAddress, forward.hostPort);
  } catch (error) {
    throw await listenFailure(forward, error as NodeJS.ErrnoException);
  }
}

function tryListen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

async function listenFailure(forward: PortForward, error: NodeJS.ErrnoException): Promise<SkerryError> {
  const { hostAddress, hostPort } = forward;
  const details = { hostAddress, hostPort };
  const what = `Port ${hostPort} of ${hostAddress}`;
  switch (error.code) {
    case 'EADDRINUSE': {
      const free = await nextFreePort(hostAddress, hostPort);
      const instead = free === undefined ? 'Choose another port' : `Choose another port, such as ${free}`;
      const remedy = `${instead}, or end what listens there: ss -ltnp 'sport = :${hostPort}'`;
      return new SkerryError('in-use', `${what} is in use`, { remedy, details, cause: error });
    }
    case 'EACCES':
      return new SkerryError('refused', `${what} needs more rights than this user has`, {
        remedy: 'Choose a port of 1024 or above.',
        details,
        cause: error,
      });
    case 'EADDRNOTAVAIL':
      return new SkerryError('invalid', `${hostAddress} is no address of this host`, {
        remedy: 'Use 127.0.0.1 for this host only, or 0.0.0.0 for all its addresses.',
        details,
        cause: error,
      });
    default:
      return new SkerryError('failed', `${what} can not be listened at: ${error.message}`, {
        remedy: 'Choose another port.',
        details,
        cause: error,
      });
  }
}

const PORTS_TO_TRY = 20;

async function nextFreePort(host: string, after: number): Promise<number | undefined> {
  for (let port = after + 1; port <= Math.min(after + PORTS_TO_TRY, 65_535); port += 1) {
    const server = createServer();
    try {
      await tryListen(server, host, port);
      await close(server);
      return port;
    } catch {
      // Taken as well.
    }
  }
  return undefined;
}

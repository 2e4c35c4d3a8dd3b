import { randomInt } from 'node:crypto';

/**
 * Who has sent datagrams through the forwards of one segment. Each client has a port of the gateway, so that the guest's
 * answers find back. Of a bounded size: none is pushed out for a new one.
 */

/** Ports of the gateway that stand for clients: the dynamic ones (RFC 6335 section 6). */
export const FIRST_CLIENT_PORT = 49_152;
const LAST_CLIENT_PORT = 65_535;
const PORTS = LAST_CLIENT_PORT - FIRST_CLIENT_PORT + 1;

const MAX_CLIENTS = 4096;
/** So that whoever floods one forward leaves room for the others. */
const MAX_PER_FORWARD = 1024;
/** RFC 4787 section 4.3: two minutes at least. */
const IDLE_MS = 120_000;

export interface UdpClient<Forward> {
  readonly forward: Forward;
  readonly address: string;
  readonly port: number;
  /** Of the gateway. */
  readonly gatewayPort: number;
  usedAtMs: number;
}

export class UdpClients<Forward extends object> {
  readonly #now: () => number;
  readonly #byPort = new Map<number, UdpClient<Forward>>();
  /** By forward, then by address and port; those that were used last are at the end. */
  readonly #byForward = new Map<Forward, Map<string, UdpClient<Forward>>>();
  /** Not the first one: who had it before a restart may get an answer still. */
  #next = randomInt(PORTS);

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Notes that it has sent something. @returns undefined when there is no room for a new one */
  from(forward: Forward, address: string, port: number): UdpClient<Forward> | undefined {
    const clients = this.#byForward.get(forward) ?? new Map<string, UdpClient<Forward>>();
    this.#byForward.set(forward, clients);
    const key = `${address} ${port}`;
    const known = clients.get(key);
    if (known !== undefined) {
      this.#use(known);
      return known;
    }
    this.#forgetIdle(clients);
    if (this.#byPort.size >= MAX_CLIENTS) for (const others of this.#byForward.values()) this.#forgetIdle(others);
    if (clients.size >= MAX_PER_FORWARD || this.#byPort.size >= MAX_CLIENTS) return undefined;
    const client = { forward, address, port, gatewayPort: this.#freePort(), usedAtMs: this.#now() };
    clients.set(key, client);
    this.#byPort.set(client.gatewayPort, client);
    return client;
  }

  /** Whom an answer to this port of the gateway is for; it keeps the client known. */
  at(gatewayPort: number): UdpClient<Forward> | undefined {
    const client = this.#byPort.get(gatewayPort);
    if (client === undefined || this.#isIdle(client)) return undefined;
    this.#use(client);
    return client;
  }

  /** How many a forward has. */
  count(forward: Forward): number {
    const clients = this.#byForward.get(forward);
    if (clients !== undefined) this.#forgetIdle(clients);
    return clients?.size ?? 0;
  }

  /** The forward is no more. */
  forget(forward: Forward): void {
    for (const { gatewayPort } of this.#byForward.get(forward)?.values() ?? []) this.#byPort.delete(gatewayPort);
    this.#byForward.delete(forward);
  }

  #use(client: UdpClient<Forward>): void {
    client.usedAtMs = this.#now();
    const clients = this.#byForward.get(client.forward)!;
    const key = `${client.address} ${client.port}`;
    clients.delete(key);
    clients.set(key, client);
  }

  #isIdle(client: UdpClient<Forward>): boolean {
    return this.#now() - client.usedAtMs > IDLE_MS;
  }

  #forgetIdle(clients: Map<string, UdpClient<Forward>>): void {
    for (const [key, client] of clients) {
      if (!this.#isIdle(client)) return;
      clients.delete(key);
      this.#byPort.delete(client.gatewayPort);
    }
  }

  /** There are more ports than clients can be. */
  #freePort(): number {
    do this.#next = (this.#next + 1) % PORTS;
    while (this.#byPort.has(FIRST_CLIENT_PORT + this.#next));
    return FIRST_CLIENT_PORT + this.#next;
  }
}

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { dnsReply, isResponseTo, RCODE, type DnsQuery } from './packets/dns.ts';
import { MAX_UDP_PAYLOAD_BYTES } from './packets/udp.ts';

/** A guest's queries that wait for an answer; a stub resolver has a handful. */
const MAX_PER_ASKER = 32;
/** All together: each holds a descriptor. */
const MAX_TOTAL = 256;
const DEFAULT_TIMEOUT_MS = 2000;

/**
 * Passes DNS questions on to servers of the host. Each query has a random id and a connected socket, thus a random
 * port, of its own: an answer counts only from the server that was asked (RFC 5452).
 */
export class Resolver {
  readonly #timeoutMs: number;
  readonly #port: number;
  readonly #waiting = new Map<object, number>();
  /** Closes one query's socket each. */
  readonly #open = new Set<() => void>();
  #closed = false;

  /** @param options.port of the servers, for tests */
  constructor(options: { timeoutMs?: number; port?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#port = options.port ?? 53;
  }

  /**
   * @param asker whose limit counts
   * @param answer called once, with the message for the asker: server failure when no server answers in time
   * @returns false when there are too many queries already: nothing happens
   */
  ask(
    asker: object,
    query: DnsQuery,
    message: Buffer,
    servers: readonly string[],
    answer: (message: Buffer) => void,
  ): boolean {
    const waiting = this.#waiting.get(asker) ?? 0;
    if (this.#closed || waiting >= MAX_PER_ASKER || this.#open.size >= MAX_TOTAL) return false;
    this.#waiting.set(asker, waiting + 1);
    // The guest's buffer is a chunk of 64 KiB: only the question is kept.
    const question = Buffer.from(message);
    void this.#askAll(query, question, servers).then((response) => {
      const left = (this.#waiting.get(asker) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(asker);
      else this.#waiting.set(asker, left);
      if (!this.#closed) answer(response);
    });
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const close of this.#open) close();
  }

  async #askAll(query: DnsQuery, message: Buffer, servers: readonly string[]): Promise<Buffer> {
    for (const server of servers) {
      if (this.#closed) break;
      const response = await this.#askOne(query, message, server);
      if (response === undefined) continue;
      if (response.length > MAX_UDP_PAYLOAD_BYTES) {
        return dnsReply(query, message, { rcode: RCODE.ok, truncated: true });
      }
      response.writeUInt16BE(query.id, 0);
      return response;
    }
    return dnsReply(query, message, { rcode: RCODE.serverFailure });
  }

  /** @returns undefined when this server does not answer */
  #askOne(query: DnsQuery, message: Buffer, server: string): Promise<Buffer | undefined> {
    const id = randomInt(0x1_0000);
    const forwarded = Buffer.from(message);
    forwarded.writeUInt16BE(id, 0);
    return new Promise((resolve) => {
      const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4');
      const close = (): void => {
        // Once: closing a closed socket throws.
        if (this.#open.delete(close)) socket.close();
      };
      this.#open.add(close);
      let response: Buffer | undefined;
      const timer = setTimeout(close, this.#timeoutMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve(response);
      });
      socket.on('error', close); // among them ECONNREFUSED: nobody listens there
      socket.on('message', (data) => {
        if (!isResponseTo(data, query, id)) return;
        response = data;
        close();
      });
      socket.connect(this.#port, server, (error?: Error) => {
        if (error !== undefined) close();
        else socket.send(forwarded, (failed) => (failed === null ? undefined : close()));
      });
    });
  }
}

import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import type { Endpoint } from '../daemon-process/index.ts';
import { connectionError, readProblem } from './problem.ts';

/**
 * Not imported: the import of a built-in module reads each of its exports, and http.WebSocket is a getter that loads all of
 * undici (30 ms of Node 24).
 */
const { Agent, request: httpRequest } = process.getBuiltinModule('node:http');

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Request {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query?: Query | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly source?: Readable | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** HTTP/1.1 over kept connections, to a unix socket or a TCP address. Idle connections do not keep the process alive. */
export class HttpTransport {
  /** For messages. */
  readonly where: string;
  readonly #agent = new Agent({ keepAlive: true, scheduling: 'lifo' });
  readonly #endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.where = endpoint.url ?? endpoint.socketPath ?? '';
  }

  /**
   * The answer's head; its body is still to be read.
   * @throws SkerryError what the daemon answered, `unavailable`, `refused` or `cancelled`
   */
  async send(request: Request): Promise<IncomingMessage> {
    let response: IncomingMessage;
    try {
      response = await this.#exchange(request);
    } catch (error) {
      throw connectionError(error, this.where);
    }
    if ((response.statusCode ?? 500) < 400) return response;
    const problem = await readProblem(response);
    // Refused in the middle of an upload: the rest need not be read, nor sent.
    request.source?.destroy();
    throw problem;
  }

  /** @throws as `send` */
  async json(request: Request): Promise<unknown> {
    const response = await this.send(request);
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
      const text = Buffer.concat(chunks).toString();
      return text === '' ? {} : (JSON.parse(text) as unknown);
    } catch (error) {
      throw connectionError(error, this.where);
    }
  }

  /** A new connection, for what is no HTTP exchange (WebSockets). */
  connect(): Socket {
    if (this.#endpoint.url === undefined) return connect(this.#endpoint.socketPath ?? '');
    const { hostname, port } = new URL(this.#endpoint.url);
    return connect(Number(port || 80), hostname.replace(/^\[|\]$/g, ''));
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange({ method, path, query, body, source, signal }: Request): Promise<IncomingMessage> {
    const { socketPath, url } = this.#endpoint;
    const json = body === undefined ? undefined : JSON.stringify(body);
    const options = {
      method,
      path: path + queryString(query),
      agent: this.#agent,
      headers: {
        accept: 'application/json, application/x-ndjson, application/problem+json',
        ...(json === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(json) }),
        ...(source === undefined ? {} : { 'content-type': 'application/octet-stream' }),
      },
      ...(signal === undefined ? {} : { signal }),
      ...(url === undefined ? { socketPath } : {}),
    };
    return new Promise((resolve, reject) => {
      const request = url === undefined ? httpRequest(options) : httpRequest(url, options);
      let answered = false;
      request.once('response', (response) => {
        answered = true;
        resolve(response);
      });
      request.on('error', (error) => {
        // A daemon that closed the idle connection just now: nothing was done, ask again on a new one (Node's advice
        // in the documentation of request.reusedSocket), but only for what may be asked twice.
        if (request.reusedSocket && !answered && method === 'GET' && 'code' in error && error.code === 'ECONNRESET') {
          this.#exchange({ method, path, query, signal }).then(resolve, reject);
        } else {
          reject(error);
        }
      });
      if (source === undefined) {
        request.end(json);
        return;
      }
      // An error of the source is told by its own name, not as a lost connection. After an answer nobody listens.
      pipeline(source, request, (error) => {
        if (error) reject(error);
      });
    });
  }
}

function queryString(query: Query | undefined): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search.size === 0 ? '' : `?${search.toString()}`;
}

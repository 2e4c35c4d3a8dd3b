import { rename, rm, stat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { connectSwitch } from './client.ts';
import { parseSwitchConfig } from './config.ts';
import { SwitchError } from './error.ts';
import { LineReader } from './lines.ts';
import type { ControlRequest, ControlResponse, SwitchMethod, SwitchMethods } from './protocol.ts';
import type { Switch } from './switch.ts';

const OWNERSHIP_INTERVAL_MS = 2000;
const PROBE_TIMEOUT_MS = 1000;

type Result = SwitchMethods[SwitchMethod]['result'];

/** The control socket's server. Who may talk to it is a matter of the file's rights. */
export class Control {
  readonly #path: string;
  readonly #boundPath: string;
  readonly #switch: Switch;
  readonly #onEnd: (why: string) => void;
  readonly #server: Server;
  readonly #clients = new Set<Socket>();
  #inode = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param onEnd is called when this process has no reason to live any more: told so, or its path is another's */
  constructor(path: string, target: Switch, onEnd: (why: string) => void) {
    this.#path = path;
    this.#boundPath = `${path}.${process.pid}`;
    this.#switch = target;
    this.#onEnd = onEnd;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /**
   * Listens under a name of its own, where nobody looks.
   * @throws SwitchError `in-use` when a switch answers at the path already
   */
  async listen(): Promise<void> {
    await refuseSecond(this.#path);
    await rm(this.#boundPath, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#boundPath, resolve);
    });
    this.#inode = (await stat(this.#boundPath)).ino;
  }

  /**
   * From here on it can be found. A socket bound at its path could be connected to, and removed, before its inode is known
   * and the pid file written; a rename(2) shows a switch that is ready, and takes the place of a stale socket at once.
   */
  async publish(): Promise<void> {
    await rename(this.#boundPath, this.#path);
    // Without its socket nobody can steer or find this process, and it would hold the guests' connections for ever.
    this.#timer = setInterval(() => void this.#checkOwnership(), OWNERSHIP_INTERVAL_MS).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    if (await this.#ownsPath()) await rm(this.#path, { force: true });
    // Node unlinks the name it bound, which is ours alone.
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const client of this.#clients) client.destroySoon();
    await closed;
  }

  async #ownsPath(): Promise<boolean> {
    const found = await stat(this.#path).catch(() => undefined);
    return found?.ino === this.#inode;
  }

  async #checkOwnership(): Promise<void> {
    if (!(await this.#ownsPath())) this.#onEnd('its control socket is gone');
  }

  #serve(socket: Socket): void {
    this.#clients.add(socket);
    const lines = new LineReader((line) => void this.#answer(socket, line));
    socket.on('data', (chunk: Buffer) => {
      if (!lines.push(chunk)) socket.destroy();
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => this.#clients.delete(socket));
  }

  async #answer(socket: Socket, line: string): Promise<void> {
    let id: number | null = null;
    let response: ControlResponse;
    let method: string | undefined;
    try {
      const request = parseRequest(line);
      ({ id, method } = request);
      const result = this.#call(request);
      // Answered within this turn if it can be: in the order of the requests.
      response = { id, result: result instanceof Promise ? await result : result };
    } catch (error) {
      const known = error instanceof SwitchError;
      const message = error instanceof Error ? error.message : String(error);
      response = { id, error: { code: known ? error.code : 'failed', message } };
    }
    socket.write(`${JSON.stringify(response)}\n`);
    if (method === 'shutdown') this.#onEnd('shutdown was asked');
  }

  #call({ method, params }: ControlRequest): Result | Promise<Result> {
    switch (method) {
      case 'ping':
        return { protocol: 1, pid: process.pid };
      case 'sync':
        this.#switch.sync(parseSwitchConfig(params));
        return this.#switch.state();
      case 'state':
        return this.#switch.state();
      case 'stats':
        return this.#switch.stats();
      case 'leases':
        return this.#switch.leases();
      case 'hold':
        this.#switch.cuts.hold(cutParams(params).segments);
        return null;
      case 'gather':
        this.#switch.cuts.gather(cutParams(params).segments);
        return null;
      case 'release': {
        const { segments, keepAs } = cutParams(params);
        return { frames: this.#switch.cuts.release(segments, keepAs) };
      }
      case 'inject': {
        const { keptAs, segments } = params as SwitchMethods['inject']['params'];
        return { frames: this.#switch.cuts.inject(String(keptAs), { ...segments }) };
      }
      case 'drop':
        this.#switch.drop(cutParams(params).segments);
        return null;
      case 'kept':
        return this.#switch.cuts.kept(keptParams(params).keptAs);
      case 'keep': {
        const { keptAs, segments } = keptParams(params);
        this.#switch.cuts.keep(keptAs, segments);
        return null;
      }
      case 'capture.start':
        return this.#switch.captures.start(params);
      case 'capture.stop':
        return this.#switch.captures.stop(params);
      case 'capture.list':
        return this.#switch.captures.list();
      case 'shutdown':
        return null;
      default:
        throw new SwitchError('invalid', `There is no method ${method}`);
    }
  }
}

function cutParams(params: unknown): SwitchMethods['release']['params'] {
  const { segments, keepAs } = (params ?? {}) as Partial<SwitchMethods['release']['params']>;
  if (!Array.isArray(segments) || !segments.every((id) => typeof id === 'string')) {
    throw new SwitchError('invalid', 'segments is no list of ids');
  }
  return { segments, keepAs: keepAs === undefined ? undefined : String(keepAs) };
}

function keptParams(params: unknown): SwitchMethods['keep']['params'] {
  const { keptAs, segments } = (params ?? {}) as Partial<SwitchMethods['keep']['params']>;
  if (typeof keptAs !== 'string') throw new SwitchError('invalid', 'keptAs is no name');
  return { keptAs, segments: { ...segments } };
}

function parseRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new SwitchError('invalid', 'The line is not JSON', { cause });
  }
  const request = value as Partial<ControlRequest> | null;
  if (typeof request !== 'object' || typeof request?.id !== 'number' || typeof request.method !== 'string') {
    throw new SwitchError('invalid', 'The line is not {id, method, params}');
  }
  return { id: request.id, method: request.method, params: request.params };
}

async function refuseSecond(path: string): Promise<void> {
  try {
    await using client = await connectSwitch(path, { timeoutMs: PROBE_TIMEOUT_MS });
    const { pid } = await client.call('ping');
    throw new SwitchError('in-use', `A switch (pid ${pid}) answers at ${path} already`);
  } catch (error) {
    if (error instanceof SwitchError && error.code === 'unavailable') return;
    // It took the connection but says nothing: it lives, and two must not fight over the guests' sockets.
    if (error instanceof SwitchError && error.code === 'timeout') {
      throw new SwitchError('in-use', `Something that does not answer listens at ${path}`, { cause: error });
    }
    throw error;
  }
}

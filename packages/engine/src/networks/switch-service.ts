import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError, type ErrorCode } from '@skerry/api';
import {
  connectSwitch,
  SWITCH_ARGV,
  SwitchError,
  type SwitchClient,
  type SwitchConfig,
  type SwitchErrorCode,
  type SwitchLeases,
  type SwitchMethods,
  type SwitchState,
  type SwitchStats,
} from '@skerry/switch';
import { killJailed, launchJail, type JailHost } from '../hypervisors/index.ts';

/** Supervises this host's one switch process, which outlives us, and talks to it. */

export interface SwitchServiceOptions {
  readonly runtimeDir: string;
  readonly jail: JailHost;
  readonly log?: ((line: string) => void) | undefined;
}

const LOG_BYTES = 1024 * 1024;
const START_TIMEOUT_MS = 15_000;
const MAX_RESTART_MS = 5000;

export class SwitchService {
  readonly controlPath: string;
  readonly #options: SwitchServiceOptions;
  readonly #dir: string;
  #client: SwitchClient | undefined;
  #ensuring: Promise<SwitchClient> | undefined;
  #config: SwitchConfig | undefined;
  readonly #closing = new AbortController();

  constructor(options: SwitchServiceOptions) {
    this.#options = options;
    this.#dir = join(options.runtimeDir, 'switch');
    this.controlPath = join(this.#dir, 'control');
  }

  /**
   * Adopts the switch of this runtime directory, or starts one. From then on one that dies is started again, with the
   * configuration of the last sync.
   * @throws SkerryError `unsupported`, `timeout`, `failed`
   */
  async ensure(): Promise<void> {
    await this.#connected();
  }

  /** Replaces the switch's whole state; starts it if it does not run. Connections that stay are not interrupted. */
  async sync(config: SwitchConfig): Promise<SwitchState> {
    this.#config = config;
    const client = await this.#connected();
    return await translated(() => client.call('sync', config));
  }

  /** Calls about a cut. @throws SkerryError `unavailable` when no switch runs */
  async cut<M extends 'hold' | 'gather' | 'release' | 'inject' | 'kept' | 'keep'>(
    method: M,
    params: SwitchMethods[M]['params'],
  ): Promise<SwitchMethods[M]['result']> {
    const client = await this.#connected();
    const call = client.call.bind(client) as (m: M, p: typeof params) => Promise<SwitchMethods[M]['result']>;
    return await translated(() => call(method, params));
  }

  /** Nothing where no switch runs. */
  async drop(segments: readonly string[]): Promise<void> {
    const client = this.#client;
    if (client !== undefined) await translated(() => client.call('drop', { segments }));
  }

  /** Calls about captures: undefined when no switch runs. @throws SkerryError `failed` */
  async capture<M extends 'capture.start' | 'capture.stop' | 'capture.list'>(
    method: M,
    params: SwitchMethods[M]['params'],
  ): Promise<SwitchMethods[M]['result'] | undefined> {
    const client = this.#client;
    if (client === undefined) return undefined;
    const call = client.call.bind(client) as (m: M, p: typeof params) => Promise<SwitchMethods[M]['result']>;
    return await translated(() => call(method, params));
  }

  /** undefined when no switch runs: asking does not start one. */
  async stats(): Promise<SwitchStats | undefined> {
    const client = this.#client;
    return client === undefined ? undefined : await translated(() => client.call('stats'));
  }

  /** What guests have got of the DHCP range of a segment. */
  async leases(segmentId: string): Promise<SwitchLeases['segments'][number]['leases']> {
    const client = this.#client;
    if (client === undefined) return [];
    const { segments } = await translated(() => client.call('leases'));
    return segments.find(({ id }) => id === segmentId)?.leases ?? [];
  }

  async state(): Promise<SwitchState | undefined> {
    const client = this.#client;
    return client === undefined ? undefined : await translated(() => client.call('state'));
  }

  /** Lets go of the switch, which goes on. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#ensuring?.catch(() => {});
    this.#client?.close();
    await this.#client?.closed;
  }

  /** Ends the switch as long as nobody needs it; the next `sync` starts one. */
  async retire(): Promise<void> {
    this.#config = undefined;
    await this.#end();
  }

  /** Ends the switch. No VM of this host has a network after that. */
  async shutdown(): Promise<void> {
    this.#closing.abort();
    await this.#end();
  }

  async #end(): Promise<void> {
    await this.#ensuring?.catch(() => {});
    const client = this.#client ?? (await connectSwitch(this.controlPath).catch(() => undefined));
    this.#client = undefined;
    await client?.call('shutdown').catch(() => {});
    client?.close();
    // One that does not answer yet, as an earlier daemon left it in the middle of its start, serves nobody: no use in waiting.
    await killJailed(this.#dir, { force: client === undefined });
  }

  #connected(): Promise<SwitchClient> {
    if (this.#client !== undefined) return Promise.resolve(this.#client);
    this.#ensuring ??= this.#start().finally(() => (this.#ensuring = undefined));
    return this.#ensuring;
  }

  async #start(): Promise<SwitchClient> {
    if (this.#closing.signal.aborted) throw new SkerryError('cancelled', 'The switch service was closed');
    const client = (await this.#adopt()) ?? (await this.#launch());
    this.#client = client;
    void client.closed.then(() => this.#lost(client));
    return client;
  }

  /** @returns undefined when there is none, or none that answers: that one is ended */
  async #adopt(): Promise<SwitchClient | undefined> {
    const client = await connectSwitch(this.controlPath).catch(() => undefined);
    if (client === undefined) return undefined;
    const identity = await client.call('ping').catch(() => undefined);
    if (identity?.protocol === 1) return client;
    client.close();
    return undefined;
  }

  async #launch(): Promise<SwitchClient> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    // What did not answer must not hold the VMs' sockets: nothing is there, or it is ended.
    await killJailed(this.#dir, { force: true });
    const [command, ...args] = SWITCH_ARGV;
    await launchJail(
      {
        dir: this.#dir,
        command: [command, ...args, '--control', this.controlPath],
        log: { path: join(this.#dir, 'log'), capBytes: LOG_BYTES },
      },
      this.#options.jail,
      { signal: this.#closing.signal },
    );
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const client = await connectSwitch(this.controlPath).catch(() => undefined);
      if (client !== undefined) return client;
      if (performance.now() > deadline) {
        throw new SkerryError('timeout', `The switch did not answer within ${START_TIMEOUT_MS} ms`, {
          remedy: `See ${join(this.#dir, 'log')}.`,
        });
      }
      await sleep(10);
    }
  }

  async #lost(client: SwitchClient): Promise<void> {
    if (this.#client !== client) return; // retired: nobody misses it
    this.#client = undefined;
    const { signal } = this.#closing;
    for (let waitMs = 50; !signal.aborted; waitMs = Math.min(waitMs * 2, MAX_RESTART_MS)) {
      try {
        this.#options.log?.('the switch is gone: it is started again');
        const next = await this.#connected();
        if (this.#config !== undefined) await next.call('sync', this.#config);
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log?.(`the switch can not be started: ${error instanceof Error ? error.message : String(error)}`);
        await sleep(waitMs, undefined, { signal }).catch(() => {});
      }
    }
  }
}

const CODES: Record<SwitchErrorCode, ErrorCode> = {
  // Plans are checked before: a refusal here is our bug.
  invalid: 'internal',
  'in-use': 'in-use',
  unavailable: 'unavailable',
  timeout: 'timeout',
  failed: 'failed',
};

async function translated<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof SwitchError)) throw error;
    throw new SkerryError(CODES[error.code], `The switch: ${error.message}`, {
      remedy:
        error.code === 'invalid'
          ? 'This is a bug in Skerry: report it.'
          : 'Try again: it is started anew when it has died.',
      cause: error,
    });
  }
}

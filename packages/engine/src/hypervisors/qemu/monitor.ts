import { SkerryError } from '@skerry/api';
import {
  QmpClient,
  QmpError,
  type QmpCommandName,
  type QmpCommands,
  type QmpEvent,
  type QmpVersion,
} from '@skerry/qmp';
import type { WaitOptions } from '../contract.ts';

const RECONNECT_TIMEOUT_MS = 3000;

/** QMP as the driver needs it: its errors are SkerryErrors, and a connection that broke is made anew when needed. */
export class Monitor {
  readonly #path: string;
  readonly #onEvent: (event: QmpEvent) => void;
  #client: QmpClient;
  #broken = false;
  #reconnecting: Promise<void> | undefined;

  private constructor(path: string, client: QmpClient, onEvent: (event: QmpEvent) => void) {
    this.#path = path;
    this.#onEvent = onEvent;
    this.#client = this.#adopt(client);
  }

  static async connect(path: string, onEvent: (event: QmpEvent) => void, options: WaitOptions): Promise<Monitor> {
    return new Monitor(path, await QmpClient.connect(path, options), onEvent);
  }

  get version(): QmpVersion {
    return this.#client.version;
  }

  /** Settles when the connection of now is over. */
  get closed(): Promise<unknown> {
    return this.#client.closed;
  }

  /** @throws SkerryError `failed` when QEMU refuses; `unavailable`, `timeout`, `cancelled` */
  async execute<C extends QmpCommandName>(
    command: C,
    args: QmpCommands[C]['arguments'],
    options: WaitOptions = {},
  ): Promise<QmpCommands[C]['returns']> {
    if (this.#broken) await (this.#reconnecting ??= this.#reconnect().finally(() => (this.#reconnecting = undefined)));
    // The client types its arguments as a tuple, which a generic command does not narrow.
    const execute = this.#client.execute.bind(this.#client) as (
      name: C,
      args: QmpCommands[C]['arguments'],
      options: WaitOptions,
    ) => Promise<QmpCommands[C]['returns']>;
    try {
      return await execute(command, args, options);
    } catch (error) {
      if (!(error instanceof QmpError)) throw error;
      throw new SkerryError('failed', error.message, {
        remedy: "The message is QEMU's own; `skerry info` shows the state of the virtual machine.",
        details: { command, class: error.class },
        cause: error,
      });
    }
  }

  close(): void {
    this.#client.close();
  }

  async #reconnect(): Promise<void> {
    this.#client = this.#adopt(await QmpClient.connect(this.#path, { timeoutMs: RECONNECT_TIMEOUT_MS }));
    this.#broken = false;
  }

  #adopt(client: QmpClient): QmpClient {
    client.onEvent(this.#onEvent);
    void client.closed.then((error) => {
      if (error !== undefined) this.#broken = true;
    });
    return client;
  }
}

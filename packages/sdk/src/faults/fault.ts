import { SkerryError, type Fault, type FaultStartInput } from '@skerry/api/base';
import type { Skerry } from '../client.ts';

/** What every fault is begun with: its end, which comes whatever becomes of this program. */
export interface FaultOptions {
  /** When it ends by itself, from 100 ms to 30 days; `forever`: only when it is cleared. */
  readonly forMs: number | 'forever';
  readonly signal?: AbortSignal | undefined;
}

/** Of faults that chance has a part in. */
export interface SeededFaultOptions extends FaultOptions {
  /** The same one makes the same again; default: drawn, see `info`. */
  readonly seed?: number | undefined;
}

/**
 * A handle of one fault. `await using` ends it at the end of the block, if its own end has not come before.
 *
 *     await using freeze = await vm.fault.freeze({ forMs: 10_000 });
 */
export class FaultHandle implements AsyncDisposable {
  readonly id: string;
  /** Such as freeze-1f3a9c. */
  readonly name: string;
  readonly #client: Skerry;

  constructor(client: Skerry, { id, name }: Fault) {
    this.#client = client;
    this.id = id;
    this.name = name;
  }

  /** What it is now: its seed, when it ends, whether it has. @throws SkerryError `not-found`: the last 200 are remembered */
  async info(): Promise<Fault> {
    return await this.#client.call('fault.get', { params: { fault: this.id } });
  }

  /** Ends it before its time. Nothing when it has ended. */
  async clear(): Promise<void> {
    await this.#client.call('fault.clear', { body: { of: this.id } }).catch((error: unknown) => {
      // It has ended, and so have 200 others since.
      if (SkerryError.from(error).code !== 'not-found') throw error;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
  }
}

/** @throws SkerryError `invalid`, `not-found`, `wrong-state`, `in-use`, `unsupported`: nothing has changed then */
export async function startFault(
  client: Skerry,
  spec: FaultStartInput['spec'],
  { forMs, signal }: FaultOptions,
): Promise<FaultHandle> {
  return new FaultHandle(client, await client.call('fault.start', { body: { spec, forMs }, signal }));
}

import type { Fault, VmFaultKind } from '@skerry/api/base';
import type { Skerry } from '../client.ts';
import { startFault, type FaultHandle, type FaultOptions, type SeededFaultOptions } from './fault.ts';

/**
 * What can be made to go wrong with a VM that runs: `vm.fault`. One of a kind at a time; they end with its process.
 *
 * @throws SkerryError `wrong-state` (it does not run), `in-use` (it has such a fault), `invalid`
 */
export class VmFaults {
  readonly #client: Skerry;
  readonly #vm: string;

  constructor(client: Skerry, vm: string) {
    this.#client = client;
    this.#vm = vm;
  }

  /** Its CPUs stand still, and its clock with them. */
  async freeze(options: FaultOptions): Promise<FaultHandle> {
    return await this.#start('freeze', undefined, options);
  }

  /** Processes in it use up CPU time. @param options.share of one CPU, 2 is two; default: all that it has */
  async cpu({ share, ...options }: FaultOptions & { readonly share?: number }): Promise<FaultHandle> {
    return await this.#start('cpu', share, options);
  }

  /** A process in it takes memory. @param options.share of its memory; default 0.8 */
  async memory({ share, ...options }: FaultOptions & { readonly share?: number }): Promise<FaultHandle> {
    return await this.#start('memory', share, options);
  }

  /** Its clock is wrong. @param options.offsetSeconds negative: late; default 3600 */
  async clock({ offsetSeconds, ...options }: FaultOptions & { readonly offsetSeconds?: number }): Promise<FaultHandle> {
    return await this.#start('clock', offsetSeconds, options);
  }

  /** Reads and writes of its disk fail. @param options.share of the blocks; default: all */
  async diskError({ share, ...options }: SeededFaultOptions & { readonly share?: number }): Promise<FaultHandle> {
    return await this.#start('disk-error', share, options);
  }

  /** Its disk is slow. @param options.latencyMs of each request; default 100 */
  async diskLatency({ latencyMs, ...options }: FaultOptions & { readonly latencyMs?: number }): Promise<FaultHandle> {
    return await this.#start('disk-latency', latencyMs, options);
  }

  /** Its kernel panics; its restart policy says what follows. Over at once. */
  async crash({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Fault> {
    return await this.#client.call('fault.start', { body: { spec: { kind: 'crash', vm: this.#vm } }, signal });
  }

  async #start(kind: VmFaultKind, amount: number | undefined, options: SeededFaultOptions): Promise<FaultHandle> {
    const { seed } = options;
    const spec = {
      kind,
      vm: this.#vm,
      ...(amount === undefined ? {} : { amount }),
      ...(seed === undefined ? {} : { seed }),
    };
    return await startFault(this.#client, spec, options);
  }
}

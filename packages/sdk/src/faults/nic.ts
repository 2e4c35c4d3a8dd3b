import type { Direction, Impairment } from '@skerry/api/base';
import type { Skerry } from '../client.ts';
import { startFault, type FaultHandle, type FaultOptions, type SeededFaultOptions } from './fault.ts';

/** One NIC of a VM, and what can be made to go wrong at it: `vm.nic('eth1')`. Several faults of it count together. */
export class NicHandle {
  /** ethN */
  readonly name: string;
  readonly #client: Skerry;
  readonly #vm: string;

  constructor(client: Skerry, vm: string, name: string) {
    this.#client = client;
    this.#vm = vm;
    this.name = name;
  }

  /**
   * What becomes of its frames: `{ delayMs: 20, loss: 0.01, forMs: 30_000 }`.
   * @param options.dir a2b: what it sends; b2a: what it gets; default both
   * @throws SkerryError `not-found`, `wrong-state` (its VM does not run), `invalid`
   */
  async impair({
    dir = 'both',
    seed,
    forMs,
    signal,
    ...impairment
  }: SeededFaultOptions & Impairment & { readonly dir?: Direction }): Promise<FaultHandle> {
    const spec = { kind: 'impair', nic: this.#nic, dir, impairment, ...(seed === undefined ? {} : { seed }) } as const;
    return await startFault(this.#client, spec, { forMs, signal });
  }

  /** Pulls its cable out: nothing passes, and the guest sees no carrier. @throws SkerryError as `impair` */
  async unplug(options: FaultOptions): Promise<FaultHandle> {
    return await startFault(this.#client, { kind: 'link-down', nic: this.#nic }, options);
  }

  get #nic(): string {
    return `${this.#vm}:${this.name}`;
  }
}

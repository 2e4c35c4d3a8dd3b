import type { Datapath } from './datapath.ts';
import type { PlannedNetwork, PlannedVm } from './plan.ts';

/** Both datapaths as one: each gets the networks that are its own, and all VMs. */
export class Datapaths implements Datapath {
  readonly #parts: Readonly<Record<'user' | 'kernel', Datapath>>;

  constructor(parts: Readonly<Record<'user' | 'kernel', Datapath>>) {
    this.#parts = parts;
  }

  async sync(networks: readonly PlannedNetwork[], vms: readonly PlannedVm[]): Promise<void> {
    await this.#each((part, name) => {
      const own = networks.filter(({ datapath = 'user' }) => datapath === name);
      const ids = new Set(own.map(({ id }) => id));
      const isUsed = vms.some((vm) => vm.nics.some(({ networkId }) => ids.has(networkId)));
      const others = networks.filter(({ id }) => !ids.has(id));
      return isUsed ? part.sync(own, vms, others) : part.retire();
    });
  }

  async ruleset(network: PlannedNetwork, vms: readonly PlannedVm[]): Promise<string> {
    const part = this.#parts[network.datapath ?? 'user'];
    return (await part.ruleset?.(network, vms)) ?? '';
  }

  async lack(network: PlannedNetwork): Promise<string | undefined> {
    return await this.#parts[network.datapath ?? 'user'].lack?.(network);
  }

  async retire(): Promise<void> {
    await this.#each((part) => part.retire());
  }

  async close(): Promise<void> {
    await this.#each((part) => part.close());
  }

  /** What fails in one leaves the other alone. @throws the first failure, once both have ended */
  async #each(work: (part: Datapath, name: 'user' | 'kernel') => Promise<void>): Promise<void> {
    const names = ['user', 'kernel'] as const;
    const results = await Promise.allSettled(names.map((name) => work(this.#parts[name], name)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }
}

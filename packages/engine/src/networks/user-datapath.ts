import type { Datapath } from './datapath.ts';
import type { EgressService } from './egress.ts';
import { readHostNetwork } from './host-facts.ts';
import { switchConfig, type PlannedNetwork, type PlannedVm } from './plan.ts';
import { rulesetText } from './ruleset-plan.ts';
import type { SwitchService } from './switch-service.ts';

/** Networks in one switch process, each with a way out of its own if it has one. Only those in use are there. */
export class UserDatapath implements Datapath {
  readonly #switches: SwitchService;
  readonly #egress: EgressService;

  constructor(switches: SwitchService, egress: EgressService) {
    this.#switches = switches;
    this.#egress = egress;
  }

  async sync(
    all: readonly PlannedNetwork[],
    vms: readonly PlannedVm[],
    others: readonly PlannedNetwork[] = [],
  ): Promise<void> {
    const used = new Set(vms.flatMap((vm) => vm.nics.map((nic) => nic.networkId)));
    const networks = all.filter((network) => used.has(network.id));
    const leadingOut = networks.filter((network) => network.mode === 'nat');
    const withWayOut = networks.map((network) =>
      network.mode === 'nat' ? { ...network, egressSocketPath: this.#egress.socketPath(network) } : network,
    );
    // slirp speaks for the host, which has a way to bridges of its own.
    await this.#switches.sync(switchConfig(withWayOut, vms, await readHostNetwork(), [...all, ...others]));
    await this.#egress.sync(leadingOut);
  }

  async ruleset(network: PlannedNetwork, vms: readonly PlannedVm[]): Promise<string> {
    const withWayOut =
      network.mode === 'nat' ? { ...network, egressSocketPath: this.#egress.socketPath(network) } : network;
    return rulesetText(withWayOut, vms, await readHostNetwork());
  }

  async retire(): Promise<void> {
    await this.#switches.retire();
    await this.#egress.sync([]);
  }

  async close(): Promise<void> {
    await this.#egress.close();
    await this.#switches.close();
  }
}

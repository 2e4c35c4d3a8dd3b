import { randomUUID } from 'node:crypto';
import { SkerryError, type Network, type Nic, type NicStatus, type Vm } from '@skerry/api';
import { allocateAddress, macFor } from './addresses.ts';
import { address6Of } from './addresses6.ts';
import { lanAddress } from './lan-plan.ts';
import type { NetworkVerbs } from './network-verbs.ts';

/** MACs and addresses of NICs: each is given out once, for as long as its NIC is there. */

export const DEFAULT_NETWORK = 'default';
const DEFAULT_DOMAIN = 'skerry';

export interface NicAddressPorts {
  readonly verbs: Pick<NetworkVerbs, 'byName' | 'ensure' | 'oneByOne'>;
  readonly vms: () => Promise<readonly Vm[]>;
}

export class NicAddresses {
  readonly #ports: NicAddressPorts;
  /** Given out, and not in the store yet. */
  readonly #promised = new Set<readonly NicStatus[]>();

  constructor(ports: NicAddressPorts) {
    this.#ports = ports;
  }

  /** The network that a NIC is on if none is named; it is there once somebody needs it. */
  async ensureDefault(nics: readonly Nic[]): Promise<void> {
    if (!nics.some((nic) => nic.network === DEFAULT_NETWORK)) return;
    await this.#ports.verbs.ensure(DEFAULT_NETWORK, { mode: 'nat', domain: DEFAULT_DOMAIN });
  }

  /** As `VmNetworks` has it. Many write at once: each waits for the disk. */
  async allocate<T>(nics: readonly Nic[], write: (allocated: NicStatus[]) => Promise<T>): Promise<T> {
    const allocated = await this.#promise(nics);
    try {
      return await write(allocated);
    } finally {
      this.#promised.delete(allocated);
    }
  }

  async #promise(nics: readonly Nic[]): Promise<NicStatus[]> {
    const { verbs } = this.#ports;
    await this.ensureDefault(nics);
    return verbs.oneByOne(async () => {
      const taken = await this.#taken();
      const allocated: NicStatus[] = [];
      const seed = randomUUID();
      for (const [index, nic] of nics.entries()) {
        const network = await verbs.byName(nic.network);
        allocated.push(givenTo(nic, nic.mac ?? macFor(seed, index), network, [...taken, ...allocated]));
      }
      this.#promised.add(allocated);
      return allocated;
    });
  }

  async #taken(): Promise<NicStatus[]> {
    const inStore = (await this.#ports.vms()).flatMap((vm) => vm.status.nics);
    return [...inStore, ...[...this.#promised].flat()];
  }

  /** As `VmNetworks` has it. */
  async allocateMore<T>(
    nic: Nic,
    write: (allocated: NicStatus) => Promise<T>,
    instead?: Pick<NicStatus, 'mac'>,
  ): Promise<T> {
    const { verbs } = this.#ports;
    await this.ensureDefault([nic]);
    return verbs.oneByOne(async () => {
      const network = await verbs.byName(nic.network);
      const taken = (await this.#taken()).filter(
        ({ network: name, mac }) => name === nic.network && mac !== instead?.mac,
      );
      const mac = nic.mac ?? macFor(randomUUID(), 0);
      if (taken.some((other) => other.mac === mac)) throw macTaken(mac, nic.network);
      return write(givenTo(nic, mac, network, taken));
    });
  }
}

/** @throws SkerryError `in-use`, `invalid` (address), `no-space` */
function givenTo(nic: Nic, mac: string, network: Network, taken: readonly NicStatus[]): NicStatus {
  const { spec, status } = network;
  const used = new Set(taken.filter((other) => other.network === nic.network).map(({ address }) => address));
  const rules = { dhcpRange: spec.dhcpRange, isLink: spec.mode === 'link' };
  return {
    network: nic.network,
    ...(nic.index === undefined ? {} : { index: nic.index }),
    mac,
    address:
      spec.mode === 'bridged'
        ? lanAddress(network, used, nic.address)
        : allocateAddress(status.subnet, used, nic.address, rules),
    ...(status.ipv6 === undefined ? {} : { address6: address6Of(status.ipv6.subnet, mac) }),
  };
}

function macTaken(mac: string, network: string): SkerryError {
  return new SkerryError('in-use', `${mac} belongs to another NIC on the network '${network}'`, {
    remedy: 'Choose another MAC, or leave it out to have one made.',
    details: { mac },
  });
}

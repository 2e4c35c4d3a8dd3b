import { hostnameOf } from '@skerry/api';
import type { Segment, SwitchConfig } from '@skerry/switch';
import { gatewayMacOf, SUBNET_POOL } from './addresses.ts';

/** What the switch is to do, computed from networks, VMs and facts of the host. Pure. */

export interface PlannedNetwork {
  readonly id: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly domain?: string | undefined;
  /** Where its way out listens; absent: isolated. */
  readonly egressSocketPath?: string | undefined;
}

export interface PlannedVm {
  readonly id: string;
  /** NAME or NODE/NAME: the last part is its name in DNS. */
  readonly name: string;
  readonly nics: readonly PlannedNic[];
}

export interface PlannedNic {
  readonly networkId: string;
  readonly mac: string;
  readonly address: string;
  /** Where QEMU listens for the switch. */
  readonly socketPath: string;
  /** Default true. */
  readonly linkUp?: boolean | undefined;
}

export interface HostFacts {
  /** The host's own addresses, and ranges that guests shall not reach. */
  readonly addresses: readonly string[];
  readonly resolvers: readonly string[];
}

export function segmentFor(network: PlannedNetwork, vms: readonly PlannedVm[], host: HostFacts): Segment {
  const isolated = network.egressSocketPath === undefined;
  return {
    id: network.id,
    subnet: network.subnet,
    gateway: network.gateway,
    gatewayMac: gatewayMacOf(network.gateway),
    domain: network.domain,
    egress: isolated ? undefined : { socketPath: network.egressSocketPath },
    hostAddresses: host.addresses,
    // DNS is a way out too: an isolated network's questions stay inside.
    upstreamDns: isolated ? [] : host.resolvers,
    ports: vms.flatMap((vm) =>
      vm.nics.flatMap((nic, index) =>
        nic.networkId !== network.id
          ? []
          : [
              {
                id: `${vm.id}/${index}`,
                socketPath: nic.socketPath,
                mac: nic.mac,
                addresses: [nic.address],
                names: [hostnameOf(vm.name)],
                linkUp: nic.linkUp ?? true,
              },
            ],
      ),
    ),
  };
}

/** The order of networks and VMs does not matter: the same state gives the same configuration. */
export function switchConfig(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  host: HostFacts,
): SwitchConfig {
  // slirp would look for other networks' guests on the host's default route: they are not there, but our packets would be.
  const addresses = [...new Set([...host.addresses, SUBNET_POOL, ...networks.map((network) => network.subnet)])].sort();
  const ordered = vms.toSorted(byId);
  return {
    version: 1,
    segments: networks.toSorted(byId).map((network) => segmentFor(network, ordered, { ...host, addresses })),
  };
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

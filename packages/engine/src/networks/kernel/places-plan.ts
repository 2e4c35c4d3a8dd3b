import type { NetworkMode } from '@skerry/api';
import type { PlannedNetwork, PlannedNic, PlannedVm } from '../plan.ts';
import { hasAcl } from './acl-plan.ts';
import { bridgeName, netnsName, tapName, uplinkName } from './names-model.ts';

/** Which network is in which namespace, with the NICs that are in it. Pure. */

/** A NIC, whose it is and what it is called. */
export interface PlacedNic {
  readonly vm: PlannedVm;
  readonly index: number;
  readonly nic: PlannedNic;
  readonly tap: string;
  /** Where it is plugged in. */
  readonly bridge: string;
}

export interface NicPlace {
  readonly network: PlannedNetwork;
  /** The one that has the gateway. */
  readonly bridge: string;
  /** All of the network's: one for each VLAN, where a bridge can't tell them apart. */
  readonly bridges: readonly string[];
  readonly nics: readonly PlacedNic[];
  /** Those of other networks as well: rules may name them. */
  readonly vms: readonly PlannedVm[];
}

export interface PlannedPlace {
  readonly netns?: string | undefined;
  readonly networks: readonly NicPlace[];
}

/** Their guests have nothing to do with the host's own network, so they can't: they are in a namespace of their own. */
export function isApart(mode: NetworkMode | undefined): boolean {
  return mode === 'isolated' || mode === 'overlay';
}

/**
 * Whether one bridge keeps the VLANs of a network apart. Not with an access list: what goes to a trunk has its tag by the time
 * that br_netfilter looks, which shows frames with tags to nobody (`bridge-nf-filter-vlan-tagged`, of the whole host).
 */
export function filtersVlans(network: PlannedNetwork, host: { readonly vlanFiltering: boolean }): boolean {
  return host.vlanFiltering && network.mode !== 'bridged' && !hasAcl(network);
}

/** The daemon's own first; what order networks and VMs come in does not matter. */
export function placesOf(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  { tag, vlanFiltering }: { readonly tag: string; readonly vlanFiltering: boolean },
): PlannedPlace[] {
  const orderedVms = vms.toSorted(byId);
  const placed = networks.toSorted(byId).map((network): NicPlace => {
    const isBridged = network.mode === 'bridged';
    const bridge = isBridged ? uplinkName(network.id) : bridgeName(tag, network.id);
    const bridgeOf = (nic: PlannedNic): string =>
      nic.vlan === undefined || filtersVlans(network, { vlanFiltering }) || isBridged
        ? bridge
        : bridgeName(tag, network.id, nic.vlan);
    const nics = orderedVms.flatMap((vm) =>
      vm.nics.flatMap((nic, place): PlacedNic[] => {
        const { index = place } = nic;
        if (nic.networkId !== network.id) return [];
        return [{ vm, index, nic, tap: tapName(tag, vm.id, index), bridge: bridgeOf(nic) }];
      }),
    );
    const bridges = [...new Set([bridge, ...nics.map((each) => each.bridge)])];
    return { network, bridge, bridges, nics, vms: orderedVms };
  });
  const own = placed.filter(({ network }) => !isApart(network.mode));
  const apart = placed.filter(({ network }) => isApart(network.mode));
  return [{ networks: own }, ...apart.map((each) => ({ netns: netnsName(tag, each.network.id), networks: [each] }))];
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

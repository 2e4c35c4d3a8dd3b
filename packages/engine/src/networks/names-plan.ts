import type { NetworkMode } from '@skerry/api';
import type { OtherNetwork, PlannedNetwork, PlannedNic, PlannedVm } from './plan.ts';

/**
 * Which networks' names a NIC may ask its own network's DNS for: those of all networks that its VM is on, for a resolver believes
 * the first of its servers. Pure.
 */

/** Whether VMs have names there: a wire has no DNS, and on a LAN it is not ours. */
export function hasNames(mode: NetworkMode | undefined): boolean {
  return mode !== 'link' && mode !== 'bridged';
}

/** A VLAN is a piece of wire: the gateway, and with it DNS, is not in it. */
export function reachesGateway({ vlan, trunk }: Pick<PlannedNic, 'vlan' | 'trunk'>): boolean {
  return vlan === undefined && trunk === undefined;
}

export function withOthers(vms: readonly PlannedVm[], networks: readonly PlannedNetwork[]): PlannedVm[] {
  const named = new Map(networks.filter(({ mode }) => hasNames(mode)).map((network) => [network.id, network]));
  return vms.map((vm) => {
    const own = vm.nics.flatMap((nic) => (reachesGateway(nic) ? (named.get(nic.networkId) ?? []) : []));
    const nics = vm.nics.map((nic) => {
      if (!reachesGateway(nic) || !named.has(nic.networkId)) return nic;
      const others = [...new Set(own)].flatMap(({ id, domain }): OtherNetwork[] =>
        id === nic.networkId ? [] : [{ id, ...(domain === undefined ? {} : { domain }) }],
      );
      return others.length === 0 ? nic : { ...nic, others };
    });
    return { ...vm, nics };
  });
}

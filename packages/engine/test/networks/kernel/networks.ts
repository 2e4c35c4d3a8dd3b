import type { NetworkMode } from '@skerry/api';
import type { PlannedNetwork, PlannedNic, PlannedVm } from '../../../src/networks/index.ts';
import { PASSES_NOTHING } from '../../../src/networks/kernel/forwarding-plan.ts';
import type { KernelHost } from '../../../src/networks/kernel/kernel-model.ts';

/** Networks and VMs as the service plans them, for tests to change. */

export const HOST: KernelHost = {
  tag: 'main',
  resolvers: ['192.0.2.53'],
  passing: PASSES_NOTHING,
  closed: [],
  vlanFiltering: false,
  leadsOut6: true,
  netemSeed: false,
};

export function networkOf(n: number, mode: NetworkMode, changes: Partial<PlannedNetwork> = {}): PlannedNetwork {
  return {
    id: `net-${n}`,
    name: `n${n}`,
    mode,
    subnet: `10.213.${n}.0/24`,
    gateway: `10.213.${n}.1`,
    domain: `n${n}.test`,
    ...changes,
  };
}

export function vmOf(name: string, nics: readonly PlannedNic[], changes: Partial<PlannedVm> = {}): PlannedVm {
  return { id: `vm-${name}`, name, nics, ...changes };
}

export function nicOf(network: number, host: number, changes: Partial<PlannedNic> = {}): PlannedNic {
  const byte = (value: number): string => value.toString(16).padStart(2, '0');
  return {
    networkId: `net-${network}`,
    mac: `02:00:00:00:${byte(network)}:${byte(host)}`,
    address: `10.213.${network}.${host}`,
    socketPath: `/run/skerry/v/${network}-${host}/nic0`,
    ...changes,
  };
}

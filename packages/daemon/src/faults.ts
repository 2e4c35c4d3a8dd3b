import {
  assertImpairable,
  FAULT_KIND,
  FaultService,
  Resources,
  setVmStatus,
  type EventLog,
  type FaultPorts,
  type NodeService,
  type Store,
  type VmController,
  type VmService,
} from '@skerry/engine';
import type { FaultSpec, FaultStatus, VmSpec, VmStatus } from '@skerry/api';
import type { openNetworks } from './networks.ts';
import { watchDeletes } from './watch.ts';

/** Faults put together with what they are done to. */

export interface FaultParts {
  readonly store: Store;
  readonly vms: Resources<VmSpec, VmStatus>;
  readonly vmService: VmService;
  readonly controller: VmController;
  readonly nodeService: NodeService;
  readonly network: ReturnType<typeof openNetworks>;
  readonly events: EventLog;
  readonly onError: FaultPorts['onError'];
}

export function openFaults(parts: FaultParts): FaultService {
  const { store, vms, vmService, controller, nodeService, network, events, onError } = parts;
  return new FaultService({
    faults: new Resources<FaultSpec, FaultStatus>(store, FAULT_KIND),
    vms: vmService,
    controller,
    setVmStatus: (id, change) => setVmStatus(vms, id, change),
    deletedVms: (signal) => watchDeletes(vms, signal),
    node: async (ref) => {
      const node = await nodeService.get(ref);
      return { node, members: [...(await nodeService.members(node.name)).values()] };
    },
    networks: networkPorts(network),
    events,
    onError,
  });
}

function networkPorts({ faults, service, verbs, switches, support }: FaultParts['network']): FaultPorts['networks'] {
  const inKernel = async (names: readonly string[]): Promise<string[]> => {
    const known = await Promise.all(names.map((name) => verbs.byName(name)));
    return known.filter(({ status }) => status.datapath === 'kernel').map(({ name }) => name);
  };
  return {
    faults,
    wires: service,
    changed: () => service.changed(),
    switchState: () => switches.state(),
    inKernel,
    async assertImpairable(names, impairment, isSeeded) {
      if ((await inKernel(names)).length > 0) assertImpairable([{ impairment, isSeeded }], await support());
    },
  };
}

import { ExplainService, type FaultService, type VmService } from '@skerry/engine';
import type { Vm } from '@skerry/api';
import type { openNetworks } from './networks.ts';

/** What an explanation is made of: all that can be in the way of a packet. */

export interface ExplainParts {
  readonly network: ReturnType<typeof openNetworks>;
  readonly listVms: () => Promise<readonly Vm[]>;
  readonly faults: FaultService;
  readonly vmService: VmService;
}

export function openExplain({ network, listVms, faults, vmService }: ExplainParts): ExplainService {
  return new ExplainService({
    networks: () => network.verbs.list(),
    vms: listVms,
    faults: () => faults.list({ all: false }),
    switchState: () => network.switches.state(),
    kernelLacks: () => network.kernel.lacks().catch(() => []),
    agent: (vmId) => vmService.agent(vmId),
  });
}

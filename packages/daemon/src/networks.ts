import {
  Datapaths,
  BridgedInterfaces,
  BridgedNetworks,
  EgressService,
  KernelCaptures,
  KernelDatapath,
  kernelSupport,
  NetworkChanges,
  NetworkFaults,
  networkName,
  NetworkService,
  NetworkVerbs,
  readHostNetwork,
  SwitchCaptures,
  SwitchService,
  tagOf,
  UserDatapath,
  type JailHost,
  type KernelSupport,
  type NetworkVerbPorts,
} from '@skerry/engine';
import type { Network, Node, Vm } from '@skerry/api';
import type { HostService } from './host.ts';

/** Networks put together: what there is of them, who carries their frames, and which VMs are plugged in. */

export interface NetworkParts extends Pick<NetworkVerbPorts, 'networks' | 'events'> {
  readonly vms: () => Promise<readonly Vm[]>;
  readonly nodes: () => Promise<readonly Node[]>;
  readonly host: HostService;
  /** Ports of the host that lead into networks: whether they would be free, and that they are others now. */
  readonly assertPortsFree: (changed: Pick<Network, 'id' | 'spec'>) => Promise<void>;
  readonly forwardsChanged: () => Promise<void>;
  readonly runtimeDir: string;
  readonly instance: string;
  readonly jail: JailHost;
  readonly log: (line: string) => void;
}

export function openNetworks(parts: NetworkParts) {
  const { networks, vms, nodes, events, host, runtimeDir, instance, jail, log } = parts;
  const { assertPortsFree, forwardsChanged } = parts;
  const support = async (): Promise<KernelSupport> => kernelSupport(await host.facts());
  const capabilities = async () => {
    const kernel = await support();
    return { kernel, kernelLack: kernel.lack };
  };
  const switches = new SwitchService({ runtimeDir, jail, log });
  const kernel = new KernelDatapath({
    runtimeDir,
    instance,
    jail,
    support,
    hostNetwork: readHostNetwork,
    log,
  });
  const bridged = new BridgedNetworks({
    networks,
    events,
    log,
    interfaces: new BridgedInterfaces({ runtimeDir, jail, log }),
  });
  const verbs: NetworkVerbs = new NetworkVerbs({
    networks,
    vms,
    events,
    capabilities,
    bridged,
    nodeOf: async (name) => (await nodes()).find((node) => declares(node, name))?.name,
    givenLeases: async (networkId) =>
      (await Promise.all([switches.leases(networkId), kernel.leases(networkId)])).flat(),
    assertPortsFree,
    sync: () => service.changed(),
  });
  const faults = new NetworkFaults(nodes);
  const changes = new NetworkChanges({
    capabilities,
    networks,
    verbs,
    vms,
    events,
    assertPortsFree,
    sync: async () => {
      await service.changed();
      await forwardsChanged();
    },
  });
  const service: NetworkService = new NetworkService({
    faults,
    verbs,
    vms,
    switches,
    renamed: (before, after) => changes.renamed(before, after),
    datapath: new Datapaths({
      user: new UserDatapath(switches, new EgressService({ runtimeDir, jail, log })),
      kernel,
    }),
    instance,
    support,
  });
  const captures = {
    user: new SwitchCaptures(switches),
    kernel: new KernelCaptures({ runtimeDir, tag: tagOf(instance), jail }),
  };
  return { switches, captures, verbs, bridged, changes, service, faults, kernel, support };
}

function declares(node: Node, name: string): boolean {
  return Object.keys(node.spec.networks).some((network) => networkName(node.name, network) === name);
}

export {
  allocateAddress,
  allocateSubnet,
  checkSubnet,
  gatewayMacOf,
  gatewayOf,
  macFor,
  SUBNET_POOL,
} from './addresses.ts';
export { egressArgv, EgressService, type EgressNetwork, type EgressOptions } from './egress.ts';
export { ForwardService, type Dial, type PortForward } from './forward.ts';
export { parseResolvers, parseRoutes, readHostNetwork, type HostNetwork } from './host-facts.ts';
export {
  segmentFor,
  switchConfig,
  type HostFacts,
  type PlannedNetwork,
  type PlannedNic,
  type PlannedVm,
} from './plan.ts';
export { SwitchService, type SwitchServiceOptions } from './switch-service.ts';
export { DEFAULT_NETWORK, NETWORK_KIND, NetworkService, type NetworkPorts } from './network-service.ts';

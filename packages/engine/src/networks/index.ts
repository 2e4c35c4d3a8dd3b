export { aclOf, describeRule } from './acl-change-plan.ts';
export { segmentAcl, udpForwardsFor } from './acl-plan.ts';
export {
  allocateAddress,
  allocateSubnet,
  checkDhcpRange,
  checkSubnet,
  gatewayMacOf,
  gatewayOf,
  LINK_POOL,
  macFor,
  SUBNET_POOL,
} from './addresses.ts';
export { BridgedNetworks, type BridgedPorts, type Confirming } from './bridged-networks.ts';
export { address6Of, checkSubnet6, formatIpv6, gateway6Of, parseCidr6, parseIpv6 } from './addresses6.ts';
export type { Datapath } from './datapath.ts';
export { Datapaths } from './datapaths.ts';
export { datapathFor, type DatapathCapabilities, type DatapathName } from './datapath-plan.ts';
export { egressArgv, EgressService, type EgressNetwork, type EgressOptions } from './egress.ts';
export { hostEnds, networkForwards, newUdpEnds } from './forward-plan.ts';
export { ForwardService, type Dial, type PortForward } from './forward.ts';
export { parseResolvers, parseRoutes, parseRoutes6, readHostNetwork, type HostNetwork } from './host-facts.ts';
export {
  assertImpairable,
  assertNicSupported,
  assertSupported,
  BridgedInterfaces,
  foreignDoctorItem,
  KernelCaptures,
  KernelDatapath,
  kernelDoctorItem,
  kernelSupport,
  readForeignFilters,
  tagOf,
  tapName,
  type KernelDatapathOptions,
  type KernelSupport,
} from './kernel/index.ts';
export {
  portId,
  segmentFor,
  switchConfig,
  type HostFacts,
  type PlannedNetwork,
  type PlannedNic,
  type PlannedVm,
} from './plan.ts';
export { SwitchService, type SwitchServiceOptions } from './switch-service.ts';
export { CaptureService, type CapturePorts } from './capture-service.ts';
export { SwitchCaptures } from './switch-captures.ts';
export { LinkService, type LinkPorts } from './link-service.ts';
export { ExplainService, type ExplainPorts } from './explain-facts.ts';
export { allLeases, fixedLeases, type GivenLease } from './leases.ts';
export { NetworkFaults, segmentPartition, type NicImpairment, type VmPartition } from './network-faults.ts';
export { checkRules, planNetwork, type NetworkFacts, type NetworkPlan } from './network-plan.ts';
export { planUpdate, type NetworkUpdate } from './network-update-plan.ts';
export { NetworkService, type NetworkPorts } from './network-service.ts';
export { DEFAULT_NETWORK } from './nic-addresses.ts';
export {
  addForward,
  addRoute,
  addRule,
  NetworkChanges,
  removeForward,
  removeRoute,
  removeRule,
  setAclDefault,
  type NetworkChange,
  type NetworkChangePorts,
} from './network-changes.ts';
export { nextHop, withoutRoute, withRoute } from './route-change-plan.ts';
export { checkRoute, checkRoutes, checkVmRoutes, routesOfNics, type RoutedNic } from './route-plan.ts';
export { rulesetText } from './ruleset-plan.ts';
export { withNewName } from './rename-plan.ts';
export { NETWORK_KIND, NetworkVerbs, type NetworkVerbPorts } from './network-verbs.ts';
export { UserDatapath } from './user-datapath.ts';
export { assertUdpPortFree } from './udp-port.ts';

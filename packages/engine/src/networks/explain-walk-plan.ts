import type { ExplainCause } from '@skerry/api';
import { deniedBy } from './explain-acl-plan.ts';
import { isIpv6, isOnNetwork, ownAddresses } from './explain-address-model.ts';
import {
  cause,
  type FactNetwork,
  type FactNic,
  type FactVm,
  type GuestInterface,
  type GuestRoute,
  guestOf,
  type NetFacts,
  networkOf,
  nicName,
  type Packet,
  routeTo,
  type Step,
} from './explain-model.ts';
import { addressTrouble, nicTrouble, partitionBetween, vmTrouble } from './explain-nic-plan.ts';
import { hasAddress, heardBy, isItsGateway, nobody, noRoute, peerOf } from './explain-peer-plan.ts';
import { gatewayVlanTrouble, tagAt, vlanSent, vlanTrouble } from './explain-vlan-plan.ts';
import { portId } from './plan.ts';

/** Pure: a packet's way, hop by hop, up to where it arrives or is stopped. */

export type End =
  | { readonly kind: 'vm'; readonly vm: FactVm }
  /** It has left through the network's gateway, sent by this VM. */
  | { readonly kind: 'beyond'; readonly network: FactNetwork; readonly vm: FactVm }
  | { readonly kind: 'gateway'; readonly network: FactNetwork }
  /** On a wire or tunnel that others are on of whom we know nothing. */
  | { readonly kind: 'foreign'; readonly network: FactNetwork; readonly address: string }
  /** A device of the guest that we know nothing of. */
  | { readonly kind: 'inside'; readonly vm: FactVm; readonly device: string }
  | { readonly kind: 'stopped'; readonly cause: ExplainCause };

export interface Walk {
  readonly steps: readonly Step[];
  readonly end: End;
}

/** As many routers as nobody has in a row. */
const MAX_HOPS = 8;

/** @param isAnswer rules let pass what answers something that they have let through */
export function walk(start: FactVm, packet: Packet, facts: NetFacts, isAnswer: boolean): Walk {
  const steps: Step[] = [];
  let vm = start;
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const trouble = vmTrouble(vm, facts);
    if (trouble !== undefined) return { steps, end: { kind: 'stopped', cause: trouble } };
    const guest = guestOf(vm, facts);
    if (guest.interfaces.some(({ addresses }) => addresses.includes(packet.to)))
      return { steps, end: { kind: 'vm', vm } };
    const passesOn = isIpv6(packet.to) ? guest.forwarding6 === true : guest.forwarding;
    if (vm !== start && !passesOn) return stopped(steps, routerCause(vm, packet, true));
    const route = routeTo(guest, packet.to);
    if (route === undefined) return stopped(steps, noRoute(vm, packet, facts));
    if (route.isRefused === true) return stopped(steps, refused(vm, route, packet));
    const device = guest.interfaces.find(({ name }) => name === route.dev);
    const nic = vm.nics.find(({ mac }) => mac === device?.mac);
    if (nic === undefined || device === undefined) return { steps, end: { kind: 'inside', vm, device: route.dev } };
    const next = sent({ vm, nic, device }, route, packet, facts, { isAnswer, isFirst: vm === start });
    steps.push(...next.steps);
    if (route.isCached === true && isAstray(next.end, packet, facts))
      return stopped(steps, redirected(vm, route, packet));
    if (next.end !== undefined) return { steps, end: next.end };
    vm = next.vm;
  }
  return stopped(
    steps,
    cause(
      'route',
      vm.name,
      `${packet.to} is sent round in a circle, by ${vm.name} among others`,
      `skerry exec ${vm.name} -- ip route`,
    ),
  );
}

type Hop =
  | { readonly steps: readonly Step[]; readonly end: End }
  | { readonly steps: readonly Step[]; readonly end?: undefined; readonly vm: FactVm };

interface How {
  readonly isAnswer: boolean;
  /** It is the sender's own packet. */
  readonly isFirst: boolean;
}

interface Sender {
  readonly vm: FactVm;
  readonly nic: FactNic;
  /** Of the guest: the NIC's, or a VLAN on it. */
  readonly device: GuestInterface;
}

/** Out of a NIC, over its segment, and into the next VM. */
function sent(sender: Sender, route: GuestRoute, packet: Packet, facts: NetFacts, how: How): Hop {
  const { vm, nic, device } = sender;
  const network = networkOf(facts, nic.network);
  if (network === undefined) {
    return stopped(
      [],
      cause('network', nic.network, `there is no network ${nic.network}`, `skerry network create ${nic.network}`),
    );
  }
  const via = route.via === undefined ? '' : ` via ${route.via}`;
  const steps: Step[] = [
    { at: nicName(vm, nic), text: `${route.to}${via} by ${route.dev}, on the network ${network.name}` },
  ];
  const lacks = network.datapath === 'kernel' && (facts.kernelLacks ?? []).length > 0 ? facts.kernelLacks : undefined;
  if (lacks !== undefined) return stopped(steps, kernelCause(network, lacks));
  const trouble = nicTrouble(vm, nic, 'out', facts) ?? sourceTrouble(sender, network, packet, facts, how);
  if (trouble !== undefined) return stopped(steps, trouble);
  const vlan = vlanSent({ vm, nic }, device);
  if (typeof vlan === 'object') return stopped(steps, vlan);
  const nextHop = route.via ?? packet.to;
  const from = portIdOf(vm, nic);
  if (network.mode !== 'bridged' && isItsGateway(network, nextHop)) {
    const outside = gatewayVlanTrouble({ vm, nic }, vlan);
    if (outside !== undefined) return stopped(steps, outside);
    const isForGateway = isItsGateway(network, packet.to);
    // Of what the gateway serves the switch's rules are about ping alone, the kernel's about nothing.
    const isRuled = !isForGateway || (packet.protocol === 'icmp' && network.datapath !== 'kernel');
    const denied = how.isAnswer || !isRuled ? undefined : deniedBy(network, packet, [from], facts);
    if (denied !== undefined) return stopped(steps, denied);
    return { steps, end: isForGateway ? { kind: 'gateway', network } : { kind: 'beyond', network, vm } };
  }
  const peer = peerOf(nextHop, vm, network, facts);
  if (peer === undefined) {
    const isShared = network.mode === 'bridged' || network.mode === 'overlay';
    if (isShared) return { steps, end: { kind: 'foreign', network, address: nextHop } };
    return stopped(steps, nobody(vm, nextHop, network, packet, facts));
  }
  const onTheWay =
    partitionBetween(vm, peer.vm, facts) ??
    vlanTrouble({ vm, nic }, vlan, peer) ??
    (how.isAnswer ? undefined : deniedBy(network, packet, [from, portIdOf(peer.vm, peer.nic)], facts)) ??
    vmTrouble(peer.vm, facts) ??
    nicTrouble(peer.vm, peer.nic, 'in', facts);
  if (onTheWay !== undefined) return stopped(steps, onTheWay);
  if (heardBy(peer, vlan, facts) === undefined) return stopped(steps, noInterface(peer, vlan));
  if (!hasAddress(peer, vlan, nextHop, facts)) {
    const isGiven = nextHop === peer.nic.address || nextHop === peer.nic.address6;
    const wrong = isGiven ? addressTrouble(peer.vm, peer.nic, isIpv6(nextHop), facts) : undefined;
    return stopped(steps, wrong ?? nobody(vm, nextHop, network, packet, facts));
  }
  steps.push({ at: nicName(peer.vm, peer.nic), text: `${nextHop} in ${peer.vm.name}` });
  return { steps, vm: peer.vm };
}

function kernelCause({ name }: FactNetwork, lacks: readonly string[]): ExplainCause {
  return cause(
    'host',
    name,
    `the kernel does not hold what its networks need (${lacks.join('; ')}): somebody has changed it, and it is repaired within seconds`,
    `Ask again in 5 s. If it stays so, see \`skerry host doctor\` and \`skerry network ruleset ${name}\`.`,
  );
}

function noInterface(
  { vm, nic }: { readonly vm: FactVm; readonly nic: FactNic },
  vlan: number | undefined,
): ExplainCause {
  const eth = `eth${nic.index}`;
  const tag = tagAt(nic, vlan);
  return cause(
    'vlan',
    nicName(vm, nic),
    `${vm.name} has no interface for VLAN ${tag} on ${eth}`,
    `skerry exec ${vm.name} -- ip link add link ${eth} name ${eth}.${tag} type vlan id ${tag}`,
  );
}

/** It comes to nobody, or to a gateway that leads to none of our networks. */
function isAstray(end: End | undefined, { to }: Packet, { networks }: NetFacts): boolean {
  if (end?.kind === 'stopped') return ['route', 'network'].includes(end.cause.kind);
  return end?.kind === 'beyond' && networks.some((network) => isOnNetwork(network, to));
}

function redirected(vm: FactVm, { via, dev }: GuestRoute, { to }: Packet): ExplainCause {
  return cause(
    'route',
    vm.name,
    `${vm.name} sends ${to} ${via === undefined ? 'straight' : `via ${via}`} by ${dev}, which its routes do not say: a router has redirected it, or it has rules of its own (\`ip rule\`)`,
    `skerry exec ${vm.name} -- ip ${isIpv6(to) ? '-6 ' : ''}route flush cache`,
  );
}

function refused(vm: FactVm, { to }: GuestRoute, packet: Packet): ExplainCause {
  return cause(
    'route',
    vm.name,
    `${vm.name} has a route that refuses ${to}, and ${packet.to} with it`,
    `skerry exec ${vm.name} -- ip ${isIpv6(to) ? '-6 ' : ''}route del ${to}`,
  );
}

/** A VM sends from its own addresses alone, unless it is a router; on a link nobody looks. */
function sourceTrouble(
  { vm, nic, device }: Sender,
  network: FactNetwork,
  packet: Packet,
  facts: NetFacts,
  { isFirst }: How,
): ExplainCause | undefined {
  if (network.mode === 'link' || vm.isRouter || ownAddresses(nic, network).includes(packet.from)) return undefined;
  // The kernel takes the tags that a trunk may send, and reads no further.
  if (network.datapath === 'kernel' && device.vlan !== undefined) return undefined;
  if (!isFirst) return routerCause(vm, packet, false);
  const isV6 = isIpv6(packet.to);
  if (isV6 && network.ipv6 === undefined) return noIpv6(network, packet);
  return (
    addressTrouble(vm, nic, isV6, facts) ??
    cause(
      'route',
      nicName(vm, nic),
      `${vm.name} answers ${packet.to} by ${nicName(vm, nic)}, from ${packet.from}, which is the address of another of its NICs`,
      `skerry exec ${vm.name} -- ip route get ${packet.to}`,
    )
  );
}

export function noIpv6({ name }: FactNetwork, { to }: Packet): ExplainCause {
  return cause(
    'network',
    name,
    `the network ${name} has no IPv6, so ${to} is not reached by it`,
    `Use IPv4, or a network that was made with --ipv6 fd00:50::/64.`,
  );
}

function routerCause(vm: FactVm, { to }: Packet, isOff: boolean): ExplainCause {
  const key = isIpv6(to) ? 'net.ipv6.conf.all.forwarding' : 'net.ipv4.ip_forward';
  return cause(
    'router',
    vm.name,
    isOff
      ? `${vm.name} passes nothing on: forwarding is off in it`
      : `${vm.name} is no router: what it passes on is dropped, as it has others' addresses`,
    isOff && vm.isRouter ? `skerry exec ${vm.name} -- sysctl -w ${key}=1` : `Write \`role: router\` for ${vm.name}.`,
  );
}

function portIdOf(vm: FactVm, nic: FactNic): string {
  return portId(vm, nic.index);
}

function stopped(steps: readonly Step[], why: ExplainCause): { steps: readonly Step[]; end: End } {
  return { steps, end: { kind: 'stopped', cause: why } };
}

import { type ExplainCause, hostnameOf } from '@skerry/api';
import { gatewayMacOf } from './addresses.ts';
import {
  givenAddress,
  isIn,
  isIpv6,
  isGateway,
  isOnNetwork,
  ownAddresses,
  subnetFor,
} from './explain-address-model.ts';
import {
  cause,
  type FactNetwork,
  type FactNic,
  type FactVm,
  guestOf,
  type GuestInterface,
  interfaceOf,
  type NetFacts,
  networkOf,
  nicName,
  type Packet,
  routeTo,
  toldRoutes,
} from './explain-model.ts';
import { addressTrouble, nicTrouble } from './explain-nic-plan.ts';
import { type End, tagAt } from './explain-vlan-plan.ts';

/** Pure: who has an address on a segment, and why nobody has. */

/** Who was given the address, or has taken it, on a segment. */
export function peerOf(address: string, vm: FactVm, network: FactNetwork, facts: NetFacts): End | undefined {
  const others = endsOn(network, facts).filter((each) => each.vm !== vm);
  return (
    others.find(({ nic }) => ownAddresses(nic, network).includes(address)) ??
    // Answers to ARP with another address than the given one are dropped, by the switch a router's as well; nobody reads what is
    // on a link.
    others.find(
      (other) =>
        (network.mode === 'link' || (network.datapath === 'kernel' && other.vm.isRouter)) &&
        hasAddress(other, undefined, address, facts),
    )
  );
}

/** What of the guest gets a frame of this VLAN. */
export function heardBy({ vm, nic }: End, vlan: number | undefined, facts: NetFacts): GuestInterface | undefined {
  return interfaceOf(guestOf(vm, facts), nic, tagAt(nic, vlan));
}

export function hasAddress(end: End, vlan: number | undefined, address: string, facts: NetFacts): boolean {
  const { vm, nic } = end;
  const heard = heardBy(end, vlan, facts);
  if (heard === undefined) return false;
  const isGiven = nic.address === address || nic.address6 === address;
  // Linux answers ARP for all addresses it has, at whichever interface (ip-sysctl, arp_ignore 0); for IPv6 it does not.
  const wanted = isGiven && !isIpv6(address) ? guestOf(vm, facts).interfaces : [heard];
  return wanted.some(({ addresses }) => addresses.includes(address));
}

export function nobody(
  vm: FactVm,
  address: string,
  network: FactNetwork,
  packet: Packet,
  facts: NetFacts,
): ExplainCause {
  const taken = endsOn(network, facts).find((end) => hasAddress(end, end.nic.vlan, address, facts));
  if (taken !== undefined) {
    const given = givenAddress(taken.nic, isIpv6(address)) || taken.nic.address;
    return cause(
      'address',
      nicName(taken.vm, taken.nic),
      `${taken.vm.name} has taken ${address}, which the network ${network.name} did not give it: its answers are dropped`,
      `Use ${given}, or ${hostnameOf(taken.vm.name)}, its name.`,
    );
  }
  if (address === packet.to) {
    return cause(
      'address',
      network.name,
      `nobody on the network ${network.name} has the address ${address}`,
      `skerry network leases ${network.name}`,
    );
  }
  const route = routeTo(guestOf(vm, facts), packet.to);
  const isTold = toldRoutes(vm, facts).some(({ to, via }) => to === route?.to && via === address);
  return cause(
    'route',
    vm.name,
    `${vm.name} sends ${packet.to} via ${address}, which nobody on the network ${network.name} has`,
    isTold
      ? `Give ${address} to a VM that leads on, or have another: \`skerry network route list ${network.name}\`.`
      : `skerry exec ${vm.name} -- ip ${isIpv6(address) ? '-6 ' : ''}route del ${route?.to ?? packet.to} via ${address}`,
  );
}

/** What is wrong with the VM's own NIC that leads to an address: its route went with the interface, or with its address. */
export function ownNicTrouble(vm: FactVm, to: string, facts: NetFacts): ExplainCause | undefined {
  const isV6 = isIpv6(to);
  for (const nic of vm.nics) {
    const network = networkOf(facts, nic.network);
    if (network === undefined) continue;
    const isThere = isOnNetwork(network, to);
    const leads = isThere || (network.mode === 'nat' && leadsOut(network, isV6, facts) && isBeyond(to, facts));
    if (!leads) continue;
    const trouble = nicTrouble(vm, nic, 'out', facts) ?? addressTrouble(vm, nic, isV6, facts);
    if (trouble !== undefined) return trouble;
    const lost = isThere ? undefined : lostRoute(vm, to, facts);
    if (lost !== undefined) return lost;
    const dev = interfaceOf(guestOf(vm, facts), nic)?.name ?? 'eth0';
    const route = isThere
      ? `${subnetFor(network, to)} dev ${dev}`
      : `default via ${isV6 ? network.ipv6?.gateway : network.gateway}`;
    const remedy = `skerry exec ${vm.name} -- ip ${isV6 ? '-6 ' : ''}route add ${route}`;
    return cause('route', vm.name, `${vm.name} has no route to ${to} by ${nicName(vm, nic)}`, remedy);
  }
  return byRouterTrouble(vm, to, facts) ?? lostRoute(vm, to, facts);
}

/** The same of a NIC that leads to a router which leads there: only what is wrong with the NIC, for no route is a route of its own. */
function byRouterTrouble(vm: FactVm, to: string, facts: NetFacts): ExplainCause | undefined {
  const there = facts.networks.find((network) => isOnNetwork(network, to));
  if (there === undefined) return undefined;
  for (const nic of vm.nics) {
    if (routerBetween(nic.network, there.name, vm, facts) === undefined) continue;
    const trouble = nicTrouble(vm, nic, 'out', facts) ?? addressTrouble(vm, nic, isIpv6(to), facts);
    if (trouble !== undefined) return trouble;
  }
  return undefined;
}

/** A route that the VM was told, or is told since, and does not have. */
function lostRoute(vm: FactVm, to: string, facts: NetFacts): ExplainCause | undefined {
  const told = toldRoutes(vm, facts).find((route) => isIn(route.to, to));
  if (told === undefined) return undefined;
  // Linux takes none via somebody that it has no way to.
  const near = routeTo(guestOf(vm, facts), told.via) === undefined ? ownNicTrouble(vm, told.via, facts) : undefined;
  if (near !== undefined) return near;
  return cause(
    'route',
    vm.name,
    `${vm.name} has no route to ${to}: that to ${told.to} via ${told.via}, which it is told when it starts, is not there`,
    `skerry exec ${vm.name} -- ip ${isIpv6(to) ? '-6 ' : ''}route add ${told.to} via ${told.via}`,
  );
}

function routerBetween(one: string, other: string, than: FactVm, { vms }: NetFacts): FactVm | undefined {
  return vms.find(
    (vm) =>
      vm !== than && vm.isRouter && [one, other].every((network) => vm.nics.some((nic) => nic.network === network)),
  );
}

/** Why a guest knows no way. */
export function noRoute(vm: FactVm, packet: Packet, facts: NetFacts): ExplainCause {
  const own = ownNicTrouble(vm, packet.to, facts);
  if (own !== undefined) return own;
  const there = facts.networks.find((network) => isOnNetwork(network, packet.to));
  if (there !== undefined) {
    const routed = vm.nics
      .map(({ network }) => ({ network, router: routerBetween(network, there.name, vm, facts) }))
      .find(({ router }) => router !== undefined);
    return cause(
      'network',
      there.name,
      `${packet.to} is on the network ${there.name}, ${vm.name} is not, and has no route to it`,
      routed === undefined
        ? `skerry nic add ${vm.name} --network ${there.name}`
        : `skerry network route add ${routed.network} ${subnetFor(there, packet.to)} --via ${routed.router?.name}`,
    );
  }
  const names = vm.nics.map(({ network }) => network);
  const isV6 = isIpv6(packet.to);
  return cause(
    'network',
    names[0] ?? vm.name,
    names.length === 0
      ? `${vm.name} has no NIC`
      : `${vm.name} has no route to ${packet.to}: ${names.join(', ')} ${names.length === 1 ? 'leads' : 'lead'} nowhere${isV6 ? ' in IPv6' : ''}`,
    isV6
      ? 'Use IPv4, or a network of mode nat with --ipv6 and --datapath kernel.'
      : `skerry nic add ${vm.name} --network default`,
  );
}

export function leadsOut({ ipv6 }: FactNetwork, isV6: boolean, { hostLeadsOut6 = true }: NetFacts): boolean {
  return !isV6 || (hostLeadsOut6 && ipv6 !== undefined);
}

export function isItsGateway(network: FactNetwork, address: string): boolean {
  return isGateway(network, address, network.gateway === '' ? '' : gatewayMacOf(network.gateway));
}

function isBeyond(address: string, { networks }: NetFacts): boolean {
  return !networks.some((network) => isOnNetwork(network, address));
}

function endsOn(network: FactNetwork, facts: NetFacts): End[] {
  return facts.vms.flatMap((vm) =>
    vm.nics.filter((nic: FactNic) => nic.network === network.name).map((nic) => ({ vm, nic })),
  );
}

import { hostnameOf, type NetworkSpec, type VlanRange } from '@skerry/api';
import type { PortImpairment, Segment, SegmentPartition, SegmentPort, SwitchConfig } from '@skerry/switch';
import { segmentAcl, udpForwardsFor } from './acl-plan.ts';
import { gatewayMacOf, LINK_POOL, SUBNET_POOL } from './addresses.ts';

/** What the switch is to do, computed from networks, VMs and facts of the host. Pure. */

/** A network as the store has it: what was asked, and what it was given. */
export interface PlannedNetwork extends Omit<NetworkSpec, 'subnet' | 'ipv6'> {
  readonly id: string;
  readonly name: string;
  readonly subnet: string;
  /** Empty for a link. */
  readonly gateway: string;
  readonly ipv6?: { readonly subnet: string; readonly gateway: string } | undefined;
  /** Of the interface of the host that it is on. */
  readonly uplinkMtu?: number | undefined;
  /** On the user datapath, where its way out listens; absent: there is none. */
  readonly egressSocketPath?: string | undefined;
  /** Faults of it that are active. */
  readonly partitions?: readonly SegmentPartition[] | undefined;
}

export interface PlannedVm {
  readonly id: string;
  /** NAME or NODE/NAME: the last part is its name in DNS. */
  readonly name: string;
  readonly nics: readonly PlannedNic[];
  /** A router may send from any address. */
  readonly role?: 'router' | undefined;
}

export interface PlannedNic {
  readonly networkId: string;
  /** N of ethN; default: its place in the list. */
  readonly index?: number | undefined;
  readonly mac: string;
  readonly address: string;
  readonly address6?: string | undefined;
  readonly vlan?: number | undefined;
  readonly trunk?: readonly VlanRange[] | undefined;
  readonly rateKbit?: number | undefined;
  /** Further networks of its VM, whose names it may ask for. */
  readonly others?: readonly OtherNetwork[] | undefined;
  /** Faults of it that are active. */
  readonly impairments?: readonly PortImpairment[] | undefined;
  /** Where QEMU listens for the switch. */
  readonly socketPath: string;
  /** Default true. */
  readonly linkUp?: boolean | undefined;
}

export interface OtherNetwork {
  readonly id: string;
  readonly domain?: string | undefined;
}

export interface HostFacts {
  /** The host's own addresses, and ranges that guests shall not reach. */
  readonly addresses: readonly string[];
  readonly resolvers: readonly string[];
  /** It has a default route of IPv6, so guests can be led out by it. */
  readonly leadsOut6?: boolean | undefined;
}

/** @param all every VM that is plugged in somewhere: rules name VMs that are on other networks */
export function segmentFor(network: PlannedNetwork, all: readonly PlannedVm[], host: HostFacts): Segment {
  const hasWayOut = network.egressSocketPath !== undefined;
  return {
    id: network.id,
    ...placeOf(network),
    domain: network.domain,
    egress: hasWayOut ? wayOut(network, network.egressSocketPath, host) : undefined,
    hostAddresses: host.addresses,
    // DNS is a way out too: questions of a network that leads nowhere stay inside.
    upstreamDns: hasWayOut ? host.resolvers : [],
    ports: all.flatMap((vm) =>
      vm.nics.flatMap((nic, index) => (nic.networkId === network.id ? [portFor(vm, nic, nic.index ?? index)] : [])),
    ),
    ...(network.mtu === undefined ? {} : { mtu: network.mtu }),
    ...(network.partitions === undefined ? {} : { partitions: network.partitions }),
    ...(network.mode === 'link' ? {} : lanFields(network, all)),
  };
}

function wayOut({ ipv6 }: PlannedNetwork, socketPath: string, { leadsOut6 }: HostFacts): Segment['egress'] {
  return { socketPath, ...(ipv6 !== undefined && leadsOut6 === true ? { ipv6: true } : {}) };
}

/** A link has no gateway, but there is no segment without one: it is the address that no NIC can have. */
function placeOf({ mode, subnet, gateway, ipv6 }: PlannedNetwork) {
  const ipv6Field = ipv6 === undefined ? {} : { ipv6 };
  if (mode !== 'link') return { subnet, gateway, gatewayMac: gatewayMacOf(gateway), ...ipv6Field };
  const unused = subnet.slice(0, subnet.indexOf('/'));
  return { kind: 'link' as const, subnet, gateway: unused, gatewayMac: gatewayMacOf(unused), ...ipv6Field };
}

/** What only a network with more than two ends has. */
function lanFields(
  { id, acl, dhcpRange, routes, forwards }: PlannedNetwork,
  all: readonly PlannedVm[],
): Partial<Segment> {
  const udpForwards = udpForwardsFor(id, forwards ?? [], all);
  return {
    ...(acl === undefined ? {} : { acl: segmentAcl(acl, all) }),
    ...(dhcpRange === undefined ? {} : { dhcpRange }),
    ...(routes === undefined || routes.length === 0 ? {} : { routes }),
    ...(udpForwards.length === 0 ? {} : { udpForwards }),
  };
}

function portFor(vm: PlannedVm, nic: PlannedNic, index: number): SegmentPort {
  const { vlan, trunk, rateKbit, others, impairments = [] } = nic;
  return {
    id: portId(vm, index),
    socketPath: nic.socketPath,
    mac: nic.mac,
    addresses: [nic.address, nic.address6 ?? ''].filter((address) => address !== ''),
    names: [hostnameOf(vm.name)],
    linkUp: nic.linkUp ?? true,
    ...(vlan === undefined ? {} : { vlan }),
    ...(trunk === undefined ? {} : { trunk }),
    ...(rateKbit === undefined ? {} : { rateKbit }),
    ...(vm.role === 'router' ? { router: true } : {}),
    ...(others === undefined ? {} : { others }),
    // By name: the same lab with the same seeds loses the same frames when it is made anew.
    ...(impairments.length === 0 ? {} : { impairments, seedName: `${vm.name}/${index}` }),
  };
}

export function portId(vm: Pick<PlannedVm, 'id'>, index: number): string {
  return `${vm.id}/${index}`;
}

/** Where networks have their guests. A bridged one is a part of the world: its range is the LAN's. */
function rangesOf(networks: readonly PlannedNetwork[]): string[] {
  return networks
    .filter(({ mode }) => mode !== 'bridged')
    .flatMap(({ subnet, ipv6 }) => (ipv6 === undefined ? [subnet] : [subnet, ipv6.subnet]));
}

/**
 * Where no way out leads to: whoever may reach a guest there needs none, and one that is not running is not looked for on the
 * host's default route. Ranges may lie in each other.
 */
export function closedRanges(networks: readonly PlannedNetwork[]): string[] {
  return [SUBNET_POOL, LINK_POOL, ...rangesOf(networks)];
}

/**
 * The order of networks and VMs does not matter: the same state gives the same configuration.
 * @param all of this host, also those that nobody uses or that are on the other datapath
 */
export function switchConfig(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  host: HostFacts,
  all: readonly PlannedNetwork[] = networks,
): SwitchConfig {
  const addresses = [...new Set([...host.addresses, ...closedRanges(all)])].sort();
  const ordered = vms.toSorted(byId);
  return {
    version: 1,
    segments: networks
      .toSorted(byId)
      .map((network) => segmentFor(network, ordered, { ...host, addresses }))
      // A wire that nobody is at the other end of is none: what is sent into it is lost in QEMU.
      .filter(({ kind, ports }) => kind !== 'link' || ports.length === 2),
  };
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

import { gatewayMacOf } from '../addresses.ts';
import { mtuOf } from '../mtu-plan.ts';
import type { PlannedNetwork, PlannedNic, PlannedVm } from '../plan.ts';
import { hasAcl } from './acl-plan.ts';
import { dnsServers } from './dnsmasq-plan.ts';
import { ownBridges } from './docker-plan.ts';
import { guardTable } from './guard-plan.ts';
import { inetTable, leadsOut } from './inet-plan.ts';
import type { KernelHost, KernelPlan, Link, PortVlans, Tap } from './kernel-model.ts';
import { ifbName, tableName, vxlanName } from './names-model.ts';
import type { NftChain, NftTable } from './nft-model.ts';
import { filtersVlans, placesOf, type NicPlace, type PlacedNic, type PlannedPlace } from './places-plan.ts';
import { queueOf, type Queue } from './queue-plan.ts';
import { peersOf, tunnelChain } from './tunnels-plan.ts';
import { OWN_VLAN, portVlans } from './vlan-plan.ts';

/** What the kernel is to hold for these networks. Pure: the same state gives the same plan, in whatever order it comes. */

const LOOPBACK = /^127\./;

/** @param networks those that are to be there */
export function kernelPlan(
  networks: readonly PlannedNetwork[],
  vms: readonly PlannedVm[],
  host: KernelHost,
): KernelPlan {
  const places = placesOf(networks, vms, host);
  return {
    places: places.map((place) => ({
      netns: place.netns,
      links: place.networks.flatMap((each) => linksOf(each, host)),
      tables: tablesOf(place, host, place.netns === undefined ? tunnelChain(networks) : undefined),
    })),
    relays: places.flatMap(({ networks: all }) =>
      all.flatMap(({ nics }) => nics.map(({ tap, nic }) => ({ tap, socketPath: nic.socketPath }))),
    ),
    bridges: ownBridges(places),
    servers: places.flatMap((place) =>
      place.networks
        .filter(({ network }) => network.mode !== 'bridged')
        .flatMap((each) => dnsServers(each, place.netns, host)),
    ),
    isRouter: networks.some(({ mode }) => leadsOut(mode)),
  };
}

/** Where a guest is the LAN's, what passes is the LAN's business; whom it speaks for is ours. @param tunnels that end here */
function tablesOf(place: PlannedPlace, host: KernelHost, tunnels: NftChain | undefined): NftTable[] {
  const isOurs = place.networks.some(({ network }) => network.mode !== 'bridged');
  const chains = tunnels === undefined ? [] : [tunnels];
  const inet = isOurs
    ? inetTable(place, host)
    : { family: 'inet' as const, name: tableName(host.tag), sets: [], chains: [] };
  return [
    ...(place.networks.length > 0 ? [guardTable(place, host.tag)] : []),
    ...(isOurs || chains.length > 0 ? [{ ...inet, chains: [...inet.chains, ...chains] }] : []),
  ];
}

function linksOf(planned: NicPlace, host: KernelHost): Link[] {
  const { network, bridge, bridges, nics } = planned;
  const mtu = mtuOf(network);
  // Its bridge is there before any VM is, and longer: see bridged-service.ts.
  if (network.mode === 'bridged') return nics.flatMap((nic) => nicLinks(planned, nic, host));
  const [, prefix = '24'] = network.subnet.split('/');
  const addresses = [`${network.gateway}/${prefix}`];
  if (network.ipv6 !== undefined) addresses.push(`${network.ipv6.gateway}/64`);
  return [
    ...bridges.map((name): Link => ({
      kind: 'bridge',
      name,
      // Never that of a port, which changes as they come and go.
      mac: gatewayMacOf(network.gateway),
      mtu,
      addresses: name === bridge ? addresses : [],
      filtersIp: hasAcl(network),
      filtersVlans:
        filtersVlans(network, host) && nics.some(({ nic }) => nic.vlan !== undefined || nic.trunk !== undefined),
      ...(host.vlanFiltering ? { ownVlan: OWN_VLAN } : {}),
      routesLoopback: (network.forwards ?? []).some(({ hostAddress }) => LOOPBACK.test(hostAddress)),
    })),
    ...(network.mode === 'overlay'
      ? [
          {
            kind: 'vxlan' as const,
            name: vxlanName(host.tag, network),
            master: bridge,
            mtu,
            vni: network.vni ?? 0,
            peers: peersOf(network),
          },
        ]
      : []),
    ...nics.flatMap((nic) => nicLinks(planned, nic, host)),
  ];
}

function nicLinks({ network }: NicPlace, { tap, bridge, nic, ...of }: PlacedNic, host: KernelHost): Link[] {
  const [gets, sends] = (['in', 'out'] as const).map((direction) => queueIn({ nic, ...of }, direction, host));
  const port: Tap = {
    kind: 'tap',
    name: tap,
    master: bridge,
    mtu: mtuOf(network),
    queue: gets,
    vlans: host.vlanFiltering && network.mode !== 'bridged' ? vlansOf(network, nic, host) : undefined,
  };
  return sends === undefined ? [port] : [port, { kind: 'ifb', name: ifbName(tap), tap, queue: sends }];
}

/** Of a NIC, for what it gets or what it sends. */
export function queueIn(
  { vm, index, nic }: Pick<PlacedNic, 'vm' | 'index' | 'nic'>,
  direction: 'in' | 'out',
  { netemSeed }: Pick<KernelHost, 'netemSeed'>,
): Queue | undefined {
  const { rateKbit, impairments = [] } = nic;
  // By name, as with the switch: a lab that is made anew loses the same frames.
  return queueOf({ rateKbit, impairments, direction, seedName: `${vm.name}/${index}`, seeds: netemSeed });
}

/** Where VLANs have bridges of their own, each port is in none. */
function vlansOf(network: PlannedNetwork, { vlan, trunk }: PlannedNic, host: KernelHost): PortVlans {
  return filtersVlans(network, host) ? portVlans(vlan, trunk) : portVlans(undefined, undefined);
}

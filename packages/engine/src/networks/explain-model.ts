import {
  hostnameOf,
  type Acl,
  type ExplainCause,
  type FaultSpec,
  type NetworkMode,
  type VlanRange,
  type VmState,
} from '@skerry/api';
import { isIn, isIpv6, isOnNetwork, prefixOf } from './explain-address-model.ts';

/** What is known of networks, VMs, faults and guests when it is asked who reaches whom. Pure. */

export interface NetFacts {
  readonly networks: readonly FactNetwork[];
  readonly vms: readonly FactVm[];
  /** Those that are active. */
  readonly faults: readonly FactFault[];
  /** The host's own, and ranges that guests do not reach. */
  readonly hostAddresses: readonly string[];
  /** It has a default route of IPv6. Default true. */
  readonly hostLeadsOut6?: boolean | undefined;
  /** Ports of the host that lead to VMs. */
  readonly forwards?: readonly FactForward[] | undefined;
  /** What the kernel does not hold at this moment though it should, of networks in it. */
  readonly kernelLacks?: readonly string[] | undefined;
}

export interface FactForward {
  readonly hostAddress: string;
  readonly hostPort: number;
  /** Its name. */
  readonly vm: string;
  readonly guestPort: number;
  readonly protocol: 'tcp' | 'udp';
  /** Absent: the VM's own. */
  readonly network?: string | undefined;
}

export interface FactNetwork {
  readonly name: string;
  readonly mode: NetworkMode;
  readonly subnet: string;
  /** Empty for a link. */
  readonly gateway: string;
  /** The /64, and the gateway's address in it. */
  readonly ipv6?: { readonly subnet: string; readonly gateway: string } | undefined;
  /** Default: user. */
  readonly datapath?: 'user' | 'kernel' | undefined;
  readonly acl?: Acl | undefined;
  /** That its VMs are told when they start. */
  readonly routes?: readonly FactRoute[] | undefined;
}

export interface FactRoute {
  readonly to: string;
  readonly via: string;
}

export interface FactVm {
  readonly id: string;
  readonly name: string;
  readonly state: VmState;
  readonly isRouter: boolean;
  /** Whether the agent is connected; absent: it is not known. */
  readonly hasAgent?: boolean | undefined;
  readonly nics: readonly FactNic[];
  /** Of its own, that it is told when it starts. */
  readonly routes?: readonly FactRoute[] | undefined;
  /** What the guest itself says; absent: it could not be asked. */
  readonly guest?: GuestNet | undefined;
}

export interface FactNic {
  /** N of ethN. */
  readonly index: number;
  readonly network: string;
  readonly mac: string;
  /** Empty: none. */
  readonly address: string;
  readonly address6?: string | undefined;
  readonly linkUp: boolean;
  readonly vlan?: number | undefined;
  readonly trunk?: readonly VlanRange[] | undefined;
  /** Whose file says how it is, and would say it again. */
  readonly node?: string | undefined;
  /** Whether the switch has the VM at the port; absent: it is not known. */
  readonly connected?: boolean | undefined;
  /** All that it sends, or gets, is lost by what its node declares (`impair`). */
  readonly lost?: { readonly out: boolean; readonly in: boolean } | undefined;
}

export interface FactFault {
  readonly name: string;
  readonly spec: FaultSpec;
}

export interface GuestNet {
  readonly interfaces: readonly GuestInterface[];
  readonly routes: readonly GuestRoute[];
  /** What it would do with these addresses, each without a prefix. */
  readonly resolved?: readonly GuestRoute[] | undefined;
  readonly listening: readonly Listening[];
  /** Whether it passes on what is not for itself. */
  readonly forwarding: boolean;
  readonly forwarding6?: boolean | undefined;
}

export interface GuestInterface {
  readonly name: string;
  readonly mac: string;
  readonly isUp: boolean;
  readonly addresses: readonly string[];
  /** It puts this tag on what it sends, and has the MAC of the one below (eth0.10). */
  readonly vlan?: number | undefined;
}

export interface GuestRoute {
  readonly to: string;
  readonly via?: string | undefined;
  readonly dev: string;
  readonly metric: number;
  /** The guest itself says no (unreachable, blackhole, prohibit). */
  readonly isRefused?: boolean | undefined;
  /** It is not in its table: a router has redirected it, or it has rules of its own. */
  readonly isCached?: boolean | undefined;
}

export interface Listening {
  readonly protocol: 'tcp' | 'udp';
  /** 0.0.0.0 for all of IPv4, :: for all of both. */
  readonly address: string;
  readonly port: number;
}

export interface Packet {
  readonly from: string;
  readonly to: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly port?: number | undefined;
}

export interface Step {
  readonly at: string;
  readonly text: string;
}

export function cause(kind: ExplainCause['kind'], at: string, message: string, remedy: string): ExplainCause {
  return { kind, at, message, remedy };
}

/** web:eth0 */
export function nicName(vm: FactVm, nic: FactNic): string {
  return `${vm.name}:eth${nic.index}`;
}

/** What changes a NIC. @param asked `--vlan 20`, which a file has as `vlan: 20` */
export function changeNic(vm: FactVm, { index, node }: FactNic, asked: string): string {
  if (node === undefined) return `skerry nic set ${vm.name} eth${index} ${asked}`;
  const [key = '', value = ''] = asked.replace(/^--/, '').split(' ');
  const what = value === 'none' ? `Take \`${key}\` away from` : `Write \`${key}: ${value}\` for`;
  return `${what} eth${index} of ${hostnameOf(vm.name)} in the file of ${node}, then type \`skerry up FILE\`.`;
}

export function networkOf(facts: NetFacts, name: string): FactNetwork | undefined {
  return facts.networks.find((network) => network.name === name);
}

/** Its own view, or as it is told to be where it can't be asked. */
export function guestOf(vm: FactVm, facts: NetFacts): GuestNet {
  if (vm.guest !== undefined) return vm.guest;
  const interfaces = vm.nics.map(({ index, mac, address, address6 }) => ({
    name: `eth${index}`,
    mac,
    isUp: true,
    addresses: [address, address6 ?? ''].filter((each) => each !== ''),
  }));
  const routes = vm.nics.flatMap((nic, place): GuestRoute[] => {
    const network = networkOf(facts, nic.network);
    if (network === undefined) return [];
    const dev = `eth${nic.index}`;
    const out = place === 0 && network.mode === 'nat' && nic.vlan === undefined && nic.trunk === undefined;
    return [
      { to: network.subnet, dev, metric: 0 },
      ...(network.ipv6 === undefined ? [] : [{ to: network.ipv6.subnet, dev, metric: 0 }]),
      ...(out ? [{ to: '0.0.0.0/0', via: network.gateway, dev, metric: 0 }] : []),
    ];
  });
  routes.push(...toldRoutes(vm, facts));
  return { interfaces, routes, listening: [], forwarding: vm.isRouter, forwarding6: vm.isRouter };
}

/** All but those that lead to the VM itself. */
export function toldRoutes(vm: FactVm, facts: NetFacts): Array<GuestRoute & FactRoute> {
  const networks = vm.nics.map((nic) => ({ nic, network: networkOf(facts, nic.network) }));
  const own = vm.nics.flatMap(({ address, address6 = '' }) => [address, address6]);
  return [...(vm.routes ?? []), ...networks.flatMap(({ network }) => network?.routes ?? [])].flatMap(({ to, via }) => {
    const by = networks.find(({ network }) => network !== undefined && isOnNetwork(network, via));
    return by === undefined || own.includes(via) ? [] : [{ to, via, dev: `eth${by.nic.index}`, metric: 0 }];
  });
}

/** The one that a NIC is, or that of a VLAN on it. */
export function interfaceOf(guest: GuestNet, nic: FactNic, vlan?: number): GuestInterface | undefined {
  return guest.interfaces.find((each) => each.mac === nic.mac && each.vlan === vlan);
}

/** The most exact route; of several, that with the least metric (as Linux chooses). What the guest itself says counts more. */
export function routeTo(guest: GuestNet, address: string): GuestRoute | undefined {
  const [best] = guest.routes
    .filter(({ to }) => isIn(to, address))
    .toSorted((a, b) => prefixOf(b.to) - prefixOf(a.to) || a.metric - b.metric);
  const resolved = guest.resolved?.find(({ to }) => to === address);
  if (resolved === undefined || (resolved.via === best?.via && resolved.dev === best?.dev)) return best;
  return { ...resolved, to: `${address}/${isIpv6(address) ? 128 : 32}`, isCached: true };
}

import type { AclRule, ExplainCause } from '@skerry/api';
import { nicName } from '../../src/networks/explain-model.ts';
import type { World } from './explain-world.ts';

/** One thing that goes wrong on the way between two VMs, and what `explain` is to say of it. */

export interface Broken {
  readonly kind: ExplainCause['kind'];
  readonly at: string;
}

/** The VMs of the way, from the first to the last, and the NIC of each by which it goes on, or by which it came. */
export interface Way {
  readonly world: World;
  readonly vms: readonly World['vms'][number][];
  /** Between two VMs of the way. */
  readonly out: readonly number[];
  readonly into: readonly number[];
  readonly port: number;
  /** It goes by IPv6. */
  readonly isV6: boolean;
}

type Break = (way: Way, pick: (below: number) => number) => Broken | undefined;

/** One of all NICs on the way, and whether the packet leaves by it. */
function anyNic({ vms, out, into }: Way, pick: (below: number) => number) {
  const hop = pick(out.length);
  const leaves = pick(2) === 0;
  const vm = vms[leaves ? hop : hop + 1]!;
  const index = leaves ? out[hop]! : into[hop]!;
  return { vm, index, nic: vm.nics[index]!, name: nicName(vm, vm.nics[index]!), leaves, hop };
}

/** The address that the way leads to. */
export function targetOf({ vms, into, isV6 }: Way): string {
  const nic = last(vms).nics[last(into)]!;
  return isV6 ? nic.address6! : nic.address;
}

const last = <T>(list: readonly T[]): T => list.at(-1)!;

export const BREAKS: Readonly<Record<string, Break>> = {
  'a VM is stopped': ({ vms }, pick) => {
    const vm = vms[pick(vms.length)]!;
    vm.state = (['stopped', 'paused', 'crashed', 'suspended'] as const)[pick(4)]!;
    return { kind: 'vm', at: vm.name };
  },
  'a VM is frozen': ({ world, vms }, pick) => {
    world.faults.push({ name: 'freeze-1', spec: { kind: 'freeze', vm: vms[pick(vms.length)]!.name } });
    return { kind: 'fault', at: 'freeze-1' };
  },
  'a link is down': (way, pick) => {
    const { nic, name } = anyNic(way, pick);
    nic.linkUp = false;
    return { kind: 'nic', at: name };
  },
  'a link is down by a fault': (way, pick) => {
    way.world.faults.push({ name: 'down-1', spec: { kind: 'link-down', nic: anyNic(way, pick).name } });
    return { kind: 'fault', at: 'down-1' };
  },
  'all is lost in one direction': (way, pick) => {
    const { name } = anyNic(way, pick);
    const dir = pick(2) === 0 ? 'a2b' : 'b2a';
    way.world.faults.push({ name: 'impair-1', spec: { kind: 'impair', nic: name, dir, impairment: { loss: 1 } } });
    return { kind: 'fault', at: 'impair-1' };
  },
  'a partition': ({ world, vms, out }, pick) => {
    const cut = pick(out.length);
    const group = vms.slice(0, cut + 1).map(({ name }) => name.slice('lab/'.length));
    world.faults.push({ name: 'partition-1', spec: { kind: 'partition', node: 'lab', groups: [group] } });
    return { kind: 'fault', at: 'partition-1' };
  },
  'a rule': (way, pick) => {
    const { nic } = anyNic(way, pick);
    const network = way.world.networks.find(({ name }) => name === nic.network)!;
    const target = last(way.vms);
    const rules: AclRule[] = [
      { id: 6, action: 'deny', from: 'any', to: '10.9.9.9' },
      { id: 7, action: 'deny', from: 'any', to: target.name, protocol: 'tcp', ports: { from: way.port, to: way.port } },
    ];
    network.acl = { default: 'allow', rules } as typeof network.acl;
    return { kind: 'acl', at: `${network.name}/7` };
  },
  'a default': (way, pick) => {
    const { nic } = anyNic(way, pick);
    const network = way.world.networks.find(({ name }) => name === nic.network)!;
    network.acl = {
      default: 'deny',
      rules: [{ id: 1, action: 'allow', from: '10.9.9.9', to: 'any' }],
    } as typeof network.acl;
    return { kind: 'acl', at: `${network.name}/default` };
  },
  'another address in the guest': (way, pick) => {
    const ends = [
      { vm: way.vms[0]!, index: way.out[0]! },
      { vm: last(way.vms), index: last(way.into) },
    ];
    const { vm, index } = ends[pick(2)]!;
    const other = (address = ''): string => address.replace(/[\da-f]+$/, '200');
    const { address, address6 } = vm.nics[index]!;
    vm.guest!.interfaces[index]!.addresses = [other(address), other(address6)].filter((each) => each !== '');
    return { kind: 'address', at: nicName(vm, vm.nics[index]!) };
  },
  'an interface is down in the guest': (way, pick) => {
    const { vm, index, name } = anyNic(way, pick);
    vm.guest!.interfaces[index]!.isUp = false;
    // The kernel takes the routes with it.
    vm.guest!.routes = vm.guest!.routes.filter(({ dev }) => dev !== `eth${index}`);
    return { kind: 'nic', at: name };
  },
  'the way there is gone in the guest': (way) => {
    const vm = way.vms[0]!;
    const to = targetOf(way);
    vm.guest!.routes = vm.guest!.routes.filter(
      (route) => route.to === '0.0.0.0/0' || !to.startsWith(route.to.slice(0, 7)),
    );
    if (vm.guest!.routes.some((route) => route.to === '0.0.0.0/0')) vm.guest!.routes = [];
    return way.vms.length > 2
      ? { kind: 'network', at: last(way.vms).nics[last(way.into)]!.network }
      : { kind: 'route', at: vm.name };
  },
  'the way back is gone in the guest': (way) => {
    const vm = last(way.vms);
    vm.guest!.routes = [];
    return way.vms.length > 2
      ? { kind: 'network', at: way.vms[0]!.nics[way.out[0]!]!.network }
      : { kind: 'route', at: vm.name };
  },
  'a route by nobody': (way) => {
    const vm = way.vms[0]!;
    const { address, address6 = '' } = vm.nics[way.out[0]!]!;
    const via = (way.isV6 ? address6 : address).replace(/[\da-f]+$/, '250');
    vm.guest!.routes.push({
      to: `${targetOf(way)}/${way.isV6 ? 128 : 32}`,
      via,
      dev: `eth${way.out[0]!}`,
      metric: 0,
    });
    return { kind: 'route', at: vm.name };
  },
  'a route that refuses': (way) => {
    const vm = way.vms[0]!;
    vm.guest!.routes.push({ to: `${targetOf(way)}/${way.isV6 ? 128 : 32}`, dev: 'lo', metric: 0, isRefused: true });
    return { kind: 'route', at: vm.name };
  },
  'a trunk whose guest knows of no tags': (way, pick) => {
    const { nic, name } = anyNic(way, pick);
    nic.trunk = [{ from: 10, to: 20 }];
    return { kind: 'vlan', at: name };
  },
  'all is lost by what the node declares': (way, pick) => {
    const { nic, name } = anyNic(way, pick);
    const isOut = pick(2) === 0;
    nic.lost = { out: isOut, in: !isOut };
    return { kind: 'nic', at: name };
  },
  'nothing listens': ({ vms }) => {
    last(vms).guest!.listening = [];
    return { kind: 'service', at: last(vms).name };
  },
  'it listens for itself only': ({ vms }) => {
    for (const socket of last(vms).guest!.listening) socket.address = '127.0.0.1';
    return { kind: 'service', at: last(vms).name };
  },
  'another VLAN': (way, pick) => {
    const { nic, hop } = anyNic(way, pick);
    nic.vlan = 20;
    const peer = way.vms[hop + 1]!;
    return { kind: 'vlan', at: nicName(peer, peer.nics[way.into[hop]!]!) };
  },
  'a port of the switch is not connected': (way, pick) => {
    const { nic, name } = anyNic(way, pick);
    nic.connected = false;
    return { kind: 'port', at: name };
  },
  'the router is none': ({ vms }) => {
    if (vms.length === 2) return undefined;
    vms[1]!.isRouter = false;
    return { kind: 'router', at: vms[1]!.name };
  },
  'the router passes nothing on': ({ vms }) => {
    if (vms.length === 2) return undefined;
    vms[1]!.guest!.forwarding = false;
    vms[1]!.guest!.forwarding6 = false;
    return { kind: 'router', at: vms[1]!.name };
  },
  'it is on no network any more': (way) => {
    const vm = way.vms[0]!;
    const { network } = vm.nics[way.out[0]!]!;
    vm.nics = [];
    vm.guest = { ...vm.guest!, interfaces: [], routes: [] };
    return { kind: 'network', at: way.vms.length > 2 ? last(way.vms).nics[last(way.into)]!.network : network };
  },
};

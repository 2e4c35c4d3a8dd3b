import type { AclRule, FaultSpec } from '@skerry/api';
import type { FactForward, FactNetwork, FactNic, FactVm, NetFacts } from '../../src/networks/explain-model.ts';

/** A modelled host for `explain`: networks, VMs and what their guests say, all right at first. */

/** mulberry32: the same numbers for the same seed. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Mutable<T> = T extends readonly (infer E)[]
  ? Mutable<E>[]
  : T extends object
    ? { -readonly [K in keyof T]: Mutable<T[K]> }
    : T;
export type World = {
  networks: Mutable<FactNetwork>[];
  vms: Mutable<FactVm>[];
  faults: { name: string; spec: FaultSpec }[];
  hostAddresses: string[];
  forwards: FactForward[];
  kernelLacks?: string[];
  hostLeadsOut6?: boolean;
};

/**
 * `lab/v0`, ...: on one or two of the networks n0, n1, n2, all of them with IPv6 or none; a router between n0 and n1, now and
 * then; all listen at tcp/80.
 */
export function worldOf(pick: (below: number) => number): World {
  const hasIpv6 = pick(2) === 0;
  const networks: World['networks'] = Array.from({ length: 3 }, (_, index) => ({
    name: `n${index}`,
    mode: index === 1 ? 'isolated' : 'nat',
    subnet: `10.1.${index}.0/24`,
    gateway: `10.1.${index}.1`,
    ...(hasIpv6 ? { ipv6: { subnet: `fd00:${index + 1}::/64`, gateway: `fd00:${index + 1}::1` } } : {}),
  }));
  if (pick(2) === 0) {
    networks[0]!.acl = {
      default: 'allow',
      rules: [{ id: 1, action: 'deny', from: 'any', to: 'any', protocol: 'udp' } as AclRule],
    };
  }
  const hasRouter = pick(3) > 0;
  const world: World = { networks, vms: [], faults: [], hostAddresses: ['192.0.2.1'], forwards: [] };
  const count = 3 + pick(4);
  for (let number = 0; number < count; number++) {
    const first = pick(3);
    addVm(world, `lab/v${number}`, pick(3) === 0 ? [first, (first + 1) % 3] : [first]);
  }
  if (hasRouter) addRouter(world);
  return world;
}

export function addVm(world: World, name: string, on: readonly number[]): Mutable<FactVm> {
  const number = world.vms.length;
  const hasIpv6 = world.networks.some(({ ipv6 }) => ipv6 !== undefined);
  const nics: FactNic[] = on.map((network, index) => ({
    index,
    network: `n${network}`,
    mac: `02:00:00:00:${number.toString(16).padStart(2, '0')}:0${index}`,
    address: `10.1.${network}.${10 + number}`,
    address6: hasIpv6 ? `fd00:${network + 1}::${(16 + number).toString(16)}` : undefined,
    linkUp: true,
    connected: true,
  }));
  const vm = {
    id: `id-${number}`,
    name,
    state: 'running' as const,
    isRouter: false,
    nics,
    guest: {
      interfaces: nics.map(({ mac, address, address6 }, index) => ({
        name: `eth${index}`,
        mac,
        isUp: true,
        addresses: [address, ...(address6 === undefined ? [] : [address6])],
      })),
      routes: [
        ...on.map((network, index) => ({ to: `10.1.${network}.0/24`, dev: `eth${index}`, metric: 0 })),
        ...on.flatMap((network, index) =>
          hasIpv6 ? [{ to: `fd00:${network + 1}::/64`, dev: `eth${index}`, metric: 0 }] : [],
        ),
        ...(on[0] === 1 ? [] : [{ to: '0.0.0.0/0', via: `10.1.${on[0]}.1`, dev: 'eth0', metric: 0 }]),
      ],
      listening: [{ protocol: 'tcp' as const, address: hasIpv6 ? '::' : '0.0.0.0', port: 80 }],
      forwarding: false,
    },
  } as Mutable<FactVm>;
  world.vms.push(vm);
  return vm;
}

/** Between n0 and n1; their VMs have routes by it. */
function addRouter(world: World): void {
  const router = addVm(world, 'lab/router', [0, 1]);
  router.isRouter = true;
  router.guest!.forwarding = true;
  router.guest!.forwarding6 = true;
  for (const vm of world.vms) {
    const on = vm.nics.map(({ network }) => network);
    if (vm === router || on.includes('n0') === on.includes('n1')) continue;
    const [here, there] = on.includes('n0') ? [0, 1] : [1, 0];
    const { address, address6 } = router.nics[here]!;
    const dev = `eth${on.indexOf(`n${here}`)}`;
    vm.guest!.routes.unshift({ to: `10.1.${there}.0/24`, via: address, dev, metric: 0 });
    if (address6 !== undefined)
      vm.guest!.routes.unshift({ to: `fd00:${there + 1}::/64`, via: address6, dev, metric: 0 });
  }
}

/**
 * Whether what A sends arrives at B, and the answer at A: frame by frame, as switch and guests do it, written without a look at
 * `explain`.
 */
export function arrives(world: NetFacts, from: string, to: string, port: number): boolean {
  const a = world.vms.find(({ name }) => name === from)!;
  const source = addressFor(world, a, to);
  return source !== undefined && deliver(world, a, source, to, port, false, 9) && answered(world, source, to, port);
}

function answered(world: NetFacts, source: string, to: string, port: number): boolean {
  const b = world.vms.find(({ guest }) => guest!.interfaces.some(({ addresses }) => addresses.includes(to)))!;
  const open = b.guest!.listening.some(
    (each) =>
      each.port === port && (each.address === '::' || each.address === to || (each.address === '0.0.0.0' && !isV6(to))),
  );
  return open && deliver(world, b, to, source, port, true, 9);
}

const isV6 = (address: string): boolean => address.includes(':');

/** Of IPv6 only what worldOf makes: groups, `::`, groups. */
function numberOf(address: string): bigint {
  if (!isV6(address)) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head = [], tail = []] = address.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const groups = [...head, ...Array<string>(8 - head.length - tail.length).fill('0'), ...tail];
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

function lookup(vm: FactVm, to: string) {
  const bits = isV6(to) ? 128 : 32;
  for (let prefix = bits; prefix >= 0; prefix--) {
    const found = vm.guest!.routes.find((route) => {
      const [base = '', length] = route.to.split('/');
      const size = BigInt(bits - prefix);
      return isV6(base) === isV6(to) && Number(length) === prefix && numberOf(base) >> size === numberOf(to) >> size;
    });
    if (found !== undefined) return found.isRefused === true ? undefined : found;
  }
  return undefined;
}

function addressFor(_world: NetFacts, vm: FactVm, to: string): string | undefined {
  const route = lookup(vm, to);
  const own = vm.guest!.interfaces.find(({ name }) => name === route?.dev)?.addresses;
  return own?.find((address) => isV6(address) === isV6(to));
}

function deliver(
  world: NetFacts,
  vm: FactVm,
  source: string,
  to: string,
  port: number,
  isAnswer: boolean,
  ttl: number,
): boolean {
  if (ttl === 0 || !isAwake(world, vm)) return false;
  if (vm.guest!.interfaces.some(({ addresses }) => addresses.includes(to))) return true;
  const route = lookup(vm, to);
  const index = vm.guest!.interfaces.findIndex(({ name }) => name === route?.dev);
  if (route === undefined || index === -1) return false;
  const nic = vm.nics[index]!;
  if (!carries(world, vm, index, 'a2b')) return false;
  // Anti-spoofing.
  if (!vm.isRouter && source !== nic.address && source !== nic.address6) return false;
  // Nobody puts a tag on anything here.
  if (isMute(nic)) return false;
  const next = route.via ?? to;
  for (const other of world.vms) {
    for (const [at, peer] of other.nics.entries()) {
      if (
        other === vm ||
        peer.network !== nic.network ||
        peer.vlan !== nic.vlan ||
        isMute(peer) ||
        !isAwake(world, other)
      )
        continue;
      if (!other.guest!.interfaces.some(({ addresses }) => addresses.includes(next))) continue;
      // Who has another's address is not heard.
      if (peer.address !== next && peer.address6 !== next) continue;
      if (!carries(world, other, at, 'b2a') || isApart(world, vm, other)) continue;
      if (!isAnswer && !isAllowed(world, nic.network, source, to, port)) continue;
      const mine = other.guest!.interfaces.some(({ addresses }) => addresses.includes(to));
      if (mine) return true;
      const passesOn = isV6(to) ? other.guest!.forwarding6 === true : other.guest!.forwarding;
      return passesOn && deliver(world, other, source, to, port, isAnswer, ttl - 1);
    }
  }
  return false;
}

function isMute({ trunk, vlan }: FactNic): boolean {
  return trunk !== undefined && vlan === undefined;
}

function isAwake(world: NetFacts, vm: FactVm): boolean {
  return vm.state === 'running' && !world.faults.some(({ spec }) => spec.kind === 'freeze' && spec.vm === vm.name);
}

function carries(world: NetFacts, vm: FactVm, index: number, dir: 'a2b' | 'b2a'): boolean {
  const nic = vm.nics[index]!;
  const name = `${vm.name}:eth${index}`;
  const isBroken = world.faults.some(({ spec }) => {
    if (spec.kind === 'link-down') return spec.nic === name;
    return (
      spec.kind === 'impair' && spec.nic === name && spec.impairment.loss === 1 && [dir, 'both'].includes(spec.dir)
    );
  });
  if (nic.lost?.[dir === 'a2b' ? 'out' : 'in'] === true) return false;
  return nic.linkUp && nic.connected !== false && vm.guest!.interfaces[index]!.isUp && !isBroken;
}

function isApart(world: NetFacts, a: FactVm, b: FactVm): boolean {
  return world.faults.some(({ spec }) => {
    if (spec.kind !== 'partition') return false;
    const group = (vm: FactVm) => spec.groups.findIndex((names) => names.includes(vm.name.split('/')[1]!));
    return group(a) !== group(b);
  });
}

function isAllowed(world: NetFacts, network: string, source: string, to: string, port: number): boolean {
  const acl = world.networks.find(({ name }) => name === network)!.acl;
  if (acl === undefined) return true;
  const is = (end: string, address: string) =>
    end === 'any' ||
    end === address ||
    world.vms.some(
      ({ name, nics }) => name === end && nics.some((nic) => nic.address === address || nic.address6 === address),
    );
  const rule = acl.rules.find(
    ({ from, to: end, protocol, ports }) =>
      is(from, source) &&
      is(end, to) &&
      protocol !== 'udp' &&
      (ports === undefined || (ports.from <= port && port <= ports.to)),
  );
  return (rule?.action ?? acl.default) === 'allow';
}

import type { AclRule, Network, NetworkMode, Vm } from '@skerry/api';

/** What there is, as the networks case holds it to be, and as the daemon says. Pure. */

export interface World {
  readonly networks: Map<string, NetworkOf>;
  readonly vms: Map<string, VmOf>;
  /** `web:eth0`, while it runs. */
  readonly captures: Set<string>;
}

export interface NetworkOf {
  mode: NetworkMode;
  subnet: string | undefined;
  ipv6: string | undefined;
  dhcpRange: string | undefined;
  /** '127.0.0.1:4711/tcp web:80' */
  forwards: string[];
  aclDefault: 'allow' | 'deny';
  rules: AclRule[];
  /** '10.250.1.0/24 via 10.97.0.50' */
  routes: string[];
  /** What of it does not hold. */
  message: string | undefined;
}

export interface VmOf {
  state: string;
  /** 'PID STARTTIME'; undefined in a model: not known yet. */
  process: string | undefined;
  /** NIC devices of its machine while it runs; undefined in a model: not known yet. */
  devices: number | undefined;
  /** By number: N of ethN. */
  readonly nics: Map<number, NicOf>;
}

export interface NicOf {
  network: string;
  vlan: number | undefined;
  rateKbit: number | undefined;
  link: 'up' | 'down';
  /** undefined in a model: not known yet. */
  address: string | undefined;
  pending: string | undefined;
}

export const NOTHING_RUNS = '';

export function emptyWorld(): World {
  return { networks: new Map(), vms: new Map(), captures: new Set() };
}

export function emptyNetwork(mode: NetworkMode): NetworkOf {
  return {
    mode,
    subnet: undefined,
    ipv6: undefined,
    dhcpRange: undefined,
    forwards: [],
    aclDefault: 'allow',
    rules: [],
    routes: [],
    message: undefined,
  };
}

export function worldOf(networks: readonly Network[], vms: readonly Vm[], captures: readonly string[]): World {
  return {
    networks: new Map(networks.map((network) => [network.name, networkOf(network)])),
    vms: new Map(vms.map((vm) => [vm.name, vmOf(vm)])),
    captures: new Set(captures),
  };
}

function networkOf({ spec, status }: Network): NetworkOf {
  const { mode, subnet, ipv6, dhcpRange, forwards = [], acl, routes = [] } = spec;
  return {
    mode,
    subnet,
    ipv6,
    dhcpRange: dhcpRange === undefined ? undefined : `${dhcpRange.from}-${dhcpRange.to}`,
    forwards: forwards.map((each) => forwardText(each)),
    aclDefault: acl?.default ?? 'allow',
    rules: acl?.rules ?? [],
    routes: routes.map(({ to, via }) => `${to} via ${via}`),
    message: status.message,
  };
}

function vmOf({ spec, status }: Vm): VmOf {
  const { process, start, nics } = status;
  const isUp = process !== undefined;
  return {
    state: status.state,
    process: isUp ? `${process.pid} ${process.startTime}` : NOTHING_RUNS,
    devices: isUp ? start?.nicDevices : undefined,
    nics: new Map(
      nics.map(({ network, address, pending, index }, place) => {
        const { vlan, rateKbit, link = 'up' } = spec.nics[place] ?? { network };
        return [index ?? place, { network, address, vlan, rateKbit, link, pending: pending?.what }];
      }),
    ),
  };
}

export interface ForwardOf {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly protocol: 'tcp' | 'udp';
  readonly vm: string;
  readonly guestPort: number;
}

export function forwardText({ hostAddress, hostPort, protocol, vm, guestPort }: ForwardOf): string {
  return `${hostAddress}:${hostPort}/${protocol} ${vm}:${guestPort}`;
}

/** What the model can not know before is taken as it is found. */
export function learned(model: World, found: World): World {
  const vms = [...model.vms].map(([name, vm]): [string, VmOf] => {
    const other = found.vms.get(name);
    const nics = [...vm.nics].map(([index, nic]): [number, NicOf] => [
      index,
      { ...nic, address: nic.address ?? other?.nics.get(index)?.address },
    ]);
    const process = vm.process ?? other?.process;
    return [name, { ...vm, process, devices: vm.devices ?? other?.devices, nics: new Map(nics) }];
  });
  return { ...model, vms: new Map(vms) };
}

/** One line for each thing that is other than it should be; none: they are the same. */
export function differences(wanted: World, found: World): string[] {
  const [a, b] = [facts(wanted), facts(found)];
  return [...new Set([...a.keys(), ...b.keys()])].toSorted().flatMap((key) => {
    const [should, is] = [a.get(key) ?? 'absent', b.get(key) ?? 'absent'];
    return should === is ? [] : [`${key} is ${is}, and should be ${should}`];
  });
}

function facts({ networks, vms, captures }: World): Map<string, string> {
  const all = new Map<string, string>();
  for (const [name, network] of networks) {
    const { rules, ...plain } = network;
    all.set(`network ${name}`, JSON.stringify({ ...plain, rules: rules.map((rule) => ruleText(rule)) }));
  }
  for (const [name, { state, process, devices, nics }] of vms) {
    all.set(`vm ${name}`, `${state} (${process}, ${devices} devices)`);
    for (const [index, nic] of nics) {
      const { network, vlan, rateKbit, link, address, pending } = nic;
      all.set(`nic ${name}:eth${index}`, JSON.stringify({ network, vlan, rateKbit, link, address, pending }));
    }
  }
  for (const nic of captures) all.set(`capture ${nic}`, 'running');
  return all;
}

function ruleText({ id, action, from, to, protocol }: AclRule): string {
  return `${id}: ${action} ${protocol ?? 'all'} ${from} ${to}`;
}

/** What is done to frames on purpose, at the time that is asked about. */
export interface Disturbance {
  /** `web:eth0` */
  readonly nics?: readonly string[];
  /** Names of VMs. */
  readonly groups?: ReadonlyArray<readonly string[]>;
}

export interface Path {
  readonly from: string;
  readonly to: string;
  /** Of the NIC that is pinged. */
  readonly address: string;
  readonly network: string;
  readonly fromNic: string;
  readonly toNic: string;
  readonly isOpen: boolean;
}

/** Every address of a VM that runs, as seen from every other one, and whether it answers a ping; disturbances apart. */
export function paths({ networks, vms }: World): Path[] {
  const running = [...vms].filter(([, { state }]) => state === 'running');
  return running.flatMap(([from, a]) =>
    running.flatMap(([to, b]) =>
      from === to
        ? []
        : [...b.nics].map(([index, nic]): Path => {
            const [place, own] = [...a.nics].find(([, each]) => each.network === nic.network) ?? [];
            const network = networks.get(nic.network);
            const isOpen =
              own !== undefined &&
              network !== undefined &&
              own.link === 'up' &&
              nic.link === 'up' &&
              own.vlan === nic.vlan &&
              allows(network, from, to);
            const fromNic = place === undefined ? '' : `${from}:eth${place}`;
            return {
              from,
              to,
              address: nic.address ?? '',
              network: nic.network,
              fromNic,
              toNic: `${to}:eth${index}`,
              isOpen,
            };
          }),
    ),
  );
}

/** A ping: the first rule that fits decides. A link has no rules. */
function allows({ rules, aclDefault }: NetworkOf, from: string, to: string): boolean {
  const fits = (rule: AclRule): boolean =>
    (rule.from === 'any' || rule.from === from) &&
    (rule.to === 'any' || rule.to === to) &&
    (rule.protocol ?? 'icmp') === 'icmp';
  return (rules.find(fits)?.action ?? aclDefault) === 'allow';
}

export function isDisturbed({ from, to, fromNic, toNic }: Path, { nics = [], groups = [] }: Disturbance): boolean {
  if (nics.includes(fromNic) || nics.includes(toNic)) return true;
  const groupOf = (vm: string): number => groups.findIndex((group) => group.includes(vm));
  return groups.length > 0 && groupOf(from) !== -1 && groupOf(to) !== -1 && groupOf(from) !== groupOf(to);
}

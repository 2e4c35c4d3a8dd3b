import type { AclRule } from '@skerry/api';
import type { Segment, SegmentAclRule } from '@skerry/switch';
import { describeRule } from './acl-change-plan.ts';
import { segmentFor, type HostFacts, type PlannedNetwork, type PlannedVm } from './plan.ts';

/** What the switch enforces for a network, from the very configuration that it is given, for people to read. Pure. */

/** @param vms all that are plugged in somewhere */
export function rulesetText(network: PlannedNetwork, vms: readonly PlannedVm[], host: HostFacts): string {
  const segment = segmentFor(network, vms, host);
  const sections: ReadonlyArray<readonly [string, readonly string[]]> = [
    [`network ${network.name}`, placeLines(network, segment)],
    ['what each NIC may send from', nicLines(network, vms, segment)],
    ['never, whatever the rules below say', segment.kind === 'link' ? [] : NEVER],
    ['rules, the first that fits decides', aclLines(network, segment)],
    ['way out', wayOutLines(segment)],
    ['forwards', forwardLines(network, segment)],
    ['routes that its VMs are told', (network.routes ?? []).map(({ to, via }) => `${to} via ${via}`)],
  ];
  return sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => [title, ...lines.map((line) => `  ${line}`), ''].join('\n'))
    .join('\n');
}

const NEVER: readonly string[] = [
  'drop frames from the MAC of another, ARP and IP from the address of another (a router may send from any)',
  "drop a guest's answers of DHCP",
  'drop what is neither IPv4 nor ARP, unless the network has IPv6',
];

function placeLines({ mode, name: _, mtu }: PlannedNetwork, { subnet, gateway, ipv6, kind }: Segment): string[] {
  return [
    `mode ${mode}, user datapath`,
    `subnet ${subnet}${kind === 'link' ? '' : `, gateway ${gateway}`}`,
    ...(ipv6 === undefined ? [] : [`subnet ${ipv6.subnet}, gateway ${ipv6.gateway}`]),
    ...(mtu === undefined ? [] : [`mtu ${mtu}`]),
  ];
}

function nicLines({ id }: PlannedNetwork, vms: readonly PlannedVm[], { ports }: Segment): string[] {
  const lines = vms.flatMap((vm) =>
    vm.nics.flatMap((nic, place) => {
      const index = nic.index ?? place;
      const port = ports.find((each) => each.id === `${vm.id}/${index}`);
      if (nic.networkId !== id || port === undefined) return [];
      const addresses = port.router === true ? ['any address: it is a router'] : [nic.address, nic.address6 ?? ''];
      const marks = [
        ...addresses.filter((each) => each !== ''),
        ...(port.vlan === undefined ? [] : [`vlan ${port.vlan}`]),
        ...(port.trunk === undefined ? [] : [`trunk ${port.trunk.map(({ from, to }) => `${from}-${to}`).join(', ')}`]),
        ...(port.rateKbit === undefined ? [] : [`limit ${port.rateKbit} kbit/s`]),
        ...(port.linkUp ? [] : ['link down']),
      ];
      return [`${vm.name}:eth${index} ${port.mac} ${marks.join(' ')}`];
    }),
  );
  return lines.length === 0 ? ['no VM is running on it'] : lines.toSorted();
}

function aclLines({ acl }: PlannedNetwork, segment: Segment): string[] {
  if (acl === undefined) return ['allow all: it has no rules'];
  return [
    ...acl.rules.map((rule) =>
      ruleLine(
        rule,
        segment.acl?.rules.find(({ id }) => id === rule.id),
      ),
    ),
    `${acl.default} all else`,
  ];
}

/** As it was asked for, and the addresses that it comes to. */
function ruleLine(rule: AclRule, carried: SegmentAclRule | undefined): string {
  const line = `${rule.id ?? 0}: ${describeRule(rule)}`;
  if (carried === undefined) return `${line} (fits nothing: a VM that it names is not running)`;
  const ends = [carried.from, carried.to].map((addresses) => addresses?.join(' ') ?? 'any');
  const isPlain = ends[0] === rule.from && ends[1] === rule.to;
  return isPlain ? line : `${line} (${ends.join(' -> ')})`;
}

function wayOutLines({ egress, hostAddresses, upstreamDns, kind }: Segment): string[] {
  if (kind === 'link') return [];
  if (egress === undefined) return ['none: names of the outside are refused, packets to it are dropped'];
  return [
    `through this host, but never to ${hostAddresses.join(', ')}, nor to another network of VMs`,
    `names of the outside: ${upstreamDns.length === 0 ? 'refused' : upstreamDns.join(', ')}`,
  ];
}

function forwardLines({ forwards = [] }: PlannedNetwork, { udpForwards = [] }: Segment): string[] {
  return forwards.map(({ protocol, hostAddress, hostPort, vm, guestPort }) => {
    const isCarried = udpForwards.some((each) => each.hostAddress === hostAddress && each.hostPort === hostPort);
    const how = protocol === 'tcp' ? 'through its agent' : isCarried ? 'by the switch' : 'when it runs';
    return `${protocol} ${hostAddress}:${hostPort} -> ${vm}:${guestPort}, ${how}`;
  });
}

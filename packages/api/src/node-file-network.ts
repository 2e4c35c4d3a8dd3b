import { z } from 'zod';
import { Name } from './names.ts';
import { NetworkMode, NetworkSpec } from './network.ts';
import { checkNic, Mac, Vlan, type DeclaredNic, type Nic, type VlanRange } from './nic.ts';
import type { NodeSpecInput } from './node.ts';
import { formatRate, parseRateKbit } from './rate.ts';

/** Networks and NICs as a person writes them in a node file, and what they mean. */

const Port = z.int().min(1).max(65_535);
const HOST_END = /^[0-9a-fA-F.:[\]]+:\d+$/;
const RANGE = /^(\d+)(?:-(\d+))?$/;
const spec = NetworkSpec.shape;

export const FileForward = z.strictObject({
  host: z.union([Port, z.string().regex(HOST_END, 'write PORT or ADDRESS:PORT')]),
  to: z.string().regex(/^[a-z0-9-]+:\d+$/, 'write VM:PORT'),
  /** UDP goes in through the network that the VM's first NIC is on. */
  proto: z.enum(['tcp', 'udp']).optional(),
});
export type FileForward = z.infer<typeof FileForward>;

const FileRule = z.strictObject({
  action: z.enum(['allow', 'deny']),
  /** `any`, a VM of this node, NODE/VM, an address or a range. */
  from: z.string().optional(),
  to: z.string().optional(),
  proto: z.enum(['tcp', 'udp', 'icmp']).optional(),
  /** Of the destination. */
  port: z.union([Port, z.string().regex(RANGE, 'write a port or a range, such as 8000-8099')]).optional(),
  /** VM:eth0 */
  nic: z.string().optional(),
});

export const FileNetwork = z.strictObject({
  /** Links are declared apart. */
  mode: NetworkMode.exclude(['link']).optional(),
  /** False: the VMs reach each other and nothing else. */
  egress: z.boolean().optional(),
  subnet: spec.subnet,
  ipv6: spec.ipv6,
  mtu: spec.mtu,
  /** Default: the node's name. */
  domain: spec.domain,
  dhcpRange: z
    .string()
    .regex(/^[\d.]+-[\d.]+$/, 'write the first and the last address, such as 10.0.0.10-10.0.0.99')
    .optional(),
  parent: spec.parent,
  vni: spec.vni,
  peers: spec.peers,
  datapath: spec.datapath,
  acl: z
    .strictObject({ default: z.enum(['allow', 'deny']).optional(), rules: z.array(FileRule).max(1000).optional() })
    .optional(),
  forward: z.array(FileForward).optional(),
  /** Told to its VMs. */
  routes: spec.routes,
});
export type FileNetwork = z.infer<typeof FileNetwork>;

export const FileNic = z
  .strictObject({
    network: Name,
    mac: Mac.optional(),
    address: z.ipv4().optional(),
    vlan: Vlan.optional(),
    /** `10-20`, or several such ranges. */
    trunk: z.union([FileRange(), z.array(FileRange()).max(64)]).optional(),
    limit: z
      .union([z.string(), z.number()])
      .superRefine((value, context) => {
        try {
          parseRateKbit(String(value));
        } catch {
          context.addIssue({ code: 'custom', message: `'${value}' is not a rate: write 512kbit, 50mbit or 1gbit` });
        }
      })
      .optional(),
    link: z.enum(['up', 'down']).optional(),
  })
  .superRefine(checkNic);
export type FileNic = z.infer<typeof FileNic>;

function FileRange() {
  return z.union([Vlan, z.string().regex(RANGE, 'write a VLAN or a range, such as 10-20')]);
}

export function nicOf({ trunk, limit, ...nic }: FileNic): Nic {
  const ranges = trunk === undefined ? undefined : Array.isArray(trunk) ? trunk : [trunk];
  return {
    ...nic,
    ...(ranges === undefined ? {} : { trunk: ranges.map(rangeOf) }),
    ...(limit === undefined ? {} : { rateKbit: parseRateKbit(String(limit)) }),
  };
}

/** What `nicOf` reads back as this NIC. */
export function fileNicOf({ trunk, rateKbit, link, ...nic }: DeclaredNic): z.input<typeof FileNic> {
  return {
    ...nic,
    ...(trunk === undefined ? {} : { trunk: trunk.map(rangeTextOf) }),
    ...(rateKbit === undefined ? {} : { limit: formatRate(rateKbit) }),
    ...(link === undefined ? {} : { link }),
  };
}

function rangeTextOf({ from, to }: VlanRange): number | string {
  return from === to ? from : `${from}-${to}`;
}

export function networkOf(file: FileNetwork): NonNullable<NodeSpecInput['networks']>[string] {
  const { dhcpRange, acl, forward = [], ...network } = file;
  const [from = '', to = ''] = dhcpRange?.split('-') ?? [];
  return {
    ...network,
    ...(dhcpRange === undefined ? {} : { dhcpRange: { from, to } }),
    ...(acl === undefined ? {} : { acl: { ...acl, rules: (acl.rules ?? []).map(ruleOf) } }),
    ...(forward.length === 0 ? {} : { forwards: forward.map(forwardOf) }),
  };
}

function ruleOf({ proto, port, ...rule }: z.infer<typeof FileRule>) {
  return {
    ...rule,
    ...(proto === undefined ? {} : { protocol: proto }),
    ...(port === undefined ? {} : { ports: rangeOf(port) }),
  };
}

/** 80, '80', '8000-8099' */
function rangeOf(text: number | string): { from: number; to: number } {
  const [, from = '', to = from] = RANGE.exec(String(text)) ?? [];
  return { from: Number(from), to: Number(to) };
}

/** Into a network. */
export function forwardOf({ host, to, proto }: FileForward) {
  const [vm = '', port = ''] = to.split(':');
  return { ...hostEndOf(host), vm, guestPort: Number(port), ...(proto === undefined ? {} : { protocol: proto }) };
}

export function hostEndOf(host: number | string): { hostPort: number; hostAddress?: string } {
  if (typeof host === 'number') return { hostPort: host };
  const colon = host.lastIndexOf(':');
  return { hostAddress: host.slice(0, colon).replace(/[[\]]/g, ''), hostPort: Number(host.slice(colon + 1)) };
}

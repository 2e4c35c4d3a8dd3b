import { z } from 'zod';
import { VmRef } from './names.ts';
import { Port } from './port.ts';

/** Networks: what is asked of one, and what it is. NICs are in `nic.ts`, impairments in `fault.ts`. */

/**
 * nat: reaches out through the host, not into it; host-only: reaches the host and nothing beyond; isolated: only its own
 * VMs; bridged: on an interface of the host; overlay: across hosts (VXLAN); link: a wire between two NICs.
 */
export const NETWORK_MODES = ['nat', 'host-only', 'isolated', 'bridged', 'overlay', 'link'] as const;
export const NetworkMode = z.enum(NETWORK_MODES);
export type NetworkMode = z.infer<typeof NetworkMode>;

export const Protocol = z.enum(['tcp', 'udp']);
export type Protocol = z.infer<typeof Protocol>;

/** First and last address that DHCP gives to guests that we know nothing of. */
export const DhcpRange = z.strictObject({ from: z.ipv4(), to: z.ipv4() });
export type DhcpRange = z.infer<typeof DhcpRange>;

export const NetworkForward = z.strictObject({
  hostAddress: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  hostPort: Port,
  vm: VmRef,
  guestPort: Port,
  protocol: Protocol.default('tcp'),
});
export type NetworkForward = z.infer<typeof NetworkForward>;

/** `any`, a VM, an address or a range. */
export const AclEnd = z.union([z.literal('any'), VmRef, z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** The first rule that fits a packet decides; answers to what was let through pass (connections are tracked). */
export const AclRule = z.strictObject({
  /** Given by us when it is added: 1, 2, ... */
  id: z.int().min(1).optional(),
  action: z.enum(['allow', 'deny']),
  from: AclEnd.default('any'),
  to: AclEnd.default('any'),
  /** Absent: every protocol. */
  protocol: z.enum(['tcp', 'udp', 'icmp']).optional(),
  /** Of the destination; a first and a last one. */
  ports: z.strictObject({ from: Port, to: Port }).optional(),
  /** Only for what enters or leaves this NIC, such as web:eth0. */
  nic: z.string().optional(),
});
export type AclRule = z.infer<typeof AclRule>;

export const Acl = z.strictObject({
  default: z.enum(['allow', 'deny']).default('allow'),
  rules: z.array(AclRule).max(1000).default([]),
});
export type Acl = z.infer<typeof Acl>;

export const Route = z.strictObject({
  to: z.union([z.cidrv4(), z.cidrv6()]),
  via: z.union([z.ipv4(), z.ipv6()]),
});
export type Route = z.infer<typeof Route>;

export const MIN_MTU = 576;
export const MAX_MTU = 9216;
export const MAX_VNI = 0xff_ffff;

export const NetworkSpec = z.strictObject({
  mode: NetworkMode.default('nat'),
  subnet: z.cidrv4().optional(),
  domain: z.string().max(253).optional(),
  /** A /64 whose addresses its VMs get as well. */
  ipv6: z.cidrv6().optional(),
  dhcpRange: DhcpRange.optional(),
  mtu: z.int().min(MIN_MTU).max(MAX_MTU).optional(),
  /** Of a bridged one: the interface of the host. */
  parent: z
    .string()
    .regex(/^[^\s/]{1,15}$/, { message: 'not the name of an interface' })
    .optional(),
  /** Of an overlay: the number that all hosts give it (RFC 7348 section 5), and the addresses of the other hosts. */
  vni: z.int().min(1).max(MAX_VNI).optional(),
  peers: z
    .array(z.union([z.ipv4(), z.ipv6()], { error: 'not an address of IPv4 or IPv6' }))
    .max(256)
    .optional(),
  forwards: z.array(NetworkForward).max(256).optional(),
  acl: Acl.optional(),
  /** Told to its VMs. */
  routes: z.array(Route).max(64).optional(),
  /** Who carries its frames; by default what the mode needs. */
  datapath: z.enum(['user', 'kernel']).optional(),
});
export type NetworkSpec = z.infer<typeof NetworkSpec>;
export type NetworkSpecInput = z.input<typeof NetworkSpec>;

/** Of a bridged network: what of its interface of the host is at the bridge now, and goes back when the network is deleted. */
export const Uplink = z.object({
  bridge: z.string(),
  mac: z.string(),
  mtu: z.int(),
  /** With their prefix. */
  addresses: z.array(z.string()),
  /** As ip-route(8) takes them, without the interface. */
  routes: z.array(z.string()),
  /** Until it is confirmed all of it goes back by itself at `rollbackAt`. */
  confirmed: z.boolean(),
  rollbackAt: z.iso.datetime().optional(),
});
export type Uplink = z.infer<typeof Uplink>;

export const NetworkStatus = z.object({
  subnet: z.string(),
  gateway: z.string(),
  datapath: z.enum(['user', 'kernel']),
  /** The /64, and the gateway's address in it. */
  ipv6: z.object({ subnet: z.string(), gateway: z.string() }).optional(),
  uplink: Uplink.optional(),
  /** What of it does not hold at the moment, and why. */
  message: z.string().optional(),
});
export type NetworkStatus = z.infer<typeof NetworkStatus>;

/** An address, and who has it. */
export const Lease = z.object({
  address: z.string(),
  mac: z.string(),
  vm: z.string().optional(),
  nic: z.string().optional(),
  /** `fixed`: for as long as there is the VM; `dhcp`: asked for by a guest. */
  kind: z.enum(['fixed', 'dhcp']),
  expiresAt: z.iso.datetime().optional(),
});
export type Lease = z.infer<typeof Lease>;

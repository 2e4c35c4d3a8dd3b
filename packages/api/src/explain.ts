import { z } from 'zod';
import { VmRef } from './names.ts';
import { Port } from './port.ts';

/** Whether one end reaches another, and if not, why. */

/** A VM, `host` (this host, unless a VM is called so), or an address: one of a VM's, or any other. */
export const ExplainEnd = z.union([z.ipv4(), z.ipv6(), VmRef]);

export const ExplainAsk = z.strictObject({
  /** Not both of them are others than VMs. */
  from: ExplainEnd,
  to: ExplainEnd,
  /** Of `to`; absent: whether it can be pinged. */
  port: Port.optional(),
  /** Of the port. */
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  /** By the IPv6 address of a VM that is named. */
  ipv6: z.boolean().default(false),
});
export type ExplainAsk = z.infer<typeof ExplainAsk>;

/**
 * What is at fault: a VM (it does not run), a NIC (its link, or the guest's interface), a link or NIC by a fault, the switch's
 * port of a NIC, an address or route in a guest, a router, a VLAN, a rule, the network itself, the host, or the service.
 */
export const CAUSE_KINDS = [
  'vm',
  'nic',
  'fault',
  'port',
  'address',
  'route',
  'router',
  'vlan',
  'acl',
  'network',
  'host',
  'service',
] as const;

export const ExplainCause = z.object({
  kind: z.enum(CAUSE_KINDS),
  /** What it is about: a VM, web:eth0, the name of a network or fault, a rule as NETWORK/ID. */
  at: z.string(),
  message: z.string(),
  /** What to type. */
  remedy: z.string(),
});
export type ExplainCause = z.infer<typeof ExplainCause>;

export const Explanation = z.object({
  /** `unknown`: as far as we see, nothing is in the way, but we do not see all of it. */
  reachable: z.enum(['yes', 'no', 'unknown']),
  /** From the first end on, as far as it goes; what comes back is told only where it fails. */
  path: z.array(z.object({ at: z.string(), text: z.string() })),
  cause: ExplainCause.optional(),
  /** What was not looked at. */
  notes: z.array(z.string()),
});
export type Explanation = z.infer<typeof Explanation>;

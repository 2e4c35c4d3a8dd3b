import { z } from 'zod';
import { LabelsInput, Title } from './label-schema.ts';
import { Name, VmRef } from './names.ts';
import { Acl, AclRule, NetworkForward, NetworkSpec, Protocol, Route } from './network.ts';
import { Port } from './port.ts';

/** What is asked with verbs on networks. */

export const NetworkCreate = NetworkSpec.extend({
  name: Name,
  title: Title.optional(),
  labels: LabelsInput.default({}),
  /** Of a bridged one: true: it need not be confirmed; otherwise it is taken back after that time unless it is. */
  confirm: z.boolean().optional(),
  confirmWithinMs: z.int().min(1000).max(3_600_000).optional(),
});
export type NetworkCreate = z.infer<typeof NetworkCreate>;
export type NetworkCreateInput = z.input<typeof NetworkCreate>;

/** The end at the host tells forwards apart. */
export const ForwardKey = z.strictObject({
  hostAddress: NetworkForward.shape.hostAddress,
  hostPort: z.coerce.number().pipe(Port),
  protocol: Protocol.default('tcp'),
});
export type ForwardKey = z.infer<typeof ForwardKey>;

/** Its number is ours to give. */
export const AclAdd = AclRule.omit({ id: true });
export type AclAdd = z.infer<typeof AclAdd>;
export const AclDefault = Acl.pick({ default: true }).required();

/** Without `via`: the router that is on the network. */
export const RouteAdd = Route.extend({ via: z.union([Route.shape.via, VmRef]).optional() });
export type RouteAdd = z.infer<typeof RouteAdd>;
export const RouteKey = Route.pick({ to: true });

/** What a network enforces, to be read by a person. */
export const Ruleset = z.object({ datapath: z.enum(['user', 'kernel']), text: z.string() });
export type Ruleset = z.infer<typeof Ruleset>;

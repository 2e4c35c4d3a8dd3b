import { z } from 'zod';
import { Name } from './names.ts';
import { ImageRecipe } from './recipe.ts';
import { VmSpec } from './vm.ts';

/** A node: VMs declared, started and stopped as one. This is the normal form; the file a person writes is `node-file.ts`. */

export const Dependency = z.strictObject({
  vm: Name,
  /** `started`: its agent answers; `healthy`: its health check passes as well. */
  condition: z.enum(['started', 'healthy']).default('started'),
});
export type Dependency = z.infer<typeof Dependency>;

export const NodeVm = VmSpec.omit({ power: true, restarts: true, ephemeral: true }).extend({
  dependsOn: z.array(Dependency).max(256).default([]),
});
export type NodeVm = z.infer<typeof NodeVm>;

export const NodeNetwork = z.strictObject({
  subnet: z.cidrv4().optional(),
  /** False: the VMs reach each other and nothing else. */
  egress: z.boolean().default(true),
});
export type NodeNetwork = z.infer<typeof NodeNetwork>;

export const NodeSpec = z.strictObject({
  vms: z.record(Name, NodeVm),
  /** Inside the node: the network `shop-front` of a VM is written `front` here. */
  networks: z.record(Name, NodeNetwork).default({}),
  /** Images that are built from these recipes if they are not there: image name -> recipe. */
  recipes: z.record(Name, ImageRecipe).default({}),
  power: z.enum(['up', 'down']).default('up'),
});
export type NodeSpec = z.infer<typeof NodeSpec>;
export type NodeSpecInput = z.input<typeof NodeSpec>;

export const NodeState = z.enum(['down', 'starting', 'up', 'degraded', 'stopping']);
export type NodeState = z.infer<typeof NodeState>;

export const NodeStatus = z.object({
  state: NodeState,
  message: z.string().optional(),
  /** VM name inside the node -> id of its VM resource. */
  vms: z.record(z.string(), z.string()),
});
export type NodeStatus = z.infer<typeof NodeStatus>;

/** One step of what `up` would do, as `--dry-run` prints it. */
export const PlanStep = z.object({
  action: z.enum(['build', 'create', 'replace', 'update', 'start', 'restart', 'stop', 'delete', 'keep']),
  kind: z.enum(['image', 'network', 'vm']),
  name: z.string(),
  /** What differs, in words. */
  why: z.string().optional(),
});
export type PlanStep = z.infer<typeof PlanStep>;

export const NodeUp = z.strictObject({ name: Name, spec: NodeSpec });
export type NodeUp = z.infer<typeof NodeUp>;
export type NodeUpInput = z.input<typeof NodeUp>;

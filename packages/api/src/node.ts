import { z } from 'zod';
import { LabelsInput, Title } from './label-schema.ts';
import { Name } from './names.ts';
import { NetworkMode, NetworkSpec } from './network.ts';
import { Direction, Impairment } from './fault.ts';
import { ImageRecipe } from './recipe.ts';
import { Autostart } from './vm-life.ts';
import { VmSpec } from './vm.ts';

/** A node: VMs declared, started and stopped as one. This is the normal form; the file a person writes is `node-file.ts`. */

export const Dependency = z.strictObject({
  vm: Name,
  /** `started`: its agent answers; `healthy`: its health check passes as well. */
  condition: z.enum(['started', 'healthy']).default('started'),
});
export type Dependency = z.infer<typeof Dependency>;

/** Of one VM. */
export const MAX_REPLICAS = 100;

export const NodeVm = VmSpec.omit({
  power: true,
  restarts: true,
  ephemeral: true,
  autostart: true,
  protected: true,
}).extend({
  title: Title.optional(),
  labels: LabelsInput.default({}),
  dependsOn: z.array(Dependency).max(256).default([]),
  /** How many of it there are: web, web-2, web-3, ... Absent: as many as there were, one at first. */
  replicas: z.int().min(0).max(MAX_REPLICAS).optional(),
});
export type NodeVm = z.infer<typeof NodeVm>;

/** A network; VMs of the node are named in its rules as they are inside of it, those of others as NODE/VM. */
export const NodeNetwork = NetworkSpec.omit({ mode: true }).extend({
  /** `link`: a wire, on which two VMs have a NIC each. Absent: `nat`, or `isolated` without egress. */
  mode: NetworkMode.optional(),
  /** False: the VMs reach each other and nothing else. */
  egress: z.boolean().default(true),
});
export type NodeNetwork = z.infer<typeof NodeNetwork>;

/** What frames of a NIC go through for as long as it is declared; of a VM with replicas, of each. */
export const NodeImpair = z.strictObject({
  nic: z.string().regex(/^[a-z0-9-]+:eth[0-7]$/, 'write VM:ethN, such as web:eth0'),
  dir: Direction.default('both'),
  impairment: Impairment,
  seed: z.int().min(0).max(0xffff_ffff).optional(),
});
export type NodeImpair = z.infer<typeof NodeImpair>;

export const NodeSpec = z.strictObject({
  vms: z.record(Name, NodeVm),
  /** Inside the node: the network `shop-front` of a VM is written `front` here. */
  networks: z.record(Name, NodeNetwork).default({}),
  /** Images that are built from these recipes if they are not there: image name -> recipe. */
  recipes: z.record(Name, ImageRecipe).default({}),
  impair: z.array(NodeImpair).max(256).optional(),
  /** Deleted only with `force`. */
  protected: z.boolean().optional(),
  power: z.enum(['up', 'down']).default('up'),
  /** When absent, an `up` leaves it as it was; default `last`. */
  autostart: Autostart.optional(),
});
export type NodeSpec = z.infer<typeof NodeSpec>;
export type NodeSpecInput = z.input<typeof NodeSpec>;

export const NodeState = z.enum(['down', 'starting', 'up', 'degraded', 'stopping']);
export type NodeState = z.infer<typeof NodeState>;

/** What is being done with it, as the next daemon has to know it to go on. */
export const NodeWork = z.discriminatedUnion('kind', [
  /** VMs as they are declared, or replicas. */
  z.strictObject({ kind: z.literal('scale'), vms: z.array(z.string()) }),
  z.strictObject({ kind: z.literal('restart'), vms: z.array(z.string()) }),
  z.strictObject({ kind: z.literal('update'), images: z.record(z.string(), z.string()), batch: z.int() }),
  z.strictObject({ kind: z.literal('restore'), save: z.string() }),
  z.strictObject({ kind: z.literal('delete') }),
]);
export type NodeWork = z.infer<typeof NodeWork>;

export const NodeStatus = z.object({
  state: NodeState,
  message: z.string().optional(),
  work: NodeWork.optional(),
  /** VM name inside the node -> id of its VM resource. */
  vms: z.record(z.string(), z.string()),
});
export type NodeStatus = z.infer<typeof NodeStatus>;

/** One step of what `up` would do, as `--dry-run` prints it. */
export const PlanStep = z.object({
  action: z.enum(['build', 'create', 'replace', 'update', 'start', 'restart', 'stop', 'delete', 'keep']),
  /** `node`: what is declared of the node itself, or of what its VMs do not have to take up. */
  kind: z.enum(['image', 'network', 'vm', 'node']),
  name: z.string(),
  /** What differs, in words. */
  why: z.string().optional(),
});
export type PlanStep = z.infer<typeof PlanStep>;

export const NodeUp = z.strictObject({
  name: Name,
  title: Title.optional(),
  labels: LabelsInput.default({}),
  spec: NodeSpec,
});
export type NodeUp = z.infer<typeof NodeUp>;
export type NodeUpInput = z.input<typeof NodeUp>;

import { z } from 'zod';
import { LabelKey, LabelValue, Title } from './label-schema.ts';
import { Name } from './names.ts';
import type { Nic } from './nic.ts';
import { PlanStep } from './node.ts';
import { Vm } from './resources.ts';
import { EnvName } from './secret.ts';
import { RestartPolicy, StopGracePeriodMs } from './vm-life.ts';
import { ArgvSchema, HealthCheck, VmCreate, VmSpec } from './vm.ts';

/** How a VM that is there is changed: field by field, or to what a declaration says. */

/** A merge patch (RFC 7396): what is absent stays, null takes it out. */
export const VmSet = z.strictObject({
  title: Title.nullable().optional(),
  labels: z.record(LabelKey, LabelValue.nullable()).optional(),
  cpus: VmSpec.shape.cpus.optional(),
  memoryMib: VmSpec.shape.memoryMib.optional(),
  kernel: VmSpec.shape.kernel.unwrap().optional(),
  env: z.record(EnvName, z.string().nullable()).optional(),
  command: ArgvSchema.nullable().optional(),
  health: HealthCheck.nullable().optional(),
  forwards: VmSpec.shape.forwards.unwrap().optional(),
  role: VmSpec.shape.role.unwrap().nullable().optional(),
  routes: VmSpec.shape.routes.unwrap().nullable().optional(),
  restart: RestartPolicy.nullable().optional(),
  stopGracePeriodMs: StopGracePeriodMs.nullable().optional(),
  cold: z.boolean().optional(),
  ephemeral: z.boolean().optional(),
  protected: z.boolean().optional(),
});
export type VmSet = z.infer<typeof VmSet>;
export type VmSetInput = z.input<typeof VmSet>;

export const VmRename = z.strictObject({ name: Name });
export type VmRename = z.infer<typeof VmRename>;

/** All that can be declared of a VM. `start` is about this call, and no part of it. */
export const VmDeclaration = VmCreate.omit({ start: true, ssh: true });
export type VmDeclaration = z.infer<typeof VmDeclaration>;

export const VmApply = z.strictObject({
  vm: VmDeclaration,
  /** What was read before it was edited: if it is something else by now, the answer is `conflict`. */
  base: VmDeclaration.optional(),
  /** Start it, if it does not run. */
  start: z.boolean().default(false),
});
export type VmApply = z.infer<typeof VmApply>;
export type VmApplyInput = z.input<typeof VmApply>;

export const VmChanged = z.object({
  vm: Vm,
  /** It was not there. */
  created: z.boolean(),
  /** Fields that are other than before. */
  changed: z.array(z.string()),
  /** Those of them that what runs does not take up: they count from its next start on. */
  atNextStart: z.array(z.string()),
});
export type VmChanged = z.infer<typeof VmChanged>;

export const VmPlan = z.object({ steps: z.array(PlanStep), atNextStart: z.array(z.string()) });
export type VmPlan = z.infer<typeof VmPlan>;

const OF_THE_HEADER = new Set(['name', 'title', 'labels', 'network', 'networks', 'nics']);
const DECLARED = Object.keys(VmDeclaration.shape).filter((key) => !OF_THE_HEADER.has(key));

/** What one would have to declare to get this VM. */
export function declarationOf({ name, title, labels, spec }: Vm): VmDeclaration {
  const fields = spec as Readonly<Record<string, unknown>>;
  const declared = DECLARED.filter((key) => fields[key] !== undefined).map((key) => [key, fields[key]]);
  return {
    ...(Object.fromEntries(declared) as Omit<VmDeclaration, 'name' | 'title' | 'labels' | 'networks' | 'nics'>),
    name,
    ...(title === undefined ? {} : { title }),
    labels,
    ...declaredNics(spec.nics),
  };
}

/** Shortly, where no NIC says more than its network. */
function declaredNics(nics: readonly Nic[]): Pick<VmDeclaration, 'networks' | 'nics'> {
  const declared = nics.map(({ index: _, ...nic }) => nic);
  const saysMore = declared.some((nic) => Object.values(nic).filter((value) => value !== undefined).length > 1);
  return saysMore ? { nics: declared } : { networks: declared.map(({ network }) => network) };
}

/** A declaration after a merge patch. What becomes undefined is absent. */
export function patched(declared: VmDeclaration, patch: VmSet): VmDeclaration {
  const { labels, env, ...whole } = patch;
  const merged: Record<string, unknown> = {
    ...declared,
    ...whole,
    labels: mergedRecord(declared.labels, labels),
    env: mergedRecord(declared.env, env),
  };
  return Object.fromEntries(
    Object.entries(merged).filter(([, value]) => value !== null && value !== undefined),
  ) as VmDeclaration;
}

function mergedRecord(
  before: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null | undefined>> = {},
): Record<string, string> {
  const entries = Object.entries({ ...before, ...patch });
  return Object.fromEntries(entries.flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : [])));
}

import { z } from 'zod';
import { VmRef } from './names.ts';

/** What is made to go wrong on purpose. A fault has an end, or is cleared; its seed makes it the same again. */

/** What becomes of frames in one direction. A loss of 1 % is 0.01. */
export const Impairment = z.strictObject({
  delayMs: z.number().min(0).max(60_000).optional(),
  jitterMs: z.number().min(0).max(60_000).optional(),
  loss: z.number().min(0).max(1).optional(),
  duplicate: z.number().min(0).max(1).optional(),
  reorder: z.number().min(0).max(1).optional(),
  corrupt: z.number().min(0).max(1).optional(),
  rateKbit: z.int().min(8).max(100_000_000).optional(),
});
export type Impairment = z.infer<typeof Impairment>;

export const VM_FAULTS = ['crash', 'freeze', 'cpu', 'memory', 'clock', 'disk-error', 'disk-latency'] as const;

export const FAULT_KINDS = ['impair', 'link-down', 'partition', ...VM_FAULTS] as const;
export const FaultKind = z.enum(FAULT_KINDS);
export type FaultKind = z.infer<typeof FaultKind>;

/** a2b: what the NIC sends; b2a: what it gets. */
export const Direction = z.enum(['a2b', 'b2a', 'both']);
export type Direction = z.infer<typeof Direction>;

const Seed = z.int().min(0).max(0xffff_ffff).optional();

export const FaultSpec = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('impair'),
    nic: z.string(),
    dir: Direction.default('both'),
    impairment: Impairment,
    seed: Seed,
  }),
  z.strictObject({ kind: z.literal('link-down'), nic: z.string() }),
  /** Names of the node's VMs; those that no group has are one more group. */
  z.strictObject({
    kind: z.literal('partition'),
    node: z.string(),
    groups: z.array(z.array(z.string()).min(1)).min(1),
  }),
  ...VM_FAULTS.map((kind) =>
    z.strictObject({
      kind: z.literal(kind),
      vm: VmRef,
      /** See `amountOf`. */
      amount: z.number().optional(),
      seed: Seed,
    }),
  ),
]);
export type FaultSpec = z.infer<typeof FaultSpec>;
export type FaultSpecInput = z.input<typeof FaultSpec>;
export type VmFaultKind = (typeof VM_FAULTS)[number];

export const MIN_FAULT_MS = 100;
export const MAX_FAULT_MS = 30 * 86_400_000;

export const FaultStart = z.strictObject({
  spec: FaultSpec,
  /** When it ends by itself; `forever`: only when it is cleared. A crash is over at once, and needs none. */
  forMs: z.union([z.int().min(MIN_FAULT_MS).max(MAX_FAULT_MS), z.literal('forever')]).optional(),
});
export type FaultStart = z.infer<typeof FaultStart>;
export type FaultStartInput = z.input<typeof FaultStart>;

export const FaultStatus = z.object({
  state: z.enum(['active', 'ended', 'failed']),
  startedAt: z.iso.datetime(),
  /** When it ends by itself. */
  endsAt: z.iso.datetime().optional(),
  endedAt: z.iso.datetime().optional(),
  /** As used, to make it the same again. */
  seed: z.int().optional(),
  /** As it was found to be once it had begun. */
  amount: z.number().optional(),
  /** Ids of the VMs that it is done to. */
  vms: z.array(z.string()),
  /** The same in their groups, of a partition. */
  groups: z.array(z.array(z.string())).optional(),
  /** The process that it ends with, of a fault of a machine. */
  process: z.object({ pid: z.int(), startTime: z.string() }).optional(),
  message: z.string().optional(),
});
export type FaultStatus = z.infer<typeof FaultStatus>;

/** A fault, as the status of its VM has it. */
export const VmFault = z.object({
  /** Its name. */
  fault: z.string(),
  kind: FaultKind,
  endsAt: z.iso.datetime().optional(),
});
export type VmFault = z.infer<typeof VmFault>;

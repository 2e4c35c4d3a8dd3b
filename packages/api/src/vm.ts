import { z } from 'zod';
import { GuestPath, Name } from './names.ts';

/** What a VM is asked to be, and what it is. */

export const MAX_CPUS = 64;
export const MIN_MEMORY_MIB = 32;
export const MAX_MEMORY_MIB = 1024 * 1024;

const Port = z.int().min(1).max(65_535);
const EnvName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { message: 'not a name of an environment variable' });
const NoNul = z.string().regex(/^[^\0]*$/, { message: 'a NUL byte can not be passed' });
export const Env = z.record(EnvName, NoNul);
export const ArgvSchema = z.array(NoNul).min(1).max(4096);

const checkTiming = {
  intervalMs: z.int().min(50).max(3_600_000).default(500),
  timeoutMs: z.int().min(50).max(600_000).default(5_000),
  /** Failures in a row that make it unhealthy, once the start period is over. */
  retries: z.int().min(1).max(100).default(3),
  /** Failures this soon after the start do not count. */
  startPeriodMs: z.int().min(0).max(3_600_000).default(60_000),
};

export const HealthCheck = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('exec'), argv: ArgvSchema, ...checkTiming }),
  z.strictObject({ kind: z.literal('tcp'), port: Port, ...checkTiming }),
  z.strictObject({
    kind: z.literal('http'),
    port: Port,
    path: z.string().startsWith('/').default('/'),
    status: z.int().min(100).max(599).default(200),
    ...checkTiming,
  }),
]);
export type HealthCheck = z.infer<typeof HealthCheck>;

/** A file put into the guest at every start, before its command. */
export const GuestFile = z.strictObject({
  path: GuestPath,
  contentBase64: z.base64(),
  mode: z.int().min(0).max(0o7777).default(0o644),
});
export type GuestFile = z.infer<typeof GuestFile>;

export const Forward = z.strictObject({
  /** The host's address that listens. */
  hostAddress: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  hostPort: Port,
  guestPort: Port,
});
export type Forward = z.infer<typeof Forward>;

export const Nic = z.strictObject({
  network: Name,
  mac: z
    .string()
    .regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/)
    .optional(),
  /** Without one, the network's next free address; it stays until the VM is deleted. */
  address: z.ipv4().optional(),
});
export type Nic = z.infer<typeof Nic>;

/** `suspended`: its memory is on disk, it has no process. */
export const Power = z.enum(['running', 'paused', 'stopped', 'suspended']);
export type Power = z.infer<typeof Power>;

export const VmSpec = z.strictObject({
  type: z.literal('microvm').default('microvm'),
  image: Name,
  cpus: z.int().min(1, 'a VM needs at least 1 CPU').max(MAX_CPUS),
  memoryMib: z.int().min(MIN_MEMORY_MIB, `a VM needs at least ${MIN_MEMORY_MIB} MiB`).max(MAX_MEMORY_MIB),
  /** Virtual size of its own disk; the image's when absent. */
  diskMib: z
    .int()
    .min(16)
    .max(64 * 1024 * 1024)
    .optional(),
  /** `auto`: ours when it is built, the distribution's until then. */
  kernel: z.enum(['auto', 'micro', 'distro']).default('auto'),
  env: Env.default({}),
  files: z.array(GuestFile).max(256).default([]),
  /** A long-running process that the agent keeps; the image's when absent. */
  command: ArgvSchema.optional(),
  health: HealthCheck.optional(),
  nics: z
    .array(Nic)
    .max(8)
    .default([{ network: 'default' }]),
  forwards: z.array(Forward).max(64).default([]),
  /** Boots, even where a template would start it sooner. */
  cold: z.boolean().default(false),
  /** Deleted once it stops. */
  ephemeral: z.boolean().default(false),
  /** The power state that is wanted; the controller converges to it. */
  power: Power.default('stopped'),
  /** Raised by `restart`: a VM whose status has a lower one is started anew. */
  restarts: z.int().min(0).default(0),
});
export type VmSpec = z.infer<typeof VmSpec>;
export type VmSpecInput = z.input<typeof VmSpec>;

export const VmState = z.enum([
  'stopped',
  'starting',
  'running',
  'paused',
  'stopping',
  'suspended',
  'crashed',
  'deleting',
]);
export type VmState = z.infer<typeof VmState>;

export const VmHealth = z.enum(['none', 'starting', 'healthy', 'unhealthy']);
export type VmHealth = z.infer<typeof VmHealth>;

export const StartPhase = z.object({ name: z.string(), ms: z.number() });
/** `clone`: from a template; `pool`: a clone that waited; `fork`: of a running VM; `resume`: from its own saved memory. */
export const StartHow = z.enum(['cold', 'clone', 'pool', 'fork', 'resume']);
export type StartHow = z.infer<typeof StartHow>;
export const StartReport = z.object({
  how: StartHow,
  /** Why it booted although a template was wanted. */
  coldReason: z.string().optional(),
  /** Whether memory that it frees goes back to the host: not with a template's memory under its own. */
  reclaimsMemory: z.boolean().optional(),
  /** Id of the template that it is a clone of. */
  template: z.string().optional(),
  at: z.iso.datetime(),
  totalMs: z.number(),
  /** One after the other: they sum to the total. */
  phases: z.array(StartPhase),
  kernel: z.enum(['micro', 'distro']),
  accelerator: z.enum(['kvm', 'tcg']),
  machine: z.string(),
});
export type StartReport = z.infer<typeof StartReport>;

export const VmExit = z.object({
  at: z.iso.datetime(),
  /** `stopped`: as asked, or by the guest itself; `crashed`: neither. */
  kind: z.enum(['stopped', 'crashed']),
  reason: z.string(),
  exitCode: z.int().nullable(),
  signal: z.string().nullable(),
});
export type VmExit = z.infer<typeof VmExit>;

export const NicStatus = z.object({ network: z.string(), mac: z.string(), address: z.string() });
export type NicStatus = z.infer<typeof NicStatus>;

export const VmStatus = z.object({
  state: VmState,
  health: VmHealth,
  healthMessage: z.string().optional(),
  /** Why it is not what is wanted, if so. */
  message: z.string().optional(),
  nics: z.array(NicStatus),
  agent: z.object({ connected: z.boolean(), version: z.string(), kernel: z.string() }).optional(),
  process: z.object({ pid: z.int(), startTime: z.string(), uid: z.int().optional() }).optional(),
  /** What this machine can't give it: an entry per lack of confinement. */
  warnings: z.array(z.string()),
  imageDigest: z.string().optional(),
  start: StartReport.optional(),
  /** When its memory was saved, of one that is suspended. */
  suspendedAt: z.iso.datetime().optional(),
  exit: VmExit.optional(),
  /** spec.restarts as of the last start. */
  restarts: z.int(),
});
export type VmStatus = z.infer<typeof VmStatus>;

export const VmCreate = z.strictObject({
  name: Name,
  title: z.string().max(256).optional(),
  image: Name.default('micro'),
  cpus: VmSpec.shape.cpus.default(1),
  memoryMib: VmSpec.shape.memoryMib.optional(),
  diskMib: VmSpec.shape.diskMib,
  kernel: VmSpec.shape.kernel,
  env: VmSpec.shape.env,
  command: VmSpec.shape.command,
  health: VmSpec.shape.health,
  forwards: VmSpec.shape.forwards,
  network: Name.default('default'),
  cold: VmSpec.shape.cold,
  ephemeral: VmSpec.shape.ephemeral,
  labels: z.record(z.string().max(63), z.string().max(63)).default({}),
  start: z.boolean().default(false),
});
export type VmCreate = z.infer<typeof VmCreate>;
export type VmCreateInput = z.input<typeof VmCreate>;

export const VmFork = z.strictObject({
  /** Of the fork; of several, NAME-1, NAME-2, ... */
  name: Name,
  count: z.int().min(1).max(1000).default(1),
});
export type VmFork = z.infer<typeof VmFork>;

import { z } from 'zod';
import { VmFault } from './fault.ts';
import { LabelsInput, Title } from './label-schema.ts';
import { GuestPath, Name } from './names.ts';
import { Route } from './network.ts';
import { checkNic, DeclaredNic, MAX_NICS, Nic, NicStatus } from './nic.ts';
import { Shares, ShareStatus } from './share.ts';
import { Autostart, RestartPolicy, StopGracePeriodMs, VmRecovery } from './vm-life.ts';
import { EnvName, SecretUses } from './secret.ts';
import { Port } from './port.ts';

/** What a VM is asked to be, and what it is. */

export const MAX_CPUS = 64;
export const MIN_MEMORY_MIB = 32;
export const MAX_MEMORY_MIB = 1024 * 1024;

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
  /** By name: the values are given to the guest at each start, and are nowhere else. */
  secrets: SecretUses.optional(),
  /** A long-running process that the agent keeps; the image's when absent. */
  command: ArgvSchema.optional(),
  health: HealthCheck.optional(),
  nics: z
    .array(Nic)
    .max(MAX_NICS)
    .default([{ network: 'default' }]),
  forwards: z.array(Forward).max(64).default([]),
  /** `router`: it passes on what is not for itself, and may send from addresses that are not its own. */
  role: z.enum(['router']).optional(),
  /** Beside those that its networks tell it. */
  routes: z.array(Route).max(64).optional(),
  /** Directories of the host that the guest sees. */
  shares: Shares.optional(),
  /** Boots, even where a template would start it sooner. */
  cold: z.boolean().default(false),
  /** Deleted once it stops. */
  ephemeral: z.boolean().default(false),
  restart: RestartPolicy.optional(),
  /** Default 10,000. */
  stopGracePeriodMs: StopGracePeriodMs.optional(),
  /** Of a VM that belongs to no node; default `last`. */
  autostart: Autostart.optional(),
  /** Deleted only with `force`. */
  protected: z.boolean().optional(),
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
  /** Its health check has not been good yet: the phase `health` is still to come. */
  awaitsHealth: z.boolean().optional(),
  kernel: z.enum(['micro', 'distro']),
  accelerator: z.enum(['kvm', 'tcg']),
  machine: z.string(),
  /** The shape it has since then; what it is asked to be can be another, for its next start. */
  cpus: z.int().optional(),
  memoryMib: z.int().optional(),
  /** Devices for NICs that its machine has, plugged or spare; absent: one for each NIC that it started with. */
  nicDevices: z.int().optional(),
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

export const VmStatus = z.object({
  state: VmState,
  health: VmHealth,
  healthMessage: z.string().optional(),
  /** Why it is not what is wanted, if so. */
  message: z.string().optional(),
  nics: z.array(NicStatus),
  agent: z
    .object({ connected: z.boolean(), version: z.string(), kernel: z.string(), protocol: z.int().optional() })
    .optional(),
  process: z.object({ pid: z.int(), startTime: z.string(), uid: z.int().optional() }).optional(),
  /** What this machine can't give it: an entry per lack of confinement. */
  warnings: z.array(z.string()),
  imageDigest: z.string().optional(),
  /** The image that its disk was made from before; that disk is kept until it is certain that the VM works with another. */
  previous: z.object({ image: z.string(), imageDigest: z.string() }).optional(),
  start: StartReport.optional(),
  /** What its process has of the host's directories, in the order of its devices. */
  shares: z.array(ShareStatus).optional(),
  /** When its memory was saved, of one that is suspended. */
  suspendedAt: z.iso.datetime().optional(),
  exit: VmExit.optional(),
  /** What its end will be called, of one that is being ended because its command has ended. */
  ending: VmExit.pick({ kind: true, reason: true }).optional(),
  recovery: VmRecovery.optional(),
  /** What is made to go wrong with it on purpose. */
  faults: z.array(VmFault).optional(),
  /** spec.restarts as of the last start. */
  restarts: z.int(),
});
export type VmStatus = z.infer<typeof VmStatus>;

export const VmCreate = z.strictObject({
  name: Name,
  title: Title.optional(),
  image: Name.default('micro'),
  cpus: VmSpec.shape.cpus.default(1),
  memoryMib: VmSpec.shape.memoryMib.optional(),
  diskMib: VmSpec.shape.diskMib,
  kernel: VmSpec.shape.kernel,
  env: VmSpec.shape.env,
  secrets: VmSpec.shape.secrets,
  files: VmSpec.shape.files,
  command: VmSpec.shape.command,
  health: VmSpec.shape.health,
  forwards: VmSpec.shape.forwards,
  role: VmSpec.shape.role,
  routes: VmSpec.shape.routes,
  shares: VmSpec.shape.shares,
  /** Default: `default`. */
  network: Name.optional(),
  /** A NIC on each of these instead. */
  networks: z.array(Name).max(MAX_NICS).optional(),
  /** Or its NICs in full. */
  nics: z.array(DeclaredNic.superRefine(checkNic)).max(MAX_NICS).optional(),
  cold: VmSpec.shape.cold,
  ephemeral: VmSpec.shape.ephemeral,
  restart: VmSpec.shape.restart,
  stopGracePeriodMs: VmSpec.shape.stopGracePeriodMs,
  autostart: VmSpec.shape.autostart,
  protected: VmSpec.shape.protected,
  /** With an ssh server: `micro` becomes `micro-ssh`; another image has to have one. */
  ssh: z.boolean().default(false),
  labels: LabelsInput.default({}),
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

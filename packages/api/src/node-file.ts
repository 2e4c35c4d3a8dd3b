import { z } from 'zod';
import { parseShare } from './share-text.ts';
import { parseRestart, RESTART_POLICIES } from './restart.ts';
import type { Nic } from './nic.ts';
import { MAX_REPLICAS, type NodeSpecInput } from './node.ts';
import { FileImpair, impairOf } from './node-file-impair.ts';
import { FileForward, FileNetwork, FileNic, hostEndOf, networkOf, nicOf } from './node-file-network.ts';
import { GuestPath, Name } from './names.ts';
import { linkName } from './link.ts';
import { linkProblems, linksOf, DEFAULT_NETWORK } from './node-file-links.ts';
import type { SecretUse } from './secret.ts';
import { LabelsInput, Title } from './label-schema.ts';
import { parseDurationMs, parseMemoryMib } from './units.ts';
import { Autostart, type RestartPolicy } from './vm-life.ts';
import { ArgvSchema, VmSpec } from './vm.ts';

/**
 * The node file as a person writes it: sizes and durations as text, commands as text or lists, files by path. Its JSON
 * Schema is emitted from here; `nodeSpecOf` turns it into the normal form.
 */

export const API_VERSION = 'skerry/v1';

function readable(parse: (text: string) => unknown, what: string) {
  return z.union([z.string(), z.number()]).superRefine((value, context) => {
    try {
      parse(String(value));
    } catch (error) {
      context.addIssue({ code: 'custom', message: `${(error as Error).message}: write ${what}` });
    }
  });
}

const Size = readable(parseMemoryMib, '128Mi or 1Gi');
const Duration = readable(parseDurationMs, '500ms, 30s or 5m');
/** `on-failure:5`, or in full. */
const Restart = z.union([
  readable(parseRestart, 'never, on-failure, always or on-failure:5'),
  z.strictObject({
    policy: z.enum(RESTART_POLICIES),
    maxTries: z.int().min(1).optional(),
    backoff: Duration.optional(),
  }),
]);
const Port = z.int().min(1).max(65_535);
const Scalar = z.union([z.string(), z.number(), z.boolean()]);
const EnvValue = z.union([Scalar, z.strictObject({ secret: Name })]);
/** As in a compose file: the name alone is the file /run/secrets/NAME. */
const FileSecret = z.union([Name, z.strictObject({ secret: Name, path: GuestPath.optional() })]);
/** A list is run as it is; a text goes to `sh -c`. */
const Command = z.union([z.string().min(1), ArgvSchema]);

const checkTiming = {
  interval: Duration.optional(),
  timeout: Duration.optional(),
  retries: z.int().min(1).max(100).optional(),
  startPeriod: Duration.optional(),
};

export const FileHealth = z.union([
  z.strictObject({ exec: Command, ...checkTiming }),
  z.strictObject({ tcp: Port, ...checkTiming }),
  z.strictObject({
    http: z.union([
      Port,
      z.strictObject({ port: Port, path: z.string().startsWith('/').optional(), status: z.int().optional() }),
    ]),
    ...checkTiming,
  }),
]);

const FileEntry = z
  .strictObject({
    path: z.string().startsWith('/', 'write an absolute path in the guest, such as /etc/app.conf'),
    content: z.string().optional(),
    source: z.string().min(1).optional(),
    contentBase64: z.base64().optional(),
    mode: z
      .string({ error: "write the mode in quotes, such as '0755'" })
      .regex(/^0?[0-7]{3,4}$/, { message: "write the mode in octal, such as '0755'" })
      .optional(),
  })
  .refine((file) => [file.content, file.source, file.contentBase64].filter((each) => each !== undefined).length === 1, {
    message: 'give either `content` (the text itself) or `source` (a file beside this one) or `contentBase64`',
  });

/** HOST:GUEST, HOST:GUEST:ro, HOST:GUEST:virtiofs; HOST is relative to the file. */
const FileShare = z.string().superRefine((text, context) => {
  try {
    parseShare(text);
  } catch (error) {
    context.addIssue({
      code: 'custom',
      message: (error as Error).message + ': write ./src:/mnt/src or ./src:/mnt/src:ro',
    });
  }
});

const vmDefaults = {
  /** The name of an image, or the path of a recipe (it then starts with . or /). */
  image: z.string().min(1).optional(),
  cpu: z.int('write a whole number of CPUs').min(1, 'a VM needs at least 1 CPU').optional(),
  memory: Size.optional(),
  disk: Size.optional(),
  kernel: z.enum(['auto', 'micro', 'distro']).optional(),
  env: z.record(z.string(), EnvValue).optional(),
  health: FileHealth.optional(),
  networks: z.array(Name).min(1).optional(),
  /** Instead of `networks`, where more is to be said of them. */
  nics: z.array(FileNic).max(8).optional(),
  restart: Restart.optional(),
  /** How long it may take to end by itself when it is stopped. */
  stopGracePeriod: Duration.optional(),
  labels: LabelsInput.optional(),
};

export const FileVm = z.strictObject({
  ...vmDefaults,
  title: Title.optional(),
  /** How many of it: web, web-2, ... Without it, `skerry node scale` decides. */
  replicas: z.int('write a whole number').min(0).max(MAX_REPLICAS).optional(),
  command: Command.optional(),
  files: z.array(FileEntry).optional(),
  shares: z.array(FileShare).optional(),
  secrets: z.array(FileSecret).optional(),
  /** `router`: it passes on what is not for itself. */
  role: VmSpec.shape.role,
  routes: VmSpec.shape.routes,
  dependsOn: z
    .union([z.array(Name), z.record(Name, z.strictObject({ condition: z.enum(['started', 'healthy']) }))])
    .optional(),
});
export type FileVm = z.infer<typeof FileVm>;

/** Of a link: web:eth1. */
const NicName = z.string().regex(/^[a-z0-9-]+:eth\d+$/, 'write VM:NIC, such as web:eth1');

export const NETWORKS_OR_NICS = 'give either `networks`, or `nics`, which say more of the same';

export const NodeFile = z
  .strictObject({
    apiVersion: z.literal(API_VERSION, { error: `write apiVersion: ${API_VERSION}` }),
    kind: z.literal('Node', { error: 'write kind: Node' }).optional(),
    name: Name,
    /** Whether it comes back after a restart of the host; `last`: if it was up. */
    autostart: Autostart.optional(),
    title: Title.optional(),
    labels: LabelsInput.optional(),
    /** Deleted only with --force. */
    protect: z.boolean().optional(),
    defaults: z.strictObject(vmDefaults).optional(),
    networks: z.record(Name, z.union([z.null(), FileNetwork])).optional(),
    vms: z.record(Name, FileVm).refine((vms) => Object.keys(vms).length > 0, 'a node has at least one VM'),
    forward: z.array(FileForward).optional(),
    impair: z.array(FileImpair).max(256).optional(),
    /** Wires between two NICs, each VM:NIC. */
    links: z.array(z.tuple([NicName, NicName])).optional(),
  })
  .superRefine((file, context) => {
    for (const [path, vm] of [['defaults', file.defaults] as const, ...Object.entries(file.vms)]) {
      if (vm?.nics === undefined || vm.networks === undefined) continue;
      const at = vm === file.defaults ? [path, 'nics'] : ['vms', path, 'nics'];
      context.addIssue({ code: 'custom', path: at, message: NETWORKS_OR_NICS });
    }
    for (const [index, { to }] of (file.forward ?? []).entries()) {
      const target = to.slice(0, to.indexOf(':'));
      if (target in file.vms) continue;
      context.addIssue({
        code: 'custom',
        path: ['forward', index, 'to'],
        message: `'${target}' is no VM of this node: name one of ${Object.keys(file.vms).join(', ')}`,
      });
    }
    for (const { path, message } of linkProblems(file)) context.addIssue({ code: 'custom', path: [...path], message });
  });
export type NodeFile = z.infer<typeof NodeFile>;

/** What the caller has read from files beside the node file. */
export interface NodeFileParts {
  /** `source` as written -> the file's bytes in base64. */
  readonly sources: ReadonlyMap<string, string>;
  /** Path of a recipe as written -> the recipe in normal form. */
  readonly recipes: ReadonlyMap<string, NonNullable<NodeSpecInput['recipes']>[string]>;
  /** Makes a path of the host absolute that is written relative to the file. */
  readonly absolute?: (path: string) => string;
}

export function isRecipePath(image: string): boolean {
  return image.startsWith('.') || image.startsWith('/');
}

const DEFAULT_MEMORY_MIB = 128;

/** The normal form; it is validated again, with its cross-references, by `checkNodeSpec`. */
export function nodeSpecOf(file: NodeFile, parts: NodeFileParts): NodeSpecInput {
  const recipes: NonNullable<NodeSpecInput['recipes']> = {};
  const vms: Record<string, NodeSpecInput['vms'][string]> = {};
  for (const [name, vm] of Object.entries(file.vms)) {
    const merged = { ...file.defaults, ...vm };
    let image = merged.image ?? 'micro';
    const recipe = parts.recipes.get(image);
    if (recipe !== undefined) {
      recipes[recipe.name] = recipe;
      image = recipe.name;
    }
    const labels = { ...file.defaults?.labels, ...vm.labels };
    const env = { ...file.defaults?.env, ...vm.env };
    vms[name] = {
      ...(vm.title === undefined ? {} : { title: vm.title }),
      labels,
      image,
      cpus: merged.cpu ?? 1,
      memoryMib: merged.memory === undefined ? DEFAULT_MEMORY_MIB : parseMemoryMib(String(merged.memory)),
      ...(merged.disk === undefined ? {} : { diskMib: parseMemoryMib(String(merged.disk)) }),
      ...(merged.kernel === undefined ? {} : { kernel: merged.kernel }),
      ...environmentOf(env, vm.secrets),
      files: (vm.files ?? []).map((entry) => ({
        path: entry.path,
        contentBase64:
          entry.contentBase64 ??
          (entry.source === undefined ? textToBase64(entry.content ?? '') : (parts.sources.get(entry.source) ?? '')),
        ...(entry.mode === undefined ? {} : { mode: Number.parseInt(entry.mode, 8) }),
      })),
      ...(vm.shares === undefined || vm.shares.length === 0
        ? {}
        : { shares: vm.shares.map((text) => shareOf(text, parts)) }),
      ...(vm.role === undefined ? {} : { role: vm.role }),
      ...(vm.routes === undefined || vm.routes.length === 0 ? {} : { routes: vm.routes }),
      ...(vm.command === undefined ? {} : { command: argvOf(vm.command) }),
      ...(merged.health === undefined ? {} : { health: healthOf(merged.health) }),
      ...(merged.restart === undefined ? {} : { restart: restartOf(merged.restart) }),
      ...(merged.stopGracePeriod === undefined
        ? {}
        : { stopGracePeriodMs: parseDurationMs(String(merged.stopGracePeriod)) }),
      nics: [...nicsOf(vm, file.defaults), ...linksOf(file, name).map((network) => ({ network }))],
      forwards: (file.forward ?? []).flatMap((forward) => {
        const [target, port] = forward.to.split(':');
        return target === name && forward.proto !== 'udp'
          ? [{ ...hostEndOf(forward.host), guestPort: Number(port) }]
          : [];
      }),
      dependsOn: dependenciesOf(vm.dependsOn),
      ...(vm.replicas === undefined ? {} : { replicas: vm.replicas }),
    };
  }
  const networks = Object.fromEntries(
    Object.entries(file.networks ?? { [DEFAULT_NETWORK]: null }).map(([name, network]) => [
      name,
      networkOf({ ...network, forward: [...(network?.forward ?? []), ...udpInto(name, file, vms)] }),
    ]),
  );
  const links = (file.links ?? []).map((ends) => [linkName(...ends), { mode: 'link' as const }]);
  return {
    vms,
    networks: { ...networks, ...Object.fromEntries(links) },
    recipes,
    ...(file.impair === undefined || file.impair.length === 0 ? {} : { impair: file.impair.map(impairOf) }),
    ...(file.autostart === undefined ? {} : { autostart: file.autostart }),
    ...(file.protect === undefined ? {} : { protected: file.protect }),
  };
}

/** What is said of the VM itself comes before the defaults, in whichever of the two ways. */
function nicsOf(vm: FileVm, defaults: NodeFile['defaults']): Nic[] {
  const { nics, networks } = vm.nics === undefined && vm.networks === undefined ? { ...defaults } : vm;
  return nics?.map(nicOf) ?? (networks ?? [DEFAULT_NETWORK]).map((network) => ({ network }));
}

/** UDP to VMs whose first NIC is on this network: the agent carries TCP only. */
function udpInto(network: string, file: NodeFile, vms: NodeSpecInput['vms']): FileForward[] {
  return (file.forward ?? []).filter(({ to, proto }) => {
    const vm = vms[to.slice(0, to.indexOf(':'))];
    return proto === 'udp' && vm?.nics?.[0]?.network === network;
  });
}

/** Plain variables, and what comes from secrets. */
function environmentOf(
  env: Readonly<Record<string, z.infer<typeof EnvValue>>>,
  files: FileVm['secrets'],
): Pick<NodeSpecInput['vms'][string], 'env' | 'secrets'> {
  const plain: Record<string, string> = {};
  const secrets = (files ?? []).map((entry): SecretUse => (typeof entry === 'string' ? { secret: entry } : entry));
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === 'object') secrets.push({ secret: value.secret, env: name });
    else plain[name] = String(value);
  }
  return { env: plain, ...(secrets.length === 0 ? {} : { secrets }) };
}

function argvOf(command: string | string[]): string[] {
  return typeof command === 'string' ? ['sh', '-c', command] : command;
}

function healthOf(health: z.infer<typeof FileHealth>): NonNullable<NodeSpecInput['vms'][string]['health']> {
  const ms = (text: string | number | undefined) => (text === undefined ? undefined : parseDurationMs(String(text)));
  const timing = Object.fromEntries(
    Object.entries({
      intervalMs: ms(health.interval),
      timeoutMs: ms(health.timeout),
      retries: health.retries,
      startPeriodMs: ms(health.startPeriod),
    }).filter(([, value]) => value !== undefined),
  );
  if ('exec' in health) return { kind: 'exec', argv: argvOf(health.exec), ...timing };
  if ('tcp' in health) return { kind: 'tcp', port: health.tcp, ...timing };
  const http = typeof health.http === 'number' ? { port: health.http } : health.http;
  return {
    kind: 'http',
    port: http.port,
    ...(http.path === undefined ? {} : { path: http.path }),
    ...(http.status === undefined ? {} : { status: http.status }),
    ...timing,
  };
}

function shareOf(text: string, { absolute = (path) => path }: NodeFileParts) {
  const share = parseShare(text);
  return { ...share, hostPath: absolute(share.hostPath) };
}

function restartOf(restart: z.infer<typeof Restart>): z.input<typeof RestartPolicy> {
  if (typeof restart !== 'object') return parseRestart(String(restart));
  const { backoff, ...rest } = restart;
  return backoff === undefined ? rest : { ...rest, backoffMs: parseDurationMs(String(backoff)) };
}

function dependenciesOf(dependsOn: FileVm['dependsOn']) {
  if (dependsOn === undefined) return [];
  if (Array.isArray(dependsOn)) return dependsOn.map((vm) => ({ vm, condition: 'started' as const }));
  return Object.entries(dependsOn).map(([vm, { condition }]) => ({ vm, condition }));
}

function textToBase64(text: string): string {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCodePoint(byte);
  return btoa(binary);
}

/** JSON Schema (2020-12) of the node file, for editors. */
export function nodeFileJsonSchema(): object {
  return { $id: 'skerry-node-v1.json', title: 'Skerry node file', ...z.toJSONSchema(NodeFile, { io: 'input' }) };
}

import { z } from 'zod';
import { Name } from './names.ts';
import type { NodeSpecInput } from './node.ts';
import { parseDurationMs, parseMemoryMib } from './units.ts';
import { ArgvSchema } from './vm.ts';

/**
 * The node file as a person writes it: sizes and durations as text, commands as text or lists, files by path. Its JSON
 * Schema is emitted from here; `nodeSpecOf` turns it into the normal form.
 */

export const API_VERSION = 'skerry/v1';

function readable(parse: (text: string) => number, what: string) {
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
const Port = z.int().min(1).max(65_535);
const Scalar = z.union([z.string(), z.number(), z.boolean()]);
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
    mode: z
      .string({ error: "write the mode in quotes, such as '0755'" })
      .regex(/^0?[0-7]{3,4}$/, { message: "write the mode in octal, such as '0755'" })
      .optional(),
  })
  .refine((file) => (file.content === undefined) !== (file.source === undefined), {
    message: 'give either `content` (the text itself) or `source` (a file beside this one)',
  });

const vmDefaults = {
  /** The name of an image, or the path of a recipe (it then starts with . or /). */
  image: z.string().min(1).optional(),
  cpu: z.int('write a whole number of CPUs').min(1, 'a VM needs at least 1 CPU').optional(),
  memory: Size.optional(),
  disk: Size.optional(),
  kernel: z.enum(['auto', 'micro', 'distro']).optional(),
  env: z.record(z.string(), Scalar).optional(),
  health: FileHealth.optional(),
  networks: z.array(Name).min(1).optional(),
};

export const FileVm = z.strictObject({
  ...vmDefaults,
  title: z.string().optional(),
  command: Command.optional(),
  files: z.array(FileEntry).optional(),
  dependsOn: z
    .union([z.array(Name), z.record(Name, z.strictObject({ condition: z.enum(['started', 'healthy']) }))])
    .optional(),
});
export type FileVm = z.infer<typeof FileVm>;

export const FileForward = z.strictObject({
  host: z.union([Port, z.string().regex(/^[0-9a-fA-F.:[\]]+:\d+$/, 'write PORT or ADDRESS:PORT')]),
  to: z.string().regex(/^[a-z0-9-]+:\d+$/, 'write VM:PORT'),
});

export const NodeFile = z
  .strictObject({
    apiVersion: z.literal(API_VERSION, { error: `write apiVersion: ${API_VERSION}` }),
    kind: z.literal('Node', { error: 'write kind: Node' }).optional(),
    name: Name,
    defaults: z.strictObject(vmDefaults).optional(),
    networks: z
      .record(
        Name,
        z.union([z.null(), z.strictObject({ subnet: z.cidrv4().optional(), egress: z.boolean().optional() })]),
      )
      .optional(),
    vms: z.record(Name, FileVm).refine((vms) => Object.keys(vms).length > 0, 'a node has at least one VM'),
    forward: z.array(FileForward).optional(),
  })
  .superRefine((file, context) => {
    for (const [index, { to }] of (file.forward ?? []).entries()) {
      const target = to.slice(0, to.indexOf(':'));
      if (target in file.vms) continue;
      context.addIssue({
        code: 'custom',
        path: ['forward', index, 'to'],
        message: `'${target}' is no VM of this node: name one of ${Object.keys(file.vms).join(', ')}`,
      });
    }
  });
export type NodeFile = z.infer<typeof NodeFile>;

/** What the caller has read from files beside the node file. */
export interface NodeFileParts {
  /** `source` as written -> the file's bytes in base64. */
  readonly sources: ReadonlyMap<string, string>;
  /** Path of a recipe as written -> the recipe in normal form. */
  readonly recipes: ReadonlyMap<string, NonNullable<NodeSpecInput['recipes']>[string]>;
}

export function isRecipePath(image: string): boolean {
  return image.startsWith('.') || image.startsWith('/');
}

const DEFAULT_NETWORK = 'default';
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
    const env = { ...file.defaults?.env, ...vm.env };
    vms[name] = {
      image,
      cpus: merged.cpu ?? 1,
      memoryMib: merged.memory === undefined ? DEFAULT_MEMORY_MIB : parseMemoryMib(String(merged.memory)),
      ...(merged.disk === undefined ? {} : { diskMib: parseMemoryMib(String(merged.disk)) }),
      ...(merged.kernel === undefined ? {} : { kernel: merged.kernel }),
      env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, String(value)])),
      files: (vm.files ?? []).map((entry) => ({
        path: entry.path,
        contentBase64:
          entry.source === undefined ? textToBase64(entry.content ?? '') : (parts.sources.get(entry.source) ?? ''),
        ...(entry.mode === undefined ? {} : { mode: Number.parseInt(entry.mode, 8) }),
      })),
      ...(vm.command === undefined ? {} : { command: argvOf(vm.command) }),
      ...(merged.health === undefined ? {} : { health: healthOf(merged.health) }),
      nics: (merged.networks ?? [DEFAULT_NETWORK]).map((network) => ({ network })),
      forwards: (file.forward ?? []).flatMap((forward) => {
        const [target, port] = forward.to.split(':');
        return target === name ? [{ ...hostEndOf(forward.host), guestPort: Number(port) }] : [];
      }),
      dependsOn: dependenciesOf(vm.dependsOn),
    };
  }
  const networks = Object.fromEntries(
    Object.entries(file.networks ?? { [DEFAULT_NETWORK]: null }).map(([name, network]) => [name, network ?? {}]),
  );
  return { vms, networks, recipes };
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

function hostEndOf(host: number | string): { hostPort: number; hostAddress?: string } {
  if (typeof host === 'number') return { hostPort: host };
  const colon = host.lastIndexOf(':');
  return { hostAddress: host.slice(0, colon).replace(/[[\]]/g, ''), hostPort: Number(host.slice(colon + 1)) };
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

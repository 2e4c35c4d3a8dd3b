import { z } from 'zod';
import { Name } from './names.ts';
import type { DeclaredNic } from './nic.ts';
import { fileNicOf, nicOf } from './node-file-network.ts';
import { API_VERSION, FileVm, NETWORKS_OR_NICS, nodeSpecOf, type NodeFileParts } from './node-file.ts';
import { formatRestart } from './restart.ts';
import type { Share } from './share.ts';
import { formatMib } from './units.ts';
import { VmDeclaration } from './vm-change.ts';
import { Autostart, RESTART_BACKOFF_MS, type RestartPolicy } from './vm-life.ts';
import type { Forward, GuestFile, HealthCheck } from './vm.ts';

/**
 * A VM's file as a person writes it: what a node file says of one VM, with a name and what only a VM of its own can have.
 * `vmDeclarationOf` reads it, `vmFileOf` writes it, and what the one writes the other reads.
 */

const Port = z.int().min(1).max(65_535);

export const VmFile = FileVm.omit({ dependsOn: true, replicas: true })
  .extend({
    /** A NIC on each, from eth0 on; without it and `nics`, those that the VM has stay as they are. */
    networks: z.array(Name).max(8).optional(),
    apiVersion: z.literal(API_VERSION, { error: `write apiVersion: ${API_VERSION}` }),
    kind: z.literal('VM', { error: 'write kind: VM' }),
    name: Name,
    image: Name.optional(),
    /** Ports of the host that lead into it. */
    forward: z
      .array(
        z.strictObject({
          host: z.union([Port, z.string().regex(/^[0-9a-fA-F.:[\]]+:\d+$/, 'write PORT or ADDRESS:PORT')]),
          to: Port,
        }),
      )
      .optional(),
    /** Boots, even where a template would start it sooner. */
    cold: z.boolean().optional(),
    /** Deleted once it stops. */
    ephemeral: z.boolean().optional(),
    /** Whether it runs again after a restart of the host. */
    autostart: Autostart.optional(),
    /** Deleted only with --force. */
    protect: z.boolean().optional(),
  })
  .superRefine(({ networks, nics }, context) => {
    if (networks === undefined || nics === undefined) return;
    context.addIssue({ code: 'custom', path: ['nics'], message: NETWORKS_OR_NICS });
  });
export type VmFile = z.infer<typeof VmFile>;

/** What of a normal form is said in another way in the file, or not at all. */
const NOT_FROM_NODE = new Set(['nics', 'dependsOn', 'type']);

/** @throws ZodError where the normal form is narrower than the file */
export function vmDeclarationOf(file: VmFile, parts: Pick<NodeFileParts, 'sources' | 'absolute'>): VmDeclaration {
  const { apiVersion, kind: _kind, name, forward, cold, ephemeral, autostart, protect, ...vm } = file;
  const { networks, nics } = vm;
  // Its meaning is that of the same lines in a node file.
  const { vms } = nodeSpecOf(
    {
      apiVersion,
      name,
      networks: Object.fromEntries(
        (nics?.map(({ network }) => network) ?? networks ?? ['default']).map((network) => [network, null]),
      ),
      vms: { [name]: vm },
      forward: (forward ?? []).map(({ host, to }) => ({ host, to: `${name}:${to}` })),
    },
    { ...parts, recipes: new Map() },
  );
  const same = Object.entries(vms[name] ?? {}).filter(([key]) => !NOT_FROM_NODE.has(key));
  return VmDeclaration.parse({
    ...Object.fromEntries(same),
    name,
    networks,
    nics: nics?.map(nicOf),
    cold,
    ephemeral,
    autostart,
    protected: protect,
  });
}

/** Fields that the file calls as the normal form does, and writes as they are. */
const AS_IT_IS = ['kernel', 'role', 'routes', 'cold', 'ephemeral', 'autostart'] as const satisfies ReadonlyArray<
  keyof VmDeclaration
>;
/** How the others are written. What a declaration has and neither table names is told by a test. */
const WRITTEN: { readonly [K in keyof VmDeclaration]?: (value: never) => Readonly<Record<string, unknown>> } = {
  name: (name: string) => ({ name }),
  title: (title: string) => ({ title }),
  labels: (labels: object) => unlessEmpty('labels', labels),
  image: (image: string) => ({ image }),
  cpus: (cpu: number) => ({ cpu }),
  memoryMib: (mib: number) => ({ memory: formatMibExactly(mib) }),
  diskMib: (mib: number) => ({ disk: formatMibExactly(mib) }),
  networks: (networks: string[]) => ({ networks }),
  nics: (nics: DeclaredNic[]) => ({ nics: nics.map(fileNicOf) }),
  env: (env: object) => unlessEmpty('env', env),
  shares: (shares: Share[]) => unlessEmpty('shares', shares.map(shareTextOf)),
  files: (files: GuestFile[]) => unlessEmpty('files', files.map(fileEntryOf)),
  command: (command: string[]) => ({ command: commandTextOf(command) }),
  health: (health: HealthCheck) => ({ health: fileHealthOf(health) }),
  forwards: (forwards: Forward[]) => unlessEmpty('forward', forwards.map(fileForwardOf)),
  restart: (restart: RestartPolicy) => ({ restart: fileRestartOf(restart) }),
  stopGracePeriodMs: (ms: number) => ({ stopGracePeriod: formatMs(ms) }),
  protected: (protect: boolean) => (protect ? { protect } : {}),
};
/** What goes without saying. */
const DEFAULTS: Readonly<Record<string, unknown>> = { kernel: 'auto', cold: false, ephemeral: false };

/** The keys of a declaration that a file can say. */
export const WRITTEN_FIELDS: readonly string[] = [...Object.keys(WRITTEN), ...AS_IT_IS, 'secrets'];

/** What `skerry apply -f` reads back as this declaration, in the order in which a person would write it. */
export function vmFileOf(declared: VmDeclaration): z.input<typeof VmFile> {
  const file: Record<string, unknown> = { apiVersion: API_VERSION, kind: 'VM' };
  for (const [key, write] of Object.entries(WRITTEN)) {
    const value = declared[key as keyof VmDeclaration];
    if (value !== undefined) Object.assign(file, write(value as never));
  }
  const { secrets = [] } = declared;
  const files = secrets.flatMap(({ secret, path, env }) =>
    env === undefined ? [path === undefined ? secret : { secret, path }] : [],
  );
  const variables = secrets.flatMap(({ secret, env }) => (env === undefined ? [] : [[env, { secret }] as const]));
  Object.assign(
    file,
    unlessEmpty('env', { ...declared.env, ...Object.fromEntries(variables) }),
    unlessEmpty('secrets', files),
  );
  for (const key of AS_IT_IS) {
    if (declared[key] !== undefined && declared[key] !== DEFAULTS[key]) file[key] = declared[key];
  }
  return file as z.input<typeof VmFile>;
}

function unlessEmpty(key: string, value: object): Record<string, unknown> {
  return Object.keys(value).length === 0 ? {} : { [key]: value };
}

/** A size that is read back as the same one: '1.5Gi' would be, '1.3Gi' not. */
function formatMibExactly(mib: number): string {
  return mib % 1024 === 0 ? formatMib(mib) : `${mib}Mi`;
}

function formatMs(ms: number): string {
  if (ms % 1000 !== 0) return `${ms}ms`;
  return ms % 60_000 === 0 && ms > 0 ? `${ms / 60_000}m` : `${ms / 1000}s`;
}

function fileEntryOf({ path, contentBase64, mode }: GuestFile): Record<string, unknown> {
  const text = textOf(contentBase64);
  return {
    path,
    ...(text === undefined ? { contentBase64 } : { content: text }),
    mode: `0${mode.toString(8).padStart(3, '0')}`,
  };
}

/** Undefined for bytes that are no text. */
function textOf(base64: string): string | undefined {
  const bytes = Uint8Array.from(atob(base64), (character) => character.codePointAt(0) ?? 0);
  try {
    // A byte order mark is part of the file, and stays.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    // What YAML may not contain, or writes in another way (YAML 1.2.2 section 5.1, 5.4).
    // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
    return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufeff]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** A text is run by `sh -c`, so what is run so is a text. */
function commandTextOf(argv: readonly string[]): string | readonly string[] {
  const [program, option, text = ''] = argv;
  return argv.length === 3 && program === 'sh' && option === '-c' && text !== '' ? text : argv;
}

function fileHealthOf(check: HealthCheck): Record<string, unknown> {
  const { intervalMs, timeoutMs, startPeriodMs, retries } = check;
  const timing = {
    interval: formatMs(intervalMs),
    timeout: formatMs(timeoutMs),
    retries,
    startPeriod: formatMs(startPeriodMs),
  };
  if (check.kind === 'exec') return { exec: commandTextOf(check.argv), ...timing };
  if (check.kind === 'tcp') return { tcp: check.port, ...timing };
  return { http: { port: check.port, path: check.path, status: check.status }, ...timing };
}

function shareTextOf({ hostPath, guestPath, readonly, how }: Share): string {
  const options = [...(readonly ? ['ro'] : []), ...(how === undefined ? [] : [how])];
  return [hostPath, guestPath, ...(options.length === 0 ? [] : [options.join(',')])].join(':');
}

/** Shortly where it can be said so. */
function fileRestartOf({ backoffMs, ...restart }: RestartPolicy): string | Record<string, unknown> {
  return backoffMs === RESTART_BACKOFF_MS ? formatRestart(restart) : { ...restart, backoff: formatMs(backoffMs) };
}

function fileForwardOf({ hostAddress, hostPort, guestPort }: Forward): { host: number | string; to: number } {
  if (hostAddress === '127.0.0.1') return { host: hostPort, to: guestPort };
  return { host: `${hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress}:${hostPort}`, to: guestPort };
}

/** JSON Schema (2020-12) of a VM's file, for editors. */
export function vmFileJsonSchema(): object {
  return { $id: 'skerry-vm-v1.json', title: 'Skerry VM file', ...z.toJSONSchema(VmFile, { io: 'input' }) };
}

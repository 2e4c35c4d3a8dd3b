import { parseDurationMs, parseMemoryMib, parseRestart, type ShareInput, type VmCreateInput } from '@skerry/api/base';
import { getDefaultClient, type Skerry } from '../client.ts';
import { argvOf } from './exec.ts';
import { shareOf } from './share.ts';
import { type TaskOptions, VM } from './vm.ts';

export interface CreateVMOptions extends TaskOptions {
  readonly name: string;
  readonly title?: string | undefined;
  /** The image; default `micro`. */
  readonly os?: string | undefined;
  readonly cpu?: number | undefined;
  /** '128Mi', '1G', or a number of MiB; default: what the image needs. */
  readonly memory?: string | number | undefined;
  /** Virtual size of its disk; default: the image's. */
  readonly disk?: string | number | undefined;
  readonly network?: string | undefined;
  /** Default true; the promise then resolves when its agent answers. */
  readonly start?: boolean | undefined;
  /** Deleted when the handle is disposed, and when it stops. */
  readonly ephemeral?: boolean | undefined;
  /** When it ends by itself: 'never' (the default), 'on-failure', 'always', or with the most tries in a row 'on-failure:5'. */
  readonly restart?: string | VmCreateInput['restart'];
  /** How long its guest may take to end by itself when it is stopped: '30s', or a number of milliseconds; default 10 s. */
  readonly stopGracePeriod?: string | number | undefined;
  /** After a restart of the host; default 'last': it runs again if it ran. */
  readonly autostart?: VmCreateInput['autostart'];
  /** Deleted only with `force`. */
  readonly protect?: boolean | undefined;
  /** With an ssh server, for `skerry ssh`; default false. */
  readonly ssh?: boolean | undefined;
  /** Boots, even where a template would start it sooner. */
  readonly cold?: boolean | undefined;
  readonly kernel?: 'auto' | 'micro' | 'distro' | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Secrets, as files in /run/secrets or as variables; they have to be there (`secret.set`). */
  readonly secrets?: VmCreateInput['secrets'];
  /** A long-running process that the VM keeps; a text is run by `sh -c`. */
  readonly command?: string | readonly string[] | undefined;
  readonly health?: VmCreateInput['health'];
  /** Ports of the host that lead into it. */
  readonly forwards?: VmCreateInput['forwards'];
  /** Directories of the host: './src:/mnt/src[:ro]' (relative to the working directory), or in parts. */
  readonly shares?: ReadonlyArray<string | ShareInput> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Default: the daemon the CLI would use, started if need be. */
  readonly client?: Skerry | undefined;
}

/**
 * Makes a VM and starts it.
 *
 *     await using vm = await createVM({ name: 'web', os: 'micro', memory: '128Mi', ephemeral: true });
 *
 * @throws SkerryError `conflict` (the name is taken), `not-found` (no such image), `invalid`, `unavailable`, ...
 */
export async function createVM(options: CreateVMOptions): Promise<VM> {
  const body = createBody(options);
  const client = options.client ?? (await getDefaultClient());
  const { onProgress, onTask, signal } = options;
  return new VM(client, await client.run('vm.create', { body, onProgress, onTask, signal }));
}

function createBody(options: CreateVMOptions): VmCreateInput {
  const { name, title, os, cpu, memory, disk, network, kernel, env, secrets, command, health } = options;
  const { forwards, shares, labels, stopGracePeriod } = options;
  const body: Record<string, unknown> = {
    name,
    title,
    image: os,
    cpus: cpu,
    memoryMib: memory === undefined ? undefined : parseMemoryMib(String(memory)),
    diskMib: disk === undefined ? undefined : parseMemoryMib(String(disk)),
    network,
    kernel,
    env,
    secrets,
    command: command === undefined ? undefined : argvOf(command),
    health,
    forwards,
    shares: shares?.map(shareOf),
    labels,
    restart: typeof options.restart === 'string' ? parseRestart(options.restart) : options.restart,
    stopGracePeriodMs: typeof stopGracePeriod === 'string' ? parseDurationMs(stopGracePeriod) : stopGracePeriod,
    autostart: options.autostart,
    protected: options.protect,
    cold: options.cold,
    ssh: options.ssh,
    ephemeral: options.ephemeral ?? false,
    start: options.start ?? true,
  } satisfies { [K in keyof VmCreateInput]: VmCreateInput[K] | undefined };
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as VmCreateInput;
}

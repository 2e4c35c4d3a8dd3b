import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  inspectJail,
  killJailed,
  launchJail,
  EGRESS_UID,
  watchExit,
  type JailHost,
  type JailSpec,
} from '../hypervisors/index.ts';
import { slirpDnsOf } from './addresses.ts';

/**
 * The way out of a network without any rights: a QEMU that has no machine, only a hub between its user network (slirp)
 * and a socket that the switch connects to. One process a network, about 32 MiB; it outlives the daemon.
 */

export interface EgressNetwork {
  readonly id: string;
  readonly subnet: string;
  readonly gateway: string;
}

/** `{s}` is replaced by the descriptor of the listening socket. */
export function egressArgv(network: EgressNetwork, binary = 'qemu-system-x86_64'): [string, ...string[]] {
  const user = `user,id=u,net=${network.subnet},host=${network.gateway},dns=${slirpDnsOf(network.subnet)},ipv6=off`;
  return [
    binary,
    ...['-M', 'none', '-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-netdev', user],
    ...['-netdev', 'stream,id=s,server=on,addr.type=fd,addr.str={s}'],
    ...['-netdev', 'hubport,id=hu,hubid=0,netdev=u', '-netdev', 'hubport,id=hs,hubid=0,netdev=s'],
  ];
}

export interface EgressOptions {
  readonly runtimeDir: string;
  readonly jail: JailHost;
  readonly qemuBinary?: string | undefined;
  /** Default for root: the last uid of the range of VMs; for others: their own. */
  readonly owner?: JailSpec['owner'];
  readonly log?: ((line: string) => void) | undefined;
}

const LOG_BYTES = 64 * 1024;
const MIN_RESTART_MS = 100;
const MAX_RESTART_MS = 10_000;

export class EgressService {
  readonly #options: EgressOptions;
  readonly #root: string;
  /** By directory name: what is kept running. */
  readonly #kept = new Map<string, AbortController>();
  readonly #keepers = new Set<Promise<void>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: EgressOptions) {
    this.#options = options;
    this.#root = join(options.runtimeDir, 'egress');
  }

  socketPath(network: EgressNetwork): string {
    return join(this.#root, nameOf(network), 's');
  }

  /**
   * Starts or adopts one process for each of these networks, ends all others, and starts again what dies.
   * @throws SkerryError of `launchJail`
   */
  sync(networks: readonly EgressNetwork[]): Promise<void> {
    const result = this.#last.then(() => this.#sync(networks));
    this.#last = result.catch(() => {});
    return result;
  }

  /** Stops watching; the processes go on for the next daemon. */
  async close(): Promise<void> {
    await this.#last;
    for (const abort of this.#kept.values()) abort.abort();
    this.#kept.clear();
    await Promise.all(this.#keepers);
  }

  async #sync(networks: readonly EgressNetwork[]): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const wanted = new Map(networks.map((network) => [nameOf(network), network]));
    const present = await readdir(this.#root);
    const surplus = present.filter((name) => !wanted.has(name));
    await Promise.all([
      ...surplus.map((name) => this.#end(name)),
      ...[...wanted].map(([name, network]) => this.#start(name, network)),
    ]);
  }

  async #start(name: string, network: EgressNetwork): Promise<void> {
    if (this.#kept.has(name)) return;
    await this.#launch(name, network);
    const abort = new AbortController();
    this.#kept.set(name, abort);
    const keeper = this.#keep(name, network, abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) this.#options.log?.(`egress of ${network.id}: ${String(error)}`);
    });
    this.#keepers.add(keeper);
    void keeper.finally(() => this.#keepers.delete(keeper));
  }

  async #keep(name: string, network: EgressNetwork, signal: AbortSignal): Promise<void> {
    let waitMs = MIN_RESTART_MS;
    for (;;) {
      const startedAt = performance.now();
      await watchExit(join(this.#root, name), signal);
      this.#options.log?.(`egress of ${network.id} ended: it is started again`);
      waitMs = performance.now() - startedAt > MAX_RESTART_MS ? MIN_RESTART_MS : Math.min(waitMs * 2, MAX_RESTART_MS);
      for (;;) {
        await sleep(waitMs, undefined, { signal });
        try {
          await this.#launch(name, network);
          break;
        } catch (error) {
          this.#options.log?.(`egress of ${network.id}: ${String(error)}`);
          waitMs = Math.min(waitMs * 2, MAX_RESTART_MS);
        }
      }
    }
  }

  async #launch(name: string, network: EgressNetwork): Promise<void> {
    const dir = join(this.#root, name);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    if ((await inspectJail(dir)).state === 'running') return;
    const owner = this.#options.owner ?? defaultOwner();
    await launchJail(
      {
        dir,
        command: egressArgv(network, this.#options.qemuBinary),
        ...(owner === undefined ? {} : { owner }),
        listen: { s: join(dir, 's') },
        log: { path: join(dir, 'log'), capBytes: LOG_BYTES },
      },
      this.#options.jail,
    );
  }

  async #end(name: string): Promise<void> {
    this.#kept.get(name)?.abort();
    this.#kept.delete(name);
    const dir = join(this.#root, name);
    await killJailed(dir, { force: true });
    await rm(dir, { recursive: true, force: true });
  }
}

/** Another subnet is another process: slirp can not be told a new one. */
function nameOf(network: EgressNetwork): string {
  return createHash('sha256').update(`${network.id} ${network.subnet} ${network.gateway}`).digest('hex').slice(0, 12);
}

function defaultOwner(): JailSpec['owner'] {
  if (process.getuid?.() !== 0) return undefined;
  const uid = EGRESS_UID;
  return { uid, gid: uid };
}

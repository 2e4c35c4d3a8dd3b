import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SkerryError, type Uplink } from '@skerry/api';
import { run } from '../../hosts/index.ts';
import { inspectJail, killJailed, launchJail, watchExit, type JailHost } from '../../hypervisors/index.ts';
import {
  checkHostLink,
  isStaged,
  movedOf,
  readHostLink,
  repairLines,
  stageLines,
  undoLines,
  type HostLink,
} from './bridged-plan.ts';
import { hash, uplinkName } from './names-model.ts';
import { readJson } from './place-commands.ts';

/**
 * Interfaces of the host as ports of bridges. Whoever is connected through one must not be cut off (Cockpit #837): before
 * anything is touched a process begins to wait that outlives us and takes it back, unless it is ended in time.
 */

const LOOK_EVERY_MS = 2500;
const TIMEOUT_MS = 10_000;
const LOG_BYTES = 16 * 1024;

/** A network on an interface of the host. */
export interface Bridged {
  readonly id: string;
  readonly name: string;
  readonly parent: string;
  readonly uplink: Uplink;
}

export interface BridgedOptions {
  readonly runtimeDir: string;
  readonly jail: JailHost;
  readonly log?: ((line: string) => void) | undefined;
}

export class BridgedInterfaces {
  readonly #options: BridgedOptions;
  readonly #root: string;
  /** By id: those that are kept whole. */
  readonly #kept = new Map<string, Bridged>();
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: BridgedOptions) {
    this.#options = options;
    this.#root = join(options.runtimeDir, 'bridged');
  }

  /** @throws SkerryError `not-found`, and as `checkHostLink` */
  async look(parent: string): Promise<HostLink> {
    const link = await readLink(parent);
    if (link === undefined) throw new SkerryError('not-found', `This host has no interface '${parent}'`);
    checkHostLink(link, await isWireless(parent));
    return link;
  }

  /** What of it would be moved. @throws as `look` */
  async plan(networkId: string, parent: string, withinMs: number): Promise<Uplink> {
    const moved = movedOf(await this.look(parent), uplinkName(networkId));
    return { ...moved, confirmed: false, rollbackAt: new Date(Date.now() + withinMs).toISOString() };
  }

  /** Moves it; it goes back by itself unless it is confirmed in time. @throws SkerryError: it is as it was then */
  stage(network: Bridged, withinMs: number): Promise<void> {
    return this.#inTurn(async () => {
      const { parent, uplink } = network;
      await this.#arm(network, withinMs);
      try {
        await batch(stageLines(parent, uplink), { force: false });
        if (!isStaged(uplink, ...(await both(network))))
          throw new SkerryError('failed', 'it did not become what it should');
      } catch (error) {
        await this.#undo(network);
        throw new SkerryError('failed', `${parent} could not be bridged, and is as it was: ${messageOf(error)}`, {
          remedy: `See \`ip -d address show ${parent}\`, and who else manages it, such as NetworkManager.`,
          cause: error,
        });
      }
    });
  }

  /** From now on it stays. @throws SkerryError `timeout`: it is as it was before */
  confirm(network: Bridged): Promise<void> {
    return this.#inTurn(async () => {
      const dir = this.#dir(network);
      const wasWaiting = (await inspectJail(dir)).state === 'running';
      await killJailed(dir, { force: true });
      // It may have begun a moment before.
      if (wasWaiting && isStaged(network.uplink, ...(await both(network)))) {
        await rm(dir, { recursive: true, force: true });
        this.#keep(network);
        return;
      }
      await this.#undo(network);
      throw new SkerryError('timeout', `That was too late: ${network.parent} is as it was before`, {
        remedy: 'Make the network again; --confirm-within 2m gives more time.',
      });
    });
  }

  /** Gives everything back, whatever the bridge has by now. */
  release(network: Bridged): Promise<void> {
    return this.#inTurn(async () => {
      this.#kept.delete(network.id);
      await killJailed(this.#dir(network), { force: true });
      const [, bridge] = await both(network);
      if (bridge !== undefined) {
        const now = movedOf(bridge, network.uplink.bridge);
        await this.#undo({ ...network, uplink: { ...network.uplink, ...now } });
      }
      await rm(this.#dir(network), { recursive: true, force: true });
    });
  }

  /** One that was confirmed is whole from now on, even if somebody changes it, or the host was restarted. */
  async adopt(network: Bridged): Promise<void> {
    await this.#inTurn(() => this.#repair(network)).catch((error: unknown) => this.#tell(network, error));
    this.#keep(network);
  }

  /**
   * Waits for what becomes of one that is not confirmed yet.
   * @returns whether it is as it was before: by itself, and if that was not done, by us
   */
  async rolledBack(network: Bridged): Promise<boolean> {
    const { signal } = this.#closing;
    await watchExit(this.#dir(network), signal).catch(() => undefined);
    if (signal.aborted) return false;
    return this.#inTurn(async () => {
      // Confirmed meanwhile.
      if (this.#kept.has(network.id)) return false;
      const [, bridge] = await both(network);
      if (bridge !== undefined) await this.#undo(network);
      await rm(this.#dir(network), { recursive: true, force: true });
      return true;
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#last.catch(() => undefined);
  }

  #dir({ id }: Pick<Bridged, 'id'>): string {
    return join(this.#root, hash(id));
  }

  async #arm(network: Bridged, withinMs: number): Promise<void> {
    const { jail } = this.#options;
    const dir = this.#dir(network);
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const undo = join(dir, 'undo');
    await writeFile(undo, `${undoLines(network.parent, network.uplink).join('\n')}\n`, { mode: 0o600, flush: true });
    const ip = ['ip', '-force', '-batch', undo];
    await launchJail(
      {
        dir,
        command: [jail.vmjailPath, '--after', String(withinMs), '--', ...ip],
        log: { path: join(dir, 'log'), capBytes: LOG_BYTES },
      },
      jail,
    );
  }

  /** What waits to do the same is ended after it, so that there is none of both at no time. */
  async #undo(network: Bridged): Promise<void> {
    await batch(undoLines(network.parent, network.uplink), { force: true });
    await killJailed(this.#dir(network), { force: true });
    await rm(this.#dir(network), { recursive: true, force: true });
  }

  #keep(network: Bridged): void {
    this.#kept.set(network.id, network);
    this.#timer ??= setInterval(() => void this.#lookAgain(), LOOK_EVERY_MS).unref();
  }

  async #lookAgain(): Promise<void> {
    for (const network of this.#kept.values()) {
      await this.#inTurn(async () => {
        if (this.#kept.has(network.id) && !this.#closing.signal.aborted) await this.#repair(network);
      }).catch((error: unknown) => this.#tell(network, error));
    }
  }

  async #repair(network: Bridged): Promise<void> {
    const lines = repairLines(network.uplink, ...(await both(network)));
    if (lines.length === 0) return;
    await batch(lines, { force: true });
    this.#options.log?.(`network ${network.name} on ${network.parent} is repaired: ${lines.join('; ')}`);
  }

  #tell({ name }: Bridged, error: unknown): void {
    this.#options.log?.(`network ${name}: ${messageOf(error)}`);
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body, body);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

async function both({ parent, uplink }: Bridged): Promise<[HostLink | undefined, HostLink | undefined]> {
  return await Promise.all([readLink(parent), readLink(uplink.bridge)]);
}

async function readLink(name: string): Promise<HostLink | undefined> {
  const [links, routes4, routes6] = await Promise.all([
    readJson(['ip', '-j', '-d', 'address', 'show']),
    readJson(['ip', '-j', '-4', 'route', 'show', 'table', 'all']),
    readJson(['ip', '-j', '-6', 'route', 'show', 'table', 'all']),
  ]);
  return readHostLink(name, links ?? [], routes4 ?? [], routes6 ?? []);
}

async function isWireless(name: string): Promise<boolean> {
  const found = await Promise.all(
    ['wireless', 'phy80211'].map((file) =>
      access(join('/sys/class/net', name, file)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

async function batch(lines: readonly string[], { force }: { readonly force: boolean }): Promise<void> {
  await run(['ip', ...(force ? ['-force'] : []), '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    timeoutMs: TIMEOUT_MS,
    ...(force ? { okExitCodes: 'any' as const } : {}),
  });
}

function messageOf(error: unknown): string {
  return SkerryError.from(error).message;
}

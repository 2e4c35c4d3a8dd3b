import { SkerryError, type Network, type NetworkSpec } from '@skerry/api';
import type { EventLog } from '../events/index.ts';
import { refOf, type Resources } from '../store/index.ts';
import type { Bridged, BridgedInterfaces } from './kernel/index.ts';
import type { LanFacts } from './lan-plan.ts';

/** Bridged networks: made, confirmed or taken back, given back in the end. What the store says is what happens after a crash. */

const CONFIRM_WITHIN_MS = 30_000;

export interface BridgedPorts {
  readonly networks: Resources<NetworkSpec, Network['status']>;
  readonly interfaces: BridgedInterfaces;
  readonly events: Pick<EventLog, 'emit'>;
  readonly log: (line: string) => void;
}

export interface Confirming {
  /** It need not be confirmed by anybody. */
  readonly confirm?: boolean | undefined;
  readonly confirmWithinMs?: number | undefined;
}

export class BridgedNetworks {
  readonly #ports: BridgedPorts;
  readonly #followed = new Set<Promise<void>>();
  /** Ids of those that somebody deletes: what they were is given back already. */
  readonly #released = new Set<string>();

  constructor(ports: BridgedPorts) {
    this.#ports = ports;
  }

  /** What its interface has. @throws SkerryError: it can't be bridged */
  look(parent: string): Promise<LanFacts> {
    return this.#ports.interfaces.look(parent);
  }

  /** Moves its interface to a bridge. @throws SkerryError: the interface is as it was then */
  async bring(
    network: Network,
    { confirm = false, confirmWithinMs = CONFIRM_WITHIN_MS }: Confirming,
  ): Promise<Network> {
    const { networks, interfaces } = this.#ports;
    const { id, spec } = network;
    const uplink = await interfaces.plan(id, spec.parent ?? '', confirmWithinMs);
    // Before anything is touched: whoever comes after us has to know what is to be undone.
    const staged = (await networks.update(id, ({ status }) => ({ status: { ...status, uplink } }))) as Network;
    await interfaces.stage(bridgedOf(staged), confirmWithinMs);
    if (!confirm) {
      this.#follow(staged);
      return staged;
    }
    try {
      return await this.#confirm(staged);
    } catch (error) {
      await interfaces.release(bridgedOf(staged));
      throw error;
    }
  }

  /** @throws SkerryError `invalid` (nothing to confirm), `timeout` (it was too late: it is gone) */
  async confirm(network: Network): Promise<Network> {
    const { uplink } = network.status;
    if (uplink === undefined) {
      throw new SkerryError(
        'invalid',
        `'${network.name}' is on no interface of this host: there is nothing to confirm`,
        {
          remedy: 'Bridged networks are confirmed after they were made.',
        },
      );
    }
    return uplink.confirmed ? network : this.#confirm(network);
  }

  async #confirm(network: Network): Promise<Network> {
    const { networks, interfaces } = this.#ports;
    await interfaces.confirm(bridgedOf(network));
    return (await networks.update(network.id, ({ status: { uplink, ...status } }) => {
      if (uplink === undefined) return { status };
      const { rollbackAt: _, ...moved } = uplink;
      return { status: { ...status, uplink: { ...moved, confirmed: true } } };
    })) as Network;
  }

  /** Gives the interface back what it had. */
  async release(network: Network): Promise<void> {
    this.#released.add(network.id);
    if (network.status.uplink !== undefined) await this.#ports.interfaces.release(bridgedOf(network));
  }

  /** After a restart of the daemon or of the host. */
  async recover(): Promise<void> {
    const { networks, interfaces } = this.#ports;
    for (const network of (await networks.list()).items as readonly Network[]) {
      if (network.spec.mode !== 'bridged') continue;
      if (network.status.uplink?.confirmed === true) await interfaces.adopt(bridgedOf(network));
      // Nothing had been touched.
      else if (network.status.uplink === undefined) await networks.delete(network.id);
      else this.#follow(network);
    }
  }

  async close(): Promise<void> {
    await this.#ports.interfaces.close();
    await Promise.all(this.#followed);
  }

  /** Once it was taken back it is no network any more. */
  #follow(network: Network): void {
    const done = this.#untilGone(network)
      .catch((error: unknown) => {
        this.#ports.log(`network ${network.name}: ${SkerryError.from(error).message}`);
      })
      .finally(() => this.#followed.delete(done));
    this.#followed.add(done);
  }

  async #untilGone(network: Network): Promise<void> {
    const { networks, interfaces, events } = this.#ports;
    if (!(await interfaces.rolledBack(bridgedOf(network))) || this.#released.has(network.id)) return;
    if ((await networks.find(network.id)) === undefined) return;
    await networks.delete(network.id);
    const message = `${network.name} was not confirmed: ${network.spec.parent} is as it was before`;
    void events.emit({ type: 'network.deleted', subject: refOf(network), message });
  }
}

function bridgedOf({ id, name, spec, status }: Network): Bridged {
  if (spec.parent === undefined || status.uplink === undefined)
    throw new SkerryError('internal', `${name} is not bridged`);
  return { id, name, parent: spec.parent, uplink: status.uplink };
}

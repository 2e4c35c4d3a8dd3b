import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { SkerryError } from '@skerry/api';
import type { JailHost } from '../../hypervisors/index.ts';
import type { Datapath } from '../datapath.ts';
import type { HostNetwork } from '../host-facts.ts';
import { parseDnsmasqLeases, type GivenLease } from '../leases.ts';
import { closedRanges, type PlannedNetwork, type PlannedVm } from '../plan.ts';
import type { ActualPlace } from './actual-model.ts';
import { diff, isNothing, type Steps } from './diff-plan.ts';
import { DnsService } from './dns-service.ts';
import { readForeignFilters, syncDocker } from './foreign-filters.ts';
import { lackBy } from './foreign-plan.ts';
import { PASSES_NOTHING, type Passing } from './forwarding-plan.ts';
import { leadsOut } from './inet-plan.ts';
import type { KernelHost, KernelPlan } from './kernel-model.ts';
import { tableText } from './nft-model.ts';
import { bridgeName, tagOf } from './names-model.ts';
import { applySteps, makeNamespace, ownNamespaces, readPlace, removeNamespace } from './place-commands.ts';
import { kernelPlan } from './plan.ts';
import { RelayService } from './relay-service.ts';
import { Router } from './router.ts';
import { queueLeases, vmsAt, type QueueLease } from './queue-lease-plan.ts';
import { QueueLeases } from './queue-leases.ts';
import { assertNicsSupported, assertSupported, type KernelSupport } from './support-plan.ts';

/**
 * Networks in the kernel: what is there is read, compared with what is wanted, and changed where it differs; at each sync and,
 * as long as something is plugged in, every few seconds, for others (a flushed ruleset, a removed bridge) may change it, too.
 */

/** What somebody breaks is whole again within 5 s: a look and its repair included. */
const LOOK_EVERY_MS = 2500;
/** What is made in one round is led on in the next; VMs come and go meanwhile. */
const MAX_ROUNDS = 6;

const NOTHING: KernelPlan = {
  places: [{ links: [], tables: [] }],
  relays: [],
  bridges: [],
  servers: [],
  isRouter: false,
};

/** What was asked for last, and what of the host it depends on. */
interface Wish {
  readonly networks: readonly PlannedNetwork[];
  readonly vms: readonly PlannedVm[];
  readonly host: KernelHost;
}

export interface KernelDatapathOptions {
  readonly runtimeDir: string;
  readonly instance: string;
  readonly jail: JailHost;
  readonly support: () => Promise<KernelSupport>;
  readonly hostNetwork: () => Promise<Pick<HostNetwork, 'resolvers' | 'leadsOut6'>>;
  readonly log?: ((line: string) => void) | undefined;
}

export class KernelDatapath implements Datapath {
  readonly #options: KernelDatapathOptions;
  readonly #tag: string;
  /** It is there as long as something of ours may be in the kernel. */
  readonly #dir: string;
  readonly #dns: DnsService;
  readonly #relays: RelayService;
  readonly #router: Router;
  readonly #leases: QueueLeases;
  #wish: Wish | undefined;
  #plan: KernelPlan = NOTHING;
  #last: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KernelDatapathOptions) {
    const { runtimeDir, instance, jail, log } = options;
    this.#options = options;
    this.#tag = tagOf(instance);
    this.#dir = join(runtimeDir, 'kernel');
    this.#dns = new DnsService({ dir: this.#dir, tag: this.#tag, jail, log });
    this.#relays = new RelayService(this.#dir, jail);
    this.#router = new Router(this.#dir);
    this.#leases = new QueueLeases(this.#dir, jail);
  }

  sync(
    networks: readonly PlannedNetwork[],
    vms: readonly PlannedVm[],
    others: readonly PlannedNetwork[] = [],
  ): Promise<void> {
    return this.#inTurn(async () => {
      const used = new Set(vms.flatMap((vm) => vm.nics.map((nic) => nic.networkId)));
      const wanted = networks.filter((network) => used.has(network.id));
      if (wanted.length === 0) return await this.#removeAll();
      const support = await this.#options.support();
      // Refused when it was asked for; but a store may come from another host.
      for (const network of wanted) assertSupported(network, support);
      assertNicsSupported(wanted, vms, support);
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      if (!wanted.some(({ mode }) => leadsOut(mode))) await this.#router.restore();
      this.#wish = { networks: wanted, vms, host: await this.#host(wanted, [...networks, ...others]) };
      await this.#bringAbout();
      this.#watch();
    });
  }

  /** What is not there at this moment though it should be, for people: somebody has changed it. */
  lacks(): Promise<string[]> {
    return this.#inTurn(async () => {
      if (this.#timer === undefined) return [];
      return told(diff(this.#plan, await this.#look(), this.#tag, String(process.pid)));
    });
  }

  /** As nft(8) writes it: of this network alone, which shares its tables with others. */
  async ruleset(network: PlannedNetwork, vms: readonly PlannedVm[]): Promise<string> {
    const { places } = kernelPlan([network], vms, await this.#host([network], [network]));
    return places.flatMap(({ tables }) => tables.map((table) => tableText(table))).join('\n');
  }

  retire(): Promise<void> {
    return this.#inTurn(() => this.#removeAll());
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#last.catch(() => undefined);
    await this.#dns.close();
  }

  /** What guests have got of a network's range. */
  async leases(networkId: string): Promise<GivenLease[]> {
    return parseDnsmasqLeases(await this.#dns.leases(networkId));
  }

  /** Filters of others that drop what it passes on. */
  async lack({ id, mode }: PlannedNetwork): Promise<string | undefined> {
    if (!leadsOut(mode)) return undefined;
    return lackBy(await readForeignFilters(this.#tag, bridgeName(this.#tag, id)));
  }

  /** @param all of this host, on whatever datapath */
  async #host(networks: readonly PlannedNetwork[], all: readonly PlannedNetwork[]): Promise<KernelHost> {
    const { hostNetwork, support } = this.#options;
    const { resolvers, leadsOut6 = false } = await hostNetwork();
    const { vlanFiltering, netemSeed } = await support();
    return {
      tag: this.#tag,
      resolvers,
      leadsOut6,
      passing: await this.#passing(networks),
      closed: closedRanges(all),
      vlanFiltering,
      netemSeed,
    };
  }

  async #bringAbout(): Promise<void> {
    await this.#converge();
    await this.#passOn();
    await this.#dns.sync(this.#plan.servers);
  }

  /** Rules against the rest are there by now. */
  async #passOn(): Promise<void> {
    const { isRouter, bridges } = this.#plan;
    if (!isRouter || this.#wish === undefined) return;
    const ours = bridges.filter(({ leads }) => leads !== 'lan').map(({ name }) => name);
    await this.#router.enable(ours, this.#wish.host.passing);
  }

  async #passing(networks: readonly PlannedNetwork[]): Promise<Passing> {
    const out = networks.filter(({ mode }) => leadsOut(mode));
    return out.length === 0 ? PASSES_NOTHING : this.#router.passing(out.some(({ ipv6 }) => ipv6 !== undefined));
  }

  /** @returns what was changed, for people; empty when all was as it should be */
  async #converge(): Promise<string[]> {
    const leases = this.#planNow();
    await this.#relays.sync(this.#plan.relays);
    await this.#leases.begin(leases);
    const changed: string[] = [];
    let refused = '';
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const actual = await this.#look();
      // Planned after the look, and anew in each round: what has ended by itself meanwhile would be begun again.
      this.#planNow();
      const steps = diff(this.#plan, actual, this.#tag, String(process.pid));
      if (isNothing(steps)) {
        await this.#leases.keepOnly(leases);
        return [...changed, ...(await syncDocker(this.#plan.bridges, this.#tag))];
      }
      changed.push(...told(steps));
      refused = await this.#take(steps);
    }
    throw new SkerryError('failed', `The kernel does not take what its networks need: ${refused}`, {
      remedy: 'See `skerry host doctor`, and the log of the daemon.',
      details: { changed },
    });
  }

  /** Impairments that are over have no part in it. @returns who ends the others */
  #planNow(): QueueLease[] {
    const wish = this.#wish;
    if (wish === undefined) {
      this.#plan = NOTHING;
      return [];
    }
    const { networks, vms, host } = wish;
    const nowMs = Date.now();
    this.#plan = kernelPlan(networks, vmsAt(vms, nowMs), host);
    return queueLeases(networks, vms, host, nowMs);
  }

  async #look(): Promise<ActualPlace[]> {
    const netns = [undefined, ...(await ownNamespaces(this.#tag))];
    const places = await Promise.all(
      netns.map((name) =>
        readPlace(
          name,
          this.#plan.places.find((place) => place.netns === name),
          this.#tag,
        ),
      ),
    );
    return places.flatMap((place) => place ?? []);
  }

  async #take(steps: Steps): Promise<string> {
    await Promise.all(steps.makeNamespaces.map((name) => makeNamespace(name)));
    // In turn: what is moved out of one place is wanted in another.
    const refused: string[] = [];
    for (const place of steps.places) refused.push(await applySteps(place));
    await Promise.all(steps.removeNamespaces.map((name) => removeNamespace(name)));
    await this.#routeLoopback();
    const made = new Set(steps.makeNamespaces);
    await this.#dns.restart(this.#plan.servers.filter(({ netns }) => netns !== undefined && made.has(netns)));
    return refused.filter((text) => text !== '').join('\n');
  }

  /** ip(8) has no word for it. */
  async #routeLoopback(): Promise<void> {
    for (const place of this.#plan.places) {
      for (const link of place.links) {
        if (link.kind !== 'bridge' || !link.routesLoopback || place.netns !== undefined) continue;
        // It may have been removed again: then the next look makes it anew.
        await writeFile(`/proc/sys/net/ipv4/conf/${link.name}/route_localnet`, '1').catch(() => undefined);
      }
    }
  }

  async #removeAll(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    const isThere = await access(this.#dir).then(
      () => true,
      () => false,
    );
    if (!isThere) return;
    this.#wish = undefined;
    await this.#dns.sync([]);
    await this.#router.restore();
    await this.#converge();
    await rm(this.#dir, { recursive: true, force: true });
  }

  #watch(): void {
    this.#timer ??= setInterval(() => void this.#lookAgain(), LOOK_EVERY_MS).unref();
  }

  async #lookAgain(): Promise<void> {
    // One that takes longer than the time between two is not followed by a queue of others.
    const timer = this.#timer;
    await this.#inTurn(async () => {
      if (this.#timer === undefined || this.#timer !== timer) return;
      // An interface has come, or somebody else makes the host a router now: our rules follow.
      await this.#follow();
      const changed = await this.#converge();
      await this.#passOn();
      if (changed.length > 0)
        this.#options.log?.(`networks were changed by somebody, and are repaired: ${changed.join('; ')}`);
    }).catch((error: unknown) => this.#options.log?.(`networks: ${SkerryError.from(error).message}`));
  }

  async #follow(): Promise<void> {
    if (this.#wish === undefined) return;
    const { networks, host } = this.#wish;
    const passing = await this.#passing(networks);
    if (isDeepStrictEqual(passing, host.passing)) return;
    this.#wish = { ...this.#wish, host: { ...host, passing } };
    await this.#converge();
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#last.then(body, body);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function told({ makeNamespaces, places, removeNamespaces }: Steps): string[] {
  return [
    ...makeNamespaces.map((name) => `namespace ${name}`),
    ...places.flatMap(({ nft, ip, bridge, tc }) => [...(nft === '' ? [] : ['rules']), ...ip, ...bridge, ...tc]),
    ...removeNamespaces.map((name) => `namespace ${name} removed`),
  ];
}

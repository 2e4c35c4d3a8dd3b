import { networkInterfaces } from 'node:os';
import { ADVERTISE_INTERVAL_MS } from './answers6.ts';
import { Captures } from './capture/captures.ts';
import type { Segment, SwitchConfig } from './config.ts';
import { formatIpv4, formatMac } from './address.ts';
import { Cuts } from './cuts.ts';
import { DhcpLeases } from './dhcp-leases.ts';
import { Filter } from './filter.ts';
import { Port } from './port.ts';
import type { PortStats, SwitchLeases, SwitchState, SwitchStats } from './protocol.ts';
import { Resolver } from './resolver.ts';
import { MONOTONIC, Schedule } from './schedule.ts';
import { SegmentFlow } from './segment.ts';
import { compileSegment, type SegmentTable } from './table.ts';
import { UdpForwards } from './udp-forwards.ts';

const OWN_ADDRESSES_INTERVAL_MS = 10_000;

/** All segments of a host: keeps connections while tables change around them. */
export class Switch {
  readonly #log: (line: string) => void;
  readonly #resolver: Resolver;
  readonly #startedAt = performance.now();
  /** By socketPath: what makes a connection the same one across syncs. */
  readonly #ports = new Map<string, Port>();
  /** By id of the segment. */
  readonly #filters = new Map<string, Filter>();
  readonly #forwards = new Map<string, UdpForwards>();
  readonly #leases = new Map<string, DhcpLeases>();
  #resync: NodeJS.Immediate | undefined;
  #config: SwitchConfig = { version: 1, segments: [] };
  #flows: readonly SegmentFlow[] = [];
  #ownAddresses = ownAddresses();
  readonly #timer: NodeJS.Timeout;
  readonly #advertising: NodeJS.Timeout;
  readonly #schedule: Schedule;
  readonly cuts = new Cuts(() => this.#flows);
  readonly captures: Captures;

  constructor(options: { log: (line: string) => void; resolver?: Resolver; advertiseMs?: number }) {
    this.#log = options.log;
    this.#resolver = options.resolver ?? new Resolver();
    this.#schedule = new Schedule(MONOTONIC, (error) => {
      this.#log(`internal error: ${error instanceof Error ? error.stack : String(error)}`);
    });
    this.captures = new Captures((id) => this.#portsOf(id), this.#log);
    const advertise = () => this.#flows.forEach((flow) => flow.advertise());
    this.#advertising = setInterval(advertise, options.advertiseMs ?? ADVERTISE_INTERVAL_MS).unref();
    this.#timer = setInterval(() => this.#watch(), OWN_ADDRESSES_INTERVAL_MS).unref();
  }

  /** @param config a checked one. It takes effect at once, connections are made in the background. */
  sync(config: SwitchConfig): void {
    const wanted = new Set<string>();
    this.#ownAddresses = ownAddresses();
    this.#config = config;
    const tables = new Map<string, SegmentTable>();
    this.#flows = config.segments.map((segment) => {
      const ports = segment.ports.map((port) => {
        const found = this.#port(port.id, port.socketPath, wanted);
        found.join(segment.id);
        found.impairments.set(port.impairments ?? [], port.rateKbit, port.seedName ?? port.id);
        return found;
      });
      const egress =
        segment.egress === undefined
          ? undefined
          : this.#port(`${segment.id} egress`, segment.egress.socketPath, wanted);
      const filter = this.#filter(segment);
      const { partitions } = segment;
      const forwards = this.#forwardsOf(segment);
      const leases = this.#leasesOf(segment);
      const table = compileSegment(segment, this.#ownAddresses, leases?.given());
      tables.set(segment.id, table);
      const onLease = () => this.#syncSoon();
      const more = { partitions, forwards, leases, onLease, tables };
      return new SegmentFlow(table, ports, egress, this.#resolver, filter, more);
    });
    this.#forget(config.segments);
    for (const [i, { id, udpForwards = [] }] of config.segments.entries()) {
      const flow = this.#flows[i]!;
      const deliver = (index: number, frame: Buffer) => flow.deliver(index, frame);
      this.#forwards.get(id)?.update(udpForwards, { table: flow.table, deliver });
    }
    for (const [path, port] of this.#ports) {
      if (wanted.has(path)) continue;
      this.#ports.delete(path);
      port.close();
      void this.captures.end(port);
    }
  }

  /** Impairments begin anew, without what waited in them. */
  drop(segments: readonly string[]): void {
    for (const { table, ports } of this.#flows)
      if (segments.includes(table.id)) for (const port of ports) port.impairments.close();
    this.sync(this.#config);
  }

  state(): SwitchState {
    return {
      pid: process.pid,
      segments: this.#config.segments.map((segment, index) => ({
        id: segment.id,
        partitions: this.#flows[index]?.partitions.active ?? [],
        ports: segment.ports.map(({ id, socketPath }) => ({
          id,
          socketPath,
          connected: this.#connected(socketPath),
          impairments: this.#ports.get(socketPath)?.impairments.active ?? [],
        })),
        ...(segment.egress === undefined
          ? {}
          : { egress: { ...segment.egress, connected: this.#connected(segment.egress.socketPath) } }),
        ...((segment.udpForwards ?? []).length === 0 ? {} : { udpForwards: this.#forwards.get(segment.id)!.state() }),
      })),
    };
  }

  stats(): SwitchStats {
    return {
      uptimeMs: Math.round(performance.now() - this.#startedAt),
      segments: this.#flows.map((flow) => ({
        id: flow.table.id,
        ports: flow.ports.map((port) => portStats(port)),
        ...(flow.egress === undefined ? {} : { egress: portStats(flow.egress) }),
      })),
    };
  }

  leases(): SwitchLeases {
    const segments = [...this.#leases].map(([id, leases]) => ({
      id,
      leases: [...leases.given().values()].map(({ mac, address, expiresAtMs }) => ({
        mac: formatMac(mac),
        address: formatIpv4(address),
        expiresAtMs,
      })),
    }));
    return { segments };
  }

  /** Frames end at once; settles when captures are written. */
  async close(): Promise<void> {
    clearImmediate(this.#resync);
    clearInterval(this.#timer);
    clearInterval(this.#advertising);
    this.cuts.close();
    this.#resolver.close();
    for (const forwards of this.#forwards.values()) forwards.close();
    const ports = [...this.#ports.values()];
    for (const port of ports) port.close();
    this.#ports.clear();
    this.#schedule.close();
    this.#flows = [];
    await Promise.all(ports.map((port) => this.captures.end(port)));
  }

  #port(id: string, socketPath: string, wanted: Set<string>): Port {
    wanted.add(socketPath);
    let port = this.#ports.get(socketPath);
    if (port === undefined) {
      port = new Port(id, socketPath, this.#schedule, this.#log);
      this.#ports.set(socketPath, port);
    } else {
      port.id = id;
      port.retryNow();
    }
    return port;
  }

  #portsOf(id: string): Port[] {
    const all = this.#config.segments.flatMap((segment) => segment.ports);
    return all.filter((port) => port.id === id).flatMap(({ socketPath }) => this.#ports.get(socketPath) ?? []);
  }

  #filter(segment: Segment): Filter {
    const filter = this.#filters.get(segment.id) ?? new Filter();
    this.#filters.set(segment.id, filter);
    filter.update(segment);
    return filter;
  }

  #forwardsOf({ id, udpForwards = [] }: Segment): UdpForwards | undefined {
    const known = this.#forwards.get(id);
    if (known !== undefined || udpForwards.length === 0) return known;
    const forwards = new UdpForwards(this.#log);
    this.#forwards.set(id, forwards);
    return forwards;
  }

  #leasesOf(segment: Segment): DhcpLeases | undefined {
    if (segment.dhcpRange === undefined) {
      this.#leases.delete(segment.id);
      return undefined;
    }
    const leases = this.#leases.get(segment.id) ?? new DhcpLeases();
    this.#leases.set(segment.id, leases);
    leases.update(segment);
    return leases;
  }

  /** After the batch of frames that brought it: who got an address may send from it. */
  #syncSoon(): void {
    this.#resync ??= setImmediate(() => {
      this.#resync = undefined;
      this.sync(this.#config);
    });
  }

  /** What segments had that are no more. Their ports of the host are free before others take them. */
  #forget(segments: readonly Segment[]): void {
    const ids = new Set(segments.map(({ id }) => id));
    for (const each of [this.#filters, this.#leases]) {
      for (const id of each.keys()) if (!ids.has(id)) each.delete(id);
    }
    for (const [id, forwards] of this.#forwards) {
      if (ids.has(id)) continue;
      forwards.close();
      this.#forwards.delete(id);
    }
  }

  #connected(socketPath: string): boolean {
    return this.#ports.get(socketPath)?.connected ?? false;
  }

  /**
   * The host can get a new address at any time (DHCP, a VPN), also while no daemon runs: guests must not reach that one
   * either. And a lease can be over.
   */
  #watch(): void {
    const isOver = this.#flows.some(({ table }) => {
      const given = this.#leases.get(table.id)?.given();
      return table.ports.some(
        (port) => port.rangeLease !== undefined && port.addresses[0] !== given?.get(port.mac)?.address,
      );
    });
    const hasWayOut = this.#config.segments.some((segment) => segment.egress !== undefined);
    if (isOver || (hasWayOut && ownAddresses().join() !== this.#ownAddresses.join())) this.sync(this.#config);
  }
}

function portStats(port: Port): PortStats {
  return {
    id: port.id,
    connected: port.connected,
    receivedFrames: port.receivedFrames,
    receivedBytes: port.receivedBytes,
    sentFrames: port.sentFrames,
    sentBytes: port.sentBytes,
    queueDrops: port.queueDrops,
    unconnectedDrops: port.unconnectedDrops,
    drops: port.drops.toJSON(),
    impaired: { out: { ...port.impairments.counts.out }, in: { ...port.impairments.counts.in } },
  };
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map((address) => address.address)
    .sort();
}

import { networkInterfaces } from 'node:os';
import type { Segment, SwitchConfig } from './config.ts';
import { Cuts } from './cuts.ts';
import { Port } from './port.ts';
import type { PortStats, SwitchState, SwitchStats } from './protocol.ts';
import { Resolver } from './resolver.ts';
import { SegmentFlow } from './segment.ts';
import { compileSegment } from './table.ts';

const OWN_ADDRESSES_INTERVAL_MS = 10_000;

/** All segments of a host: keeps connections while tables change around them. */
export class Switch {
  readonly #log: (line: string) => void;
  readonly #resolver: Resolver;
  readonly #startedAt = performance.now();
  /** By socketPath: what makes a connection the same one across syncs. */
  readonly #ports = new Map<string, Port>();
  #config: SwitchConfig = { version: 1, segments: [] };
  #flows: readonly SegmentFlow[] = [];
  #ownAddresses = ownIpv4Addresses();
  readonly #timer: NodeJS.Timeout;
  readonly cuts = new Cuts(() => this.#flows);

  constructor(options: { log: (line: string) => void; resolver?: Resolver }) {
    this.#log = options.log;
    this.#resolver = options.resolver ?? new Resolver();
    this.#timer = setInterval(() => this.#watchOwnAddresses(), OWN_ADDRESSES_INTERVAL_MS).unref();
  }

  /** @param config a checked one. It takes effect at once, connections are made in the background. */
  sync(config: SwitchConfig): void {
    const wanted = new Set<string>();
    this.#ownAddresses = ownIpv4Addresses();
    this.#config = config;
    this.#flows = config.segments.map((segment) => {
      const ports = segment.ports.map((port) => this.#port(port.id, port.socketPath, wanted));
      const egress =
        segment.egress === undefined
          ? undefined
          : this.#port(`${segment.id} egress`, segment.egress.socketPath, wanted);
      return new SegmentFlow(compileSegment(segment, this.#ownAddresses), ports, egress, this.#resolver);
    });
    for (const [path, port] of this.#ports) {
      if (wanted.has(path)) continue;
      this.#ports.delete(path);
      port.close();
    }
  }

  state(): SwitchState {
    return {
      pid: process.pid,
      segments: this.#config.segments.map((segment) => ({
        id: segment.id,
        ports: segment.ports.map(({ id, socketPath }) => ({ id, socketPath, connected: this.#connected(socketPath) })),
        ...(segment.egress === undefined
          ? {}
          : { egress: { ...segment.egress, connected: this.#connected(segment.egress.socketPath) } }),
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

  close(): void {
    clearInterval(this.#timer);
    this.cuts.close();
    this.#resolver.close();
    for (const port of this.#ports.values()) port.close();
    this.#ports.clear();
    this.#flows = [];
  }

  #port(id: string, socketPath: string, wanted: Set<string>): Port {
    wanted.add(socketPath);
    let port = this.#ports.get(socketPath);
    if (port === undefined) {
      port = new Port(id, socketPath, this.#log);
      this.#ports.set(socketPath, port);
    } else {
      port.id = id;
      port.retryNow();
    }
    return port;
  }

  #connected(socketPath: string): boolean {
    return this.#ports.get(socketPath)?.connected ?? false;
  }

  /**
   * The host can get a new address at any time (DHCP, a VPN), also while no daemon runs: guests must not reach that one
   * either.
   */
  #watchOwnAddresses(): void {
    if (!this.#config.segments.some((segment: Segment) => segment.egress !== undefined)) return;
    if (ownIpv4Addresses().join() !== this.#ownAddresses.join()) this.sync(this.#config);
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
  };
}

function ownIpv4Addresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === 'IPv4')
    .map((address) => address.address)
    .sort();
}

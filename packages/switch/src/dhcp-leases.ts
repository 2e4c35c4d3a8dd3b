import { parseIpv4 } from './address.ts';
import type { Segment } from './config.ts';
import { DHCP, type DhcpRequest } from './packets/dhcp.ts';

/**
 * Addresses of one segment's DHCP range that guests without an address of their own have, by MAC. It outlives syncs. Each
 * MAC has one at most, and MACs are checked, so nobody can take more than the ports that there are.
 */

/** A switch that dies forgets who has what: short enough that guests ask again soon. */
export const RANGE_LEASE_SECONDS = 600;
/** How long an offer is kept for who has got it. */
const OFFER_SECONDS = 60;

export interface RangeLease {
  readonly mac: number;
  readonly address: number;
  readonly expiresAtMs: number;
}

export class DhcpLeases {
  readonly #now: () => number;
  readonly #leases = new Map<number, { address: number; expiresAtMs: number; given: boolean }>();
  #first = 0;
  #last = -1;
  #taken: ReadonlySet<number> = new Set();
  /** Where the search for a free one goes on: one that was given back is not given to another at once. */
  #next = 0;

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** To be called with each sync. Leases that the range has no more, or that are a port's own address now, are over. */
  update(segment: Pick<Segment, 'dhcpRange' | 'gateway' | 'ports'>): void {
    this.#first = parseIpv4(segment.dhcpRange?.from ?? '') ?? 0;
    this.#last = parseIpv4(segment.dhcpRange?.to ?? '') ?? -1;
    this.#taken = new Set(
      [segment.gateway, ...segment.ports.flatMap((port) => port.addresses)].map(parseIpv4).map(Number),
    );
    for (const [mac, { address }] of this.#leases) if (!this.#isInRange(address)) this.#leases.delete(mac);
  }

  /** Those that were given, by MAC. What is over is forgotten. */
  given(): ReadonlyMap<number, RangeLease> {
    this.#forgetOver();
    const given = [...this.#leases].filter(([, lease]) => lease.given);
    return new Map(given.map(([mac, { address, expiresAtMs }]) => [mac, { mac, address, expiresAtMs }]));
  }

  /**
   * What is to be said to `request`; a lease that it asks for is given.
   * @param server who has to be asked
   * @returns the address, 0 when it asks for one that it can't have, undefined when there is none to be had
   */
  answer({ messageType, clientMac: mac, ...request }: DhcpRequest, server: number): number | undefined {
    this.#forgetOver();
    const known = this.#leases.get(mac);
    const wanted = request.requestedAddress ?? request.clientAddress;
    switch (messageType) {
      case DHCP.discover: {
        const address = known?.address ?? (this.#isFree(wanted) ? wanted : this.#free());
        if (address !== undefined && known === undefined) this.#keep(mac, address, OFFER_SECONDS, false);
        return address;
      }
      case DHCP.request:
        if (request.server !== undefined && request.server !== server) return undefined;
        if (known === undefined ? !this.#isFree(wanted) : known.address !== wanted) return 0;
        this.#keep(mac, wanted, RANGE_LEASE_SECONDS, true);
        return wanted;
      case DHCP.release:
      case DHCP.decline:
        this.#leases.delete(mac);
        return undefined;
      default:
        return known?.address;
    }
  }

  #keep(mac: number, address: number, seconds: number, given: boolean): void {
    this.#leases.set(mac, { address, expiresAtMs: this.#now() + seconds * 1000, given });
    this.#next = address + 1;
  }

  #free(): number | undefined {
    const count = this.#last - this.#first + 1;
    const from = this.#isInRange(this.#next) ? this.#next : this.#first;
    for (let i = 0; i < count; i += 1) {
      const address = this.#first + ((from - this.#first + i) % count);
      if (this.#isFree(address)) return address;
    }
    return undefined;
  }

  #isFree(address: number): boolean {
    return this.#isInRange(address) && ![...this.#leases.values()].some((lease) => lease.address === address);
  }

  #isInRange(address: number): boolean {
    return address >= this.#first && address <= this.#last && !this.#taken.has(address);
  }

  #forgetOver(): void {
    const now = this.#now();
    for (const [mac, { expiresAtMs }] of this.#leases) if (expiresAtMs <= now) this.#leases.delete(mac);
  }
}

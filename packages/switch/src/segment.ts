import { answerArpFrame, answerDhcpFrame, answerIcmpFrame, readDnsFrame } from './answers.ts';
import { advertisementFrame, answerEcho6Frame, answerNeighbourFrame } from './answers6.ts';
import { BEYOND } from './acl.ts';
import { decide, decideFromEgress } from './decide.ts';
import { isNeighbourTraffic } from './decide6.ts';
import { drop, dropIndex, VERDICT, type Verdict } from './verdict.ts';
import { PASS, type Filter } from './filter.ts';
import { LENGTH_BYTES, withLength } from './framing.ts';
import type { SegmentPartition } from './config.ts';
import { Partitions } from './partition.ts';
import { answerDns } from './names.ts';
import type { FrameHandler, Port } from './port.ts';
import type { Resolver } from './resolver.ts';
import { ETHERTYPE_ARP, ETHERTYPE_IPV6, readUint16, writeMac } from './packets/ethernet.ts';
import type { PortEntry, SegmentTable } from './table.ts';
import type { DhcpLeases } from './dhcp-leases.ts';
import type { UdpForwards } from './udp-forwards.ts';
import { hears, isTagged, isTaggedAt, NONE, tag, untag, UNTAGGED, vlanOnTrunk } from './vlan.ts';

/**
 * Carries out the verdicts of one segment. Frames of one batch that lie side by side and go the same way are sent as
 * one run: a 64 KiB chunk of a bulk transfer costs one write, not forty.
 */
export class SegmentFlow {
  readonly table: SegmentTable;
  readonly ports: readonly Port[];
  readonly egress: Port | undefined;
  readonly partitions: Partitions;
  readonly #resolver: Resolver;
  /** Absent: there is no ACL. */
  readonly #filter: Filter | undefined;
  readonly #forwards: UdpForwards | undefined;
  readonly #leases: DhcpLeases | undefined;
  /** Called when a port has got an address of the range, or given it back. */
  readonly #onLease: () => void;
  /** Of all segments, by id. */
  readonly #tables: ReadonlyMap<string, SegmentTable>;
  /** By index of the port: its number in the filter. */
  readonly #numbers: readonly number[];
  #runPort: Port | undefined;
  #runBuffer: Buffer | undefined;
  #runStart = 0;
  #runEnd = 0;
  #runFrames = 0;

  /** @param ports in the order of the table's; each is given its handler here */
  constructor(
    table: SegmentTable,
    ports: readonly Port[],
    egress: Port | undefined,
    resolver: Resolver,
    filter?: Filter,
    more: {
      partitions?: readonly SegmentPartition[] | undefined;
      forwards?: UdpForwards | undefined;
      leases?: DhcpLeases | undefined;
      onLease?: () => void;
      tables?: ReadonlyMap<string, SegmentTable>;
    } = {},
  ) {
    this.table = table;
    this.ports = ports;
    this.egress = egress;
    this.#resolver = resolver;
    this.partitions = new Partitions(
      more.partitions ?? [],
      table.ports.map(({ id }) => id),
    );
    this.#forwards = more.forwards;
    this.#leases = more.leases;
    this.#onLease = more.onLease ?? (() => {});
    this.#tables = more.tables ?? new Map();
    this.#filter = filter?.active === true ? filter : undefined;
    this.#numbers = table.ports.map((entry) => filter?.numberOf(entry.id) ?? BEYOND);
    for (const entry of table.ports) {
      if (table.isWire) this.#attachEnd(ports[entry.index]!, entry);
      else this.#attachGuest(ports[entry.index]!, entry);
    }
    if (egress !== undefined) this.#attachEgress(egress);
  }

  #attachGuest(port: Port, entry: PortEntry): void {
    const { vlan } = entry;
    port.handler = this.#handler(
      entry.trunk === undefined
        ? (buffer, start, end) => this.#take(port, entry, vlan, buffer, start, end)
        : (buffer, start, end) => this.#takeFromTrunk(port, entry, buffer, start, end),
    );
  }

  #takeFromTrunk(port: Port, entry: PortEntry, buffer: Buffer, start: number, end: number): void {
    const vlan = vlanOnTrunk(entry, buffer, start + LENGTH_BYTES, end);
    if (vlan === NONE) return port.drops.count(VLAN);
    if (!isTagged(buffer, start + LENGTH_BYTES, end)) return this.#take(port, entry, vlan, buffer, start, end);
    const untagged = untag(buffer, start, end);
    this.#take(port, entry, vlan, untagged, 0, untagged.length);
  }

  #take(port: Port, entry: PortEntry, vlan: number, buffer: Buffer, start: number, end: number): void {
    const verdict = decide(this.table, entry, buffer, start + LENGTH_BYTES, end, vlan);
    const dropped = dropIndex(verdict);
    if (verdict === VERDICT.flood) return this.#flood(port, entry, vlan, buffer, start, end);
    if (dropped >= 0) return port.drops.count(dropped);
    if (verdict >= 0 && this.partitions.separate(entry.index, verdict)) return port.drops.count(PARTITION);
    if (this.#filter !== undefined) {
      const refused = this.#refusal(this.#filter, this.#numbers[entry.index]!, verdict, buffer, start, end);
      if (refused >= 0) return port.drops.count(refused);
    }
    if (verdict >= 0) this.#send(verdict, vlan, buffer, start, end);
    else if (verdict === VERDICT.egress) this.#extend(this.egress!, buffer, start, end);
    else this.#answer(verdict, port, entry, buffer.subarray(start + LENGTH_BYTES, end));
  }

  /** @returns the index of the reason, or -1: it may pass. ARP and its like, and what the gateway serves, are never asked about. */
  #refusal(filter: Filter, from: number, verdict: Verdict, buffer: Buffer, start: number, end: number): number {
    const toGateway = verdict === VERDICT.icmp || verdict === VERDICT.icmp6;
    if (verdict < 0 && !toGateway && verdict !== VERDICT.egress) return -1;
    if (isAboutNeighbours(buffer, start, end)) return -1;
    const to = verdict >= 0 ? this.#numbers[verdict]! : BEYOND;
    const passed = filter.decide(from, to, buffer, start + LENGTH_BYTES, end, { forget: toGateway });
    return passed === PASS ? -1 : dropIndex(passed);
  }

  /** One of two: what it sends the other gets, unread. */
  #attachEnd(port: Port, entry: PortEntry): void {
    const other = this.table.ports[1 - entry.index]!;
    const to = this.ports[other.index]!;
    const up = entry.linkUp && other.linkUp;
    port.handler = this.#handler((buffer, start, end) => {
      if (!up) port.drops.count(LINK_DOWN);
      else if (this.partitions.separate(entry.index, other.index)) port.drops.count(PARTITION);
      else this.#extend(to, buffer, start, end);
    });
  }

  #attachEgress(port: Port): void {
    port.handler = this.#handler((buffer, start, end) => {
      const verdict = decideFromEgress(this.table, buffer, start + LENGTH_BYTES, end);
      const dropped = dropIndex(verdict);
      if (dropped >= 0) return port.drops.count(dropped);
      if (verdict < 0) return this.#answerEgress(verdict, port, buffer.subarray(start + LENGTH_BYTES, end));
      // slirp makes MACs of the addresses that it sends IPv6 for; guests know the gateway's.
      writeMac(buffer, start + LENGTH_BYTES + 6, this.table.gatewayMac);
      const refused =
        this.#filter === undefined ? -1 : this.#refusal(this.#filter, BEYOND, verdict, buffer, start, end);
      if (refused >= 0) port.drops.count(refused);
      else this.#send(verdict, UNTAGGED, buffer, start, end);
    });
  }

  /** It asks where guests are. */
  #answerEgress(verdict: Verdict, port: Port, frame: Buffer): void {
    const answer = verdict === VERDICT.nd ? answerNeighbourFrame : answerArpFrame;
    reply(port, answer(this.table, frame));
  }

  #send(index: number, vlan: number, buffer: Buffer, start: number, end: number): void {
    const entry = this.table.ports[index]!;
    if (entry.trunk === undefined || !isTaggedAt(entry, vlan)) {
      return this.#extend(this.ports[index]!, buffer, start, end);
    }
    const tagged = tag(buffer, start, end, vlan);
    this.#extend(this.ports[index]!, tagged, 0, tagged.length);
  }

  #handler(frame: FrameHandler['frame']): FrameHandler {
    return { frame, flush: () => this.#flush() };
  }

  #extend(port: Port, buffer: Buffer, start: number, end: number): void {
    if (port === this.#runPort && buffer === this.#runBuffer && start === this.#runEnd) {
      this.#runEnd = end;
      this.#runFrames += 1;
      return;
    }
    this.#flush();
    this.#runPort = port;
    this.#runBuffer = buffer;
    this.#runStart = start;
    this.#runEnd = end;
    this.#runFrames = 1;
  }

  #flush(): void {
    if (this.#runPort === undefined) return;
    this.#runPort.deliver(this.#runBuffer!, this.#runStart, this.#runEnd, this.#runFrames);
    this.#runPort = undefined;
    this.#runBuffer = undefined;
  }

  /** To all guests of the VLAN but the sender. Nothing of the segment's own chatter goes to the way out. */
  #flood(port: Port, from: PortEntry, vlan: number, buffer: Buffer, start: number, end: number): void {
    this.#flush(); // so that frames of one sender stay in order
    const filter = this.#filter === undefined || isAboutNeighbours(buffer, start, end) ? undefined : this.#filter;
    const fromNumber = this.#numbers[from.index]!;
    let refused = -1;
    for (const entry of this.table.ports) {
      if (entry === from || !entry.linkUp || !hears(entry, vlan)) continue;
      if (this.partitions.separate(from.index, entry.index)) {
        refused = PARTITION;
        continue;
      }
      const passed =
        filter?.decide(fromNumber, this.#numbers[entry.index]!, buffer, start + LENGTH_BYTES, end, GROUP) ?? PASS;
      if (passed !== PASS) {
        refused = dropIndex(passed);
        continue;
      }
      this.#send(entry.index, vlan, buffer, start, end);
    }
    // Once, however many did not get it.
    if (refused >= 0) port.drops.count(refused);
  }

  /** Tells all who reach the gateway how to make an address. */
  advertise(): void {
    const frame = this.table.isWire ? undefined : advertisementFrame(this.table);
    if (frame === undefined) return;
    for (const entry of this.table.ports) {
      if (entry.linkUp && entry.vlan === UNTAGGED && this.ports[entry.index]!.connected)
        this.deliver(entry.index, frame);
    }
  }

  /** From the gateway itself. */
  deliver(index: number, frame: Buffer): void {
    reply(this.ports[index]!, frame);
  }

  #answer(verdict: Verdict, port: Port, entry: PortEntry, frame: Buffer): void {
    switch (verdict) {
      case VERDICT.arp:
        return reply(port, answerArpFrame(this.table, frame));
      case VERDICT.icmp:
        return reply(port, answerIcmpFrame(frame));
      case VERDICT.dhcp:
        return this.#answerDhcp(port, entry, frame);
      case VERDICT.nd:
        return reply(port, answerNeighbourFrame(this.table, frame));
      case VERDICT.rs:
        return reply(port, advertisementFrame(this.table));
      case VERDICT.icmp6:
        return reply(port, answerEcho6Frame(frame));
      case VERDICT.forward:
        if (this.#forwards?.answer(frame) !== true) port.drops.count(HOST);
        return;
      default:
        return this.#answerDns(port, entry, frame);
    }
  }

  #answerDhcp(port: Port, entry: PortEntry, frame: Buffer): void {
    reply(port, answerDhcpFrame(this.table, entry, frame, this.#leases));
    if (entry.rangeLease !== undefined && this.#leases?.given().get(entry.mac)?.address !== entry.addresses[0]) {
      this.#onLease();
    }
  }

  #answerDns(port: Port, entry: PortEntry, frame: Buffer): void {
    const request = readDnsFrame(frame);
    if (request === undefined) return reply(port, undefined);
    const others = entry.others.map(({ id, domain }) => ({ table: this.#tables.get(id), domain }));
    const answer = answerDns(this.table, request.query, request.message, others);
    if (answer !== 'forward') return reply(port, request.reply(answer));
    const accepted = this.#resolver.ask(port, request.query, request.message, this.table.upstreamDns, (message) =>
      reply(port, request.reply(message)),
    );
    if (!accepted) port.drops.count(DNS_LIMIT);
  }
}

const LINK_DOWN = dropIndex(drop('link-down'));
const PARTITION = dropIndex(drop('partition'));
const UNANSWERED = dropIndex(drop('unanswered'));
const HOST = dropIndex(drop('host'));
const VLAN = dropIndex(drop('vlan'));
const DNS_LIMIT = dropIndex(drop('dns-limit'));

/** Nothing is answered to a group as a whole. */
const GROUP = { forget: true };

function isAboutNeighbours(buffer: Buffer, start: number, end: number): boolean {
  const type = readUint16(buffer, start + LENGTH_BYTES + 12);
  return type === ETHERTYPE_ARP || (type === ETHERTYPE_IPV6 && isNeighbourTraffic(buffer, start + LENGTH_BYTES, end));
}

function reply(port: Port, frame: Buffer | undefined): void {
  if (frame === undefined) return port.drops.count(UNANSWERED);
  const framed = withLength(frame);
  port.deliver(framed, 0, framed.length, 1);
}

import { answerArpFrame, answerDhcpFrame, answerDns, answerIcmpFrame, readDnsFrame } from './answers.ts';
import { decide, decideFromEgress, drop, dropIndex, VERDICT, type Verdict } from './decide.ts';
import { LENGTH_BYTES, withLength } from './framing.ts';
import type { FrameHandler, Port } from './port.ts';
import type { Resolver } from './resolver.ts';
import type { PortEntry, SegmentTable } from './table.ts';

/**
 * Carries out the verdicts of one segment. Frames of one batch that lie side by side and go the same way are sent as
 * one run: a 64 KiB chunk of a bulk transfer costs one write, not forty.
 */
export class SegmentFlow {
  readonly table: SegmentTable;
  readonly ports: readonly Port[];
  readonly egress: Port | undefined;
  readonly #resolver: Resolver;
  #runPort: Port | undefined;
  #runBuffer: Buffer | undefined;
  #runStart = 0;
  #runEnd = 0;
  #runFrames = 0;

  /** @param ports in the order of the table's; each is given its handler here */
  constructor(table: SegmentTable, ports: readonly Port[], egress: Port | undefined, resolver: Resolver) {
    this.table = table;
    this.ports = ports;
    this.egress = egress;
    this.#resolver = resolver;
    for (const entry of table.ports) this.#attachGuest(ports[entry.index]!, entry);
    if (egress !== undefined) this.#attachEgress(egress);
  }

  #attachGuest(port: Port, entry: PortEntry): void {
    port.handler = this.#handler((buffer, start, end) => {
      const verdict = decide(this.table, entry, buffer, start + LENGTH_BYTES, end);
      const dropped = dropIndex(verdict);
      if (verdict >= 0) this.#extend(this.ports[verdict]!, buffer, start, end);
      else if (dropped >= 0) port.drops.count(dropped);
      else if (verdict === VERDICT.flood) this.#flood(entry, buffer, start, end);
      else if (verdict === VERDICT.egress) this.#extend(this.egress!, buffer, start, end);
      else this.#answer(verdict, port, entry, buffer.subarray(start + LENGTH_BYTES, end));
    });
  }

  #attachEgress(port: Port): void {
    port.handler = this.#handler((buffer, start, end) => {
      const verdict = decideFromEgress(this.table, buffer, start + LENGTH_BYTES, end);
      const dropped = dropIndex(verdict);
      if (verdict >= 0) this.#extend(this.ports[verdict]!, buffer, start, end);
      else if (dropped >= 0) port.drops.count(dropped);
      else reply(port, answerArpFrame(this.table, buffer.subarray(start + LENGTH_BYTES, end)));
    });
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

  /** To all guests but the sender. Nothing of the segment's own chatter goes to the way out. */
  #flood(from: PortEntry, buffer: Buffer, start: number, end: number): void {
    this.#flush(); // so that frames of one sender stay in order
    for (const entry of this.table.ports) {
      if (entry !== from && entry.linkUp) this.ports[entry.index]!.deliver(buffer, start, end, 1);
    }
  }

  #answer(verdict: Verdict, port: Port, entry: PortEntry, frame: Buffer): void {
    switch (verdict) {
      case VERDICT.arp:
        return reply(port, answerArpFrame(this.table, frame));
      case VERDICT.icmp:
        return reply(port, answerIcmpFrame(frame));
      case VERDICT.dhcp:
        return reply(port, answerDhcpFrame(this.table, entry, frame));
      default:
        return this.#answerDns(port, frame);
    }
  }

  #answerDns(port: Port, frame: Buffer): void {
    const request = readDnsFrame(frame);
    if (request === undefined) return reply(port, undefined);
    const answer = answerDns(this.table, request.query, request.message);
    if (answer !== 'forward') return reply(port, request.reply(answer));
    const accepted = this.#resolver.ask(port, request.query, request.message, this.table.upstreamDns, (message) =>
      reply(port, request.reply(message)),
    );
    if (!accepted) port.drops.count(DNS_LIMIT);
  }
}

const UNANSWERED = dropIndex(drop('unanswered'));
const DNS_LIMIT = dropIndex(drop('dns-limit'));

function reply(port: Port, frame: Buffer | undefined): void {
  if (frame === undefined) return port.drops.count(UNANSWERED);
  const framed = withLength(frame);
  port.deliver(framed, 0, framed.length, 1);
}

import type { InFlight } from './port.ts';
import { SwitchError } from './error.ts';
import { LENGTH_BYTES } from './framing.ts';
import { MAX_FRAME_BYTES, readUint32 } from './packets/ethernet.ts';
import type { KeptFrames, KeptSegments } from './protocol.ts';
import type { SegmentFlow } from './segment.ts';

/**
 * Cuts through segments while their guests are copied: what is on its way is kept, goes on in the original, and once more
 * in the copy. So a connection between two guests goes on in both, without a gap.
 */

/** A daemon that dies over a cut must not leave guests without a network. */
const LEASE_MS = 15_000;
/** Until the copies are there. */
const KEPT_MS = 60_000;
/** Of what is put on disk, so that it stays well below a line of the control socket. More is on its way only behind long delays. */
const MAX_SAVED_BYTES = 4 * 1024 * 1024;

/** Segment -> MAC of the port -> frames. */
type Kept = ReadonlyMap<string, ReadonlyMap<number, InFlight>>;

export class Cuts {
  readonly #flows: () => readonly SegmentFlow[];
  readonly #kept = new Map<string, Kept>();
  readonly #leases = new Map<string, NodeJS.Timeout>();

  constructor(flows: () => readonly SegmentFlow[]) {
    this.#flows = flows;
  }

  hold(segments: readonly string[]): void {
    for (const flow of this.#of(segments)) {
      for (const port of flow.ports) port.hold();
      this.#lease(flow.table.id);
    }
  }

  gather(segments: readonly string[]): void {
    for (const flow of this.#of(segments)) for (const port of flow.ports) port.gather();
  }

  /** @param keepAs name to inject it by later. @returns how many frames were kept */
  release(segments: readonly string[], keepAs: string | undefined): number {
    let count = 0;
    const kept = new Map<string, Map<number, InFlight>>();
    for (const flow of this.#of(segments)) {
      clearTimeout(this.#leases.get(flow.table.id));
      this.#leases.delete(flow.table.id);
      const byMac = new Map<number, InFlight>();
      for (const entry of flow.table.ports) {
        const frames = flow.ports[entry.index]!.inFlight();
        count += countOf(frames);
        byMac.set(entry.mac, frames);
      }
      // Only now: what one port passes on is on its way to another.
      for (const port of flow.ports) port.release();
      kept.set(flow.table.id, byMac);
    }
    if (keepAs !== undefined) this.#keep(keepAs, kept);
    return count;
  }

  kept(keptAs: string): KeptSegments {
    let room = MAX_SAVED_BYTES;
    const texts = (frames: readonly Buffer[]): string[] => {
      const fitting = frames.filter(({ length }) => (room -= length) >= 0);
      return fitting.map((frame) => frame.toString('base64'));
    };
    return Object.fromEntries(
      [...(this.#kept.get(keptAs) ?? [])].map(([id, byMac]) => [
        id,
        Object.fromEntries(
          [...byMac]
            .filter(([, frames]) => countOf(frames) > 0)
            .map(([mac, { held, out, in: arriving }]) => [
              mac,
              { in: texts(arriving), out: texts(out), held: texts(held) },
            ]),
        ),
      ]),
    );
  }

  /** @throws SwitchError `invalid` */
  keep(keptAs: string, segments: KeptSegments): void {
    const kept = Object.entries(segments).map(
      ([id, byMac]) =>
        [id, new Map(Object.entries(byMac).map(([mac, frames]) => [Number(mac), fromTexts(frames)]))] as const,
    );
    this.#keep(keptAs, new Map(kept));
  }

  #keep(keptAs: string, kept: Kept): void {
    this.#kept.set(keptAs, kept);
    setTimeout(() => this.#kept.delete(keptAs), KEPT_MS).unref();
  }

  /** @param segments from the cut segment to its copy. @returns how many frames were passed on */
  inject(keptAs: string, segments: Readonly<Record<string, string>>): number {
    let count = 0;
    for (const [from, byMac] of this.#kept.get(keptAs) ?? []) {
      const flow = this.#flows().find(({ table }) => table.id === segments[from]);
      const ports = (flow?.table.ports ?? []).flatMap((entry) => {
        const frames = byMac.get(entry.mac);
        return frames === undefined ? [] : [{ port: flow!.ports[entry.index]!, frames }];
      });
      // Those that were furthest on their way come first.
      for (const { port, frames } of ports) port.arrive(frames.in);
      for (const { port, frames } of ports) port.passOn(frames.out);
      for (const { port, frames } of ports) port.send(frames.held);
      for (const { frames } of ports) count += countOf(frames);
    }
    this.#kept.delete(keptAs);
    return count;
  }

  close(): void {
    for (const timer of this.#leases.values()) clearTimeout(timer);
  }

  #lease(id: string): void {
    clearTimeout(this.#leases.get(id));
    this.#leases.set(
      id,
      setTimeout(() => this.release([id], undefined), LEASE_MS),
    );
  }

  #of(segments: readonly string[]): SegmentFlow[] {
    return this.#flows().filter(({ table }) => segments.includes(table.id));
  }
}

function countOf({ held, out, in: arriving }: InFlight): number {
  return held.length + out.length + arriving.length;
}

/** From a disk: a frame of another length than it says would take its guest's stream out of step. @throws SwitchError `invalid` */
function fromTexts({ held, out, in: arriving }: KeptFrames): InFlight {
  const framesOf = (texts: readonly string[]): Buffer[] =>
    texts.map((text) => {
      const frame = Buffer.from(text, 'base64');
      const bytes = frame.length - LENGTH_BYTES;
      if (bytes > 0 && bytes <= MAX_FRAME_BYTES && readUint32(frame, 0) === bytes) return frame;
      throw new SwitchError('invalid', 'A kept frame does not have the length it says');
    });
  return { held: framesOf(held), out: framesOf(out), in: framesOf(arriving) };
}

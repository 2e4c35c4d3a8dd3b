import { Acl, BEYOND } from './acl.ts';
import type { Segment } from './config.ts';
import { Connections } from './connections.ts';
import { drop, type Verdict } from './verdict.ts';
import { Flow, KEY_WORDS, reverseKey } from './flow.ts';

/**
 * The ACL of one segment at work: what a rule lets through is remembered, so that its answers pass as well. It outlives
 * syncs; when the rules change, what they would not let begin any more is forgotten.
 */

export const PASS: Verdict = 0;
const DENIED = drop('acl');
const FULL = drop('acl-full');

export class Filter {
  readonly #now: () => number;
  /** Id of a port -> its number, which is never given again: an index is another port's after a sync. */
  #numbers = new Map<string, number>();
  #lastNumber: number = BEYOND;
  /** By number of who began. */
  readonly #begun = new Map<number, Connections>([[BEYOND, new Connections()]]);
  #acl: Acl | undefined;
  #aclText = '';

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** To be called with each sync, before frames are shown to it. */
  update(segment: Pick<Segment, 'acl' | 'ports'>): void {
    const numbers = new Map(
      segment.ports.map(({ id }) => [id, this.#numbers.get(id) ?? (this.#lastNumber += 1)] as const),
    );
    for (const [id, number] of this.#numbers) if (!numbers.has(id)) this.#begun.delete(number);
    for (const number of numbers.values()) if (!this.#begun.has(number)) this.#begun.set(number, new Connections());
    this.#numbers = numbers;
    const acl = segment.acl === undefined ? undefined : new Acl(segment.acl, numbers);
    this.#acl = acl;
    const text = JSON.stringify(segment.acl ?? null);
    if (text === this.#aclText) return;
    this.#aclText = text;
    for (const [from, begun] of this.#begun) {
      begun.review((key, to) => acl?.allows(key, from, to) ?? true, this.#seconds());
    }
  }

  /** Whether there is anything to ask: a segment without an ACL does not pay for it. */
  get active(): boolean {
    return this.#acl !== undefined;
  }

  /** @returns 0 for a port that this segment has not */
  numberOf(portId: string): number {
    return this.#numbers.get(portId) ?? BEYOND;
  }

  /**
   * Whether this IP packet may pass.
   * @param from number of the port that it comes from; `to`: of the one that gets it
   * @param options.forget nothing is answered to it: it goes to a group, or we answer it ourselves
   * @returns PASS or a drop
   */
  decide(
    from: number,
    to: number,
    buffer: Buffer,
    start: number,
    end: number,
    options: { forget?: boolean } = NOTHING,
  ): Verdict {
    const acl = this.#acl;
    if (acl === undefined) return PASS;
    const begun = this.#begun.get(from);
    if (begun === undefined || !flow.read(buffer, start, end)) return DENIED;
    const now = this.#seconds();
    if (flow.laterPiece) {
      const first = begun.find(flow.key, now);
      return first >= 0 && begun.peer(first) === to ? PASS : DENIED;
    }
    const verdict = this.#decideWhole(acl, begun, from, to, now, options.forget === true);
    if (verdict !== PASS) {
      return flow.aboutAt > 0 && this.#isAboutOurs(begun, to, buffer, end, now) ? PASS : verdict;
    }
    return flow.firstPiece && options.forget !== true ? this.#expectPieces(begun, to, now) : PASS;
  }

  #decideWhole(acl: Acl, begun: Connections, from: number, to: number, now: number, forget: boolean): Verdict {
    const { key } = flow;
    const known = begun.find(key, now);
    if (known >= 0 && begun.peer(known) === to) {
      begun.touch(known, flow, false, now);
      return PASS;
    }
    if (flow.answers) {
      const other = this.#begun.get(to);
      const asked = other?.find(reverseKey(key, reversed), now) ?? -1;
      if (asked >= 0 && other!.peer(asked) === from) {
        other!.touch(asked, flow, true, now);
        return PASS;
      }
    }
    if (!acl.allows(key, from, to)) return DENIED;
    // Nothing is said to an error (RFC 1122 section 3.2.2).
    if (forget || flow.aboutAt > 0) return PASS;
    // Known, but to another port: its station has moved.
    if (known >= 0) begun.forget(known);
    return begun.add(key, to, now) ? PASS : FULL;
  }

  #expectPieces(begun: Connections, to: number, now: number): Verdict {
    flow.toPieces();
    const known = begun.find(flow.key, now);
    if (known >= 0) begun.forget(known);
    return begun.add(flow.key, to, now) ? PASS : FULL;
  }

  /** An error about a packet that was let through is an answer to it (RFC 5508 section 4). */
  #isAboutOurs(begun: Connections, to: number, buffer: Buffer, end: number, now: number): boolean {
    if (!flow.toWhatItIsAbout(buffer, end)) return false;
    if ((this.#begun.get(to)?.find(flow.key, now) ?? -1) >= 0) return true;
    return begun.find(reverseKey(flow.key, reversed), now) >= 0;
  }

  /** From 2 on: a table keeps 0 and 1 for itself. */
  #seconds(): number {
    return Math.floor(this.#now() / 1000) + 2;
  }
}

const NOTHING = {};
/** One frame is looked at at a time. */
const flow = new Flow();
const reversed = new Uint32Array(KEY_WORDS);

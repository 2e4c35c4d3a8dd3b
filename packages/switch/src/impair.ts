import type { PortImpairment } from './config.ts';
import type { Passage } from './framing.ts';
import { Line, noCounts, type LineCounts } from './line.ts';
import { Prng, streamOf } from './prng.ts';
import type { Schedule, Task } from './schedule.ts';

/** The impairments of a port: each is a line in either direction, and several are lines one after the other. */

/** `out`: what the guest sends; `in`: what it gets. */
export type Direction = 'out' | 'in';
export type PerDirection<T> = Readonly<Record<Direction, T>>;

/** One impairment, or the rate of the NIC, while it lasts. */
interface Active {
  /** What it was asked as: the same again is the same one. */
  readonly key: string;
  readonly impairment: PortImpairment;
  readonly lines: PerDirection<Line | undefined>;
  readonly end: Task;
}

export class Impairments {
  readonly counts: PerDirection<LineCounts> = { out: noCounts(), in: noCounts() };
  /** Where frames go in; undefined: nothing is in their way. */
  out: Passage | undefined;
  in: Passage | undefined;
  readonly #schedule: Schedule;
  readonly #ends: PerDirection<Passage>;
  #rate: Active | undefined;
  #active: readonly Active[] = [];
  #isHeld = false;
  /** What has to wait until the cut is over. */
  #afterwards: (() => void)[] = [];

  /** @param ends where frames go on after all lines: `out` into the switch, `in` to the guest */
  constructor(schedule: Schedule, ends: PerDirection<Passage>) {
    this.#schedule = schedule;
    this.#ends = ends;
  }

  /** Those that hold now. */
  get active(): readonly PortImpairment[] {
    return this.#active.map((each) => each.impairment);
  }

  /**
   * What was asked for already goes on as it is, with its generators and the frames in it. What is not asked for any
   * more ends: the frames in it go on at once.
   * @param rateKbit of the NIC itself, in each direction
   * @param seedName what the seeds are mixed with: two NICs, and two directions, of one seed do not lose the same frames
   */
  set(impairments: readonly PortImpairment[], rateKbit: number | undefined, seedName: string): void {
    if (this.#isHeld) {
      this.#afterwards.push(() => this.set(impairments, rateKbit, seedName));
      return;
    }
    const before = [...(this.#rate === undefined ? [] : [this.#rate]), ...this.#active];
    const keep = (impairment: PortImpairment): Active | undefined => {
      const key = JSON.stringify(impairment);
      const found = before.findIndex((each) => each.key === key);
      return found < 0 ? undefined : before.splice(found, 1)[0];
    };
    const rate = rateKbit === undefined ? undefined : { out: { rateKbit }, in: { rateKbit }, seed: 0 };
    this.#rate = rate === undefined ? undefined : (keep(rate) ?? this.#start(rate, seedName));
    this.#active = impairments.flatMap((impairment) => {
      const isOver = impairment.untilMs !== undefined && impairment.untilMs <= Date.now();
      return keep(impairment) ?? (isOver ? [] : this.#start(impairment, seedName));
    });
    this.#stop(before);
    this.#connect();
  }

  /** Time stands still for what is under way. */
  hold(): void {
    this.#isHeld = true;
    for (const line of [...this.#chain('out'), ...this.#chain('in')]) line.hold();
  }

  release(): void {
    this.#isHeld = false;
    for (const line of [...this.#chain('out'), ...this.#chain('in')]) line.release();
    for (const change of this.#afterwards.splice(0)) change();
  }

  /** What is under way, the furthest first. */
  waiting(direction: Direction): Buffer[] {
    return this.#chain(direction)
      .toReversed()
      .flatMap((line) => line.waiting());
  }

  /** Nothing holds any more, and what is under way is lost. */
  close(): void {
    for (const line of [...this.#chain('out'), ...this.#chain('in')]) line.close();
    for (const { end } of this.#active) this.#schedule.forget(end);
    this.#rate = undefined;
    this.#active = [];
    this.#afterwards = [];
    this.#connect();
  }

  #start(impairment: PortImpairment, seedName: string): Active {
    const { down, seed, untilMs } = impairment;
    const lineOf = (direction: Direction): Line | undefined => {
      const what = impairment[direction];
      if (what === undefined && down !== true) return undefined;
      const random = new Prng(seed, streamOf(`${direction} ${seedName}`));
      return new Line({ ...what, down }, random, this.counts[direction], this.#schedule);
    };
    const active: Active = {
      key: JSON.stringify(impairment),
      impairment,
      lines: { out: lineOf('out'), in: lineOf('in') },
      end: { run: () => this.#over(active) },
    };
    if (untilMs !== undefined) {
      // From here on by the monotonic clock: setting the host's clock back does not prolong it.
      this.#schedule.at(active.end, this.#schedule.clock.nowMs() + untilMs - Date.now());
    }
    return active;
  }

  #over(active: Active): number {
    if (this.#isHeld) {
      this.#afterwards.push(() => void this.#over(active));
    } else if (this.#active.includes(active)) {
      this.#active = this.#active.filter((each) => each !== active);
      this.#stop([active]);
      this.#connect();
    }
    return Infinity;
  }

  /** Their lines still lead to those after them: the first ones let go first. */
  #stop(ended: readonly Active[]): void {
    for (const { end } of ended) this.#schedule.forget(end);
    for (const { lines } of ended) lines.out?.end();
    for (const { lines } of ended.toReversed()) lines.in?.end();
  }

  #connect(): void {
    this.out = this.#link('out');
    this.in = this.#link('in');
  }

  #link(direction: Direction): Passage | undefined {
    let next = this.#ends[direction];
    for (const line of this.#chain(direction).toReversed()) {
      line.next = next;
      next = line;
    }
    return next === this.#ends[direction] ? undefined : next;
  }

  /** In the order that frames pass them: the NIC's own rate is next to the guest. */
  #chain(direction: Direction): Line[] {
    const rate = this.#rate === undefined ? [] : [this.#rate];
    const ordered = direction === 'out' ? [...rate, ...this.#active] : [...this.#active.toReversed(), ...rate];
    return ordered.flatMap((each) => each.lines[direction] ?? []);
  }
}

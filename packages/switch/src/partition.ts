import { fail, integer, list, object, optional, text } from './config-checks.ts';
import type { SegmentPartition } from './config.ts';

/** Ports of a segment that do not reach each other for a while. */

const MAX_GROUPS = 1024;

export function parsePartition(value: unknown, at: string): SegmentPartition {
  const raw = object(value, at);
  const groups = list(list(text))(raw['groups'], `${at}.groups`);
  if (groups.length > MAX_GROUPS) fail(`${at}.groups`, `are more than ${MAX_GROUPS}`);
  const all = groups.flat();
  if (new Set(all).size !== all.length) fail(`${at}.groups`, 'have a port twice');
  const untilMs = optional(raw, 'untilMs', at, (item, place) => integer(item, 0, Number.MAX_SAFE_INTEGER, place));
  return { groups, untilMs };
}

interface Compiled {
  readonly partition: SegmentPartition;
  /** By index of the port: its group, or -1. */
  readonly groupOf: readonly number[];
  /** By the monotonic clock: setting the host's clock back does not prolong it. */
  readonly endsAtMs: number;
}

export class Partitions {
  readonly #compiled: readonly Compiled[];

  /** @param portIds in the order of the table's */
  constructor(partitions: readonly SegmentPartition[], portIds: readonly string[]) {
    const compiled = partitions.map((partition): Compiled => {
      const { groups, untilMs } = partition;
      const endsAtMs = untilMs === undefined ? Infinity : performance.now() + untilMs - Date.now();
      return { partition, groupOf: portIds.map((id) => groups.findIndex((group) => group.includes(id))), endsAtMs };
    });
    this.#compiled = compiled.filter(isNow);
  }

  /** Those that hold now. */
  get active(): readonly SegmentPartition[] {
    return this.#compiled.filter(isNow).map(({ partition }) => partition);
  }

  /** Whether frames do not get from one port to another, by their indexes. */
  separate(from: number, to: number): boolean {
    for (const each of this.#compiled) {
      const group = each.groupOf[from]!;
      const other = each.groupOf[to]!;
      if (group !== other && group !== -1 && other !== -1 && isNow(each)) return true;
    }
    return false;
  }
}

function isNow({ endsAtMs }: Compiled): boolean {
  return performance.now() < endsAtMs;
}

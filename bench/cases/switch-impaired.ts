import type { BenchCase, Row } from '../case.ts';
import { measureThroughput, measureTimes } from '../switch/measure.ts';

/**
 * What the switch makes of a delay of 20 ms. The error is from a frame's writing to its reading less the delay, so the
 * way there and back counts, as for a guest; the row without a delay shows how much of it that is.
 */

const DELAY_MS = 20;
const IMPAIRMENT = { delayMs: DELAY_MS };
/** 20 ms of 2.5 Gbit/s. */
const DELAYED_WINDOW_BYTES = 6 * 1024 * 1024;
const WINDOW_BYTES = 480 * 1024;
const MANY_LINKS = 1000;

export const switchImpaired: BenchCase = {
  name: 'switch-impaired',
  async run({ runs, say }): Promise<readonly Row[]> {
    const figures = {
      plainP99: [] as number[],
      p50: [] as number[],
      p99: [] as number[],
      delayedGbit: [] as number[],
      gbit: [] as number[],
      manyP50: [] as number[],
      manyP99: [] as number[],
      manyCpu: [] as number[],
    };
    for (let round = 1; round <= runs; round += 1) {
      const one = { links: 1, framesPerSecond: 500, seconds: 2 };
      figures.plainP99.push(share(errors(await measureTimes(one), 0), 0.99));
      const delayed = errors(await measureTimes({ ...one, impairment: IMPAIRMENT }), DELAY_MS);
      figures.p50.push(share(delayed, 0.5));
      figures.p99.push(share(delayed, 0.99));
      const flow = { links: 1, seconds: 2 };
      const slow = await measureThroughput({ ...flow, impairment: IMPAIRMENT, windowBytes: DELAYED_WINDOW_BYTES });
      figures.delayedGbit.push(slow.result.gbitPerSecond);
      figures.gbit.push((await measureThroughput({ ...flow, windowBytes: WINDOW_BYTES })).result.gbitPerSecond);
      const many = await measureTimes({ links: MANY_LINKS, impairment: IMPAIRMENT, framesPerSecond: 1, seconds: 4 });
      const manyErrors = errors(many, DELAY_MS);
      figures.manyP50.push(share(manyErrors, 0.5));
      figures.manyP99.push(share(manyErrors, 0.99));
      figures.manyCpu.push(many.cpuPercent);
      say(`switch-impaired ${round}/${runs}: ${slow.droppedFrames} frames dropped by the delayed flow`);
    }
    return [
      { what: 'switch, way of a frame without a delay, p99', unit: 'ms', values: figures.plainP99 },
      { what: 'switch, error of a 20 ms delay, p50', unit: 'ms', values: figures.p50 },
      { what: 'switch, error of a 20 ms delay, p99', unit: 'ms', values: figures.p99, bar: { most: 3 } },
      { what: 'switch, through a 20 ms delay', unit: 'Gbit/s', values: figures.delayedGbit },
      { what: 'switch, link unimpaired', unit: 'Gbit/s', values: figures.gbit, bar: { least: 2 } },
      { what: `switch, ${MANY_LINKS} delayed links, error p50`, unit: 'ms', values: figures.manyP50 },
      { what: `switch, ${MANY_LINKS} delayed links, error p99`, unit: 'ms', values: figures.manyP99 },
      { what: `switch, ${MANY_LINKS} delayed links, 2,000 frames/s, CPU`, unit: '%', values: figures.manyCpu },
    ];
  },
};

function errors(
  measured: { result: { onTheWayMs: readonly number[]; sentFrames: number }; droppedFrames: number },
  delayMs: number,
): number[] {
  const { onTheWayMs, sentFrames } = measured.result;
  if (onTheWayMs.length !== sentFrames) throw new Error(`${onTheWayMs.length} of ${sentFrames} frames arrived`);
  return onTheWayMs.map((ms) => ms - delayMs).toSorted((a, b) => a - b);
}

function share(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}

import { measureSwitch } from '../../packages/switch/src/bench.ts';
import type { BenchCase, Row } from '../case.ts';

/** Frames of 1,514 bytes through the switch, from one port to another. */
export const switchThroughput: BenchCase = {
  name: 'switch',
  async run({ runs }): Promise<readonly Row[]> {
    const values: number[] = [];
    for (let round = 0; round < runs; round += 1) values.push((await measureSwitch({ seconds: 1 })).gbitPerSecond);
    return [{ what: 'switch, port to port', unit: 'Gbit/s', values, bar: { least: 2 } }];
  },
};

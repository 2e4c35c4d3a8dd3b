import { measureSwitch } from '../switch/carried.ts';
import type { BenchCase, Row } from '../case.ts';

/** Frames of 1,514 bytes through the switch, from one port to another. */
export const switchThroughput: BenchCase = {
  name: 'switch',
  async run({ runs }): Promise<readonly Row[]> {
    const values: number[] = [];
    for (let round = 0; round < runs; round += 1) values.push((await measureSwitch({ seconds: 1 })).gbitPerSecond);
    return [{ what: 'switch, port to port', unit: 'Gbit/s', values, bar: { least: 2 } }, await filtered(runs)];
  },
};

/** The same through an ACL: twenty rules that do not fit before the one that does. */
async function filtered(runs: number): Promise<Row> {
  const denied = Array.from({ length: 20 }, (_, i) => ({
    id: i + 1,
    action: 'deny' as const,
    from: [`192.0.2.${i}/32`],
    ports: { from: 80, to: 80 },
  }));
  const acl = {
    default: 'deny' as const,
    rules: [...denied, { id: 21, action: 'allow' as const, protocol: 'udp' as const }],
  };
  const values: number[] = [];
  for (let round = 0; round < runs; round += 1) {
    values.push((await measureSwitch({ seconds: 1, segment: { acl } })).gbitPerSecond);
  }
  return { what: 'switch, port to port, through an ACL', unit: 'Gbit/s', values, bar: { least: 2 } };
}

import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { describe } from '../soak/networks.ts';
import { NetworkRounds } from '../soak/networks-rounds.ts';

/** A few rounds of `npm run soak -- networks`, the daemon killed over one of them. */

/** One that asks for some of each. */
const SEED = 2892;
const ROUNDS = 12;
const KILLED = 7;

let host: TestHost;
beforeAll(async () => void (host = await startTestHost()));
afterAll(() => host[Symbol.asyncDispose]());

test('random requests about networks do what they say, or nothing', async () => {
  const soak = await NetworkRounds.begin(host, SEED);
  const said: string[] = [];
  let walked = 0;
  for (let round = 1; round <= ROUNDS; round += 1) {
    const report = await soak.round(round === KILLED);
    walked += report.walked;
    said.push(...describe(report, SEED));
    expect(report.problems, said.join('\n')).toEqual([]);
  }
  expect(await soak.end(), said.join('\n')).toEqual([]);
  expect(walked, said.join('\n')).toBeGreaterThan(0);
}, 120_000);

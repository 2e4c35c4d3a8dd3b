import { expect, test } from 'vitest';
import { startTestHost, type TestHost } from '@skerry/testkit';
import { arePossible, makeSurroundings } from '../attacks/surroundings.ts';
import { describe } from '../soak/networks.ts';
import { NetworkRounds } from '../soak/networks-rounds.ts';

/** A few rounds of `npm run soak -- networks`, the daemon killed over one of them. */

/** One that asks for some of each. */
const SEED = 2892;
const ROUNDS = 12;
const KILLED = 7;
const TIMEOUT_MS = 120_000;

async function rounds(host: TestHost, netns?: string): Promise<void> {
  const soak = await NetworkRounds.begin(host, SEED, netns === undefined ? undefined : { netns });
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
}

test(
  'random requests about networks do what they say, or nothing',
  async () => {
    await using host = await startTestHost();
    await rounds(host);
  },
  TIMEOUT_MS,
);

test.skipIf(!arePossible())(
  'and about networks in the kernel',
  async () => {
    await using surroundings = await makeSurroundings();
    await using host = await startTestHost({ wrap: ['nsenter', `--net=${surroundings.host}`] });
    await rounds(host, surroundings.host);
  },
  TIMEOUT_MS,
);

import { startTestHost } from '@skerry/testkit';
import { makeSurroundings } from '../attacks/surroundings.ts';
import { NetworkRounds, type NetworkRound } from './networks-rounds.ts';
import { told } from './evidence.ts';

/**
 * npm run soak -- networks [--rounds 500] [--seed N] [--datapath kernel] [--evidence]: random requests about networks, NICs, links, rules, faults and captures,
 * with the daemon killed among them. See `networks-rounds.ts` for what is checked.
 */

/**
 * @param datapath `kernel` as root only
 * @returns whether all was well
 */
export async function soakNetworks(
  rounds: number,
  seed: number,
  datapath: 'user' | 'kernel',
  say: (line: string) => void,
): Promise<boolean> {
  const startedAt = Date.now();
  const stopping = new AbortController();
  process.once('SIGINT', () => stopping.abort());
  let [done, failed, kills, walked] = [0, 0, 0, 0];
  say(`${rounds} rounds, seed ${seed}, ${datapath} datapath`);
  try {
    await using undo = new AsyncDisposableStack();
    const netns = datapath === 'kernel' ? undo.use(await makeSurroundings()).host : undefined;
    const host = undo.use(await startTestHost(netns === undefined ? {} : { wrap: ['nsenter', `--net=${netns}`] }));
    const soak = await NetworkRounds.begin(host, seed, netns === undefined ? undefined : { netns });
    while (done < rounds && !stopping.signal.aborted) {
      const report = await soak.round();
      done += 1;
      walked += report.walked;
      if (report.killedAfterMs !== undefined) kills += 1;
      if (report.problems.length > 0) failed += 1;
      for (const line of describe(report, seed)) say(line);
    }
    const left = await soak.end();
    if (left.length > 0) failed += 1;
    for (const problem of left) say(`     seed ${seed}, end: ${problem}`);
  } catch (error) {
    failed += 1;
    say(`ended, seed ${seed}, after round ${done}: ${told(error)}`);
  }
  const minutes = ((Date.now() - startedAt) / 60_000).toFixed(1);
  say(`${done} of ${rounds} rounds in ${minutes} min, ${kills} kills, ${walked} paths, ${failed} with problems`);
  return failed === 0 && done === rounds;
}

export function describe(report: NetworkRound, seed: number): string[] {
  const { round, asked, killedAfterMs, outcome, walked, problems } = report;
  const killed = killedAfterMs === undefined ? '' : `, killed after ${killedAfterMs} ms`;
  const paths = walked === 0 ? '' : ` (${walked} paths)`;
  return [
    `${String(round).padStart(4)} ${problems.length === 0 ? 'ok  ' : 'FAIL'} ${asked}${killed} -> ${outcome}${paths}`,
    ...problems.map((problem) => `     seed ${seed}, round ${round}: ${problem}`),
  ];
}

import { judged, missedFault } from '../../packages/engine/test/networks/explain-rounds.ts';

/**
 * npm run soak -- explain [--rounds 20000] [--seed N]: as many faults in random networks, how many of them `explain` names, and
 * whether what it says of all pairs of VMs is what becomes of frames between them.
 */

/** Of 50 it is to name 45. */
const LEAST = 0.9;
const MAX_SHOWN = 20;

/** @returns whether enough were named */
export function soakExplain(rounds: number, seed: number, say: (line: string) => void): boolean {
  let [missed, wrong, pairs] = [0, 0, 0];
  for (let round = 0; round < rounds; round += 1) {
    const all = judged(seed + round);
    pairs += all.yes + all.no;
    wrong += all.wrong.length;
    if (wrong <= MAX_SHOWN) for (const line of all.wrong) say(line);
    const said = missedFault(seed + round);
    if (said === undefined) continue;
    missed += 1;
    if (missed <= MAX_SHOWN) say(said);
  }
  const share = (rounds - missed) / rounds;
  say(`${rounds - missed} of ${rounds} faults named (${(share * 100).toFixed(2)} %), from seed ${seed} on`);
  say(`${pairs - wrong} of ${pairs} pairs of VMs told right`);
  return share >= LEAST && wrong === 0;
}

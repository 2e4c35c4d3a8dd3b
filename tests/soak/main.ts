import { parseArgs } from 'node:util';
import { startTestHost } from '@skerry/testkit';
import { soakAttacks } from './attacks.ts';
import { Log, told } from './evidence.ts';
import { soakExplain } from './explain.ts';
import { soakExplainVms } from './explain-vms.ts';
import { soakKernelFeatures } from './kernel-features.ts';
import { soakNetworks } from './networks.ts';
import { soakPaths } from './paths.ts';
import { soakProperties } from './properties.ts';
import { KillRounds, type RoundReport } from './rounds.ts';
import { soakRouter } from './router.ts';

/**
 * npm run soak -- [--rounds 1000] [--seed N] [--evidence]
 *   | router | networks [--rounds 500] [--seed N] [--datapath kernel] | attacks | paths | kernel-features | properties [--rounds 20] [--seed N] [NAME...]
 *   | explain [--rounds 20000] [--seed N] | explain-vms [--rounds 50] [--seed N]
 *
 * Kills the daemon at random moments, again and again. A line per round, a summary in the end; exit code 1 if a VM was
 * lost or anything was left over. `--evidence` keeps the log in docs/evidence/. `router`, `networks` and the others: see the
 * files that are called so.
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seed: { type: 'string' },
    datapath: { type: 'string' },
    evidence: { type: 'boolean', default: false },
  },
});
if (positionals[0] === 'router') {
  await soakRouter();
  process.exit(0);
}
const [what = ''] = positionals;
const rounds = Number(
  values.rounds ?? { networks: 500, properties: 20, explain: 20_000, 'explain-vms': 50 }[what] ?? 1000,
);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(seed)) {
  process.stderr.write('--rounds and --seed take whole numbers\n');
  process.exit(2);
}
if (what === 'properties') process.exit((await soakProperties(rounds, seed, positionals.slice(1))) ? 0 : 1);
const log = new Log();
const { say, startedAt } = log;
if (what === 'attacks') {
  const isWell = await soakAttacks(say);
  if (values.evidence) await log.keep('attacks');
  process.exit(isWell ? 0 : 1);
}
if (what === 'kernel-features') {
  const isWell = await soakKernelFeatures(say);
  if (values.evidence) await log.keep('kernel-features');
  process.exit(isWell ? 0 : 1);
}
if (what === 'paths') {
  const isWell = await soakPaths(say);
  if (values.evidence) await log.keep('paths');
  process.exit(isWell ? 0 : 1);
}
if (what === 'explain') {
  const isWell = soakExplain(rounds, seed, say);
  if (values.evidence) await log.keep('soak-explain', seed);
  process.exit(isWell ? 0 : 1);
}
if (what === 'explain-vms') {
  const isWell = await soakExplainVms(rounds, seed, say);
  if (values.evidence) await log.keep('explain-vms', seed);
  process.exit(isWell ? 0 : 1);
}
if (what === 'networks') {
  const isWell = await soakNetworks(rounds, seed, values.datapath === 'kernel' ? 'kernel' : 'user', say);
  if (values.evidence) await log.keep(values.datapath === 'kernel' ? 'soak-networks-kernel' : 'soak-networks', seed);
  process.exit(isWell ? 0 : 1);
}

let failed = 0;
let done = 0;
const recoveries: number[] = [];
const stopping = new AbortController();
process.once('SIGINT', () => {
  say('interrupted: this round is the last');
  stopping.abort();
});

say(`${rounds} rounds, seed ${seed}, begun ${startedAt.toISOString()}`);
try {
  await using host = await startTestHost();
  const soak = new KillRounds(host, seed);
  while (done < rounds && !stopping.signal.aborted) {
    // Until then it happens that no VM is left, and so no switch must be.
    if (done === Math.floor(rounds / 5)) await soak.addWitness();
    const report = await soak.round();
    done += 1;
    recoveries.push(report.adoptionMs);
    if (report.problems.length > 0) failed += 1;
    for (const line of describe(report)) say(line);
  }
} catch (error) {
  // The host found something left over, or could not go on.
  failed += 1;
  say(`ended: ${told(error)}`);
}
recoveries.sort((a, b) => a - b);
const at = (share: number): number =>
  recoveries[Math.min(recoveries.length - 1, Math.floor(recoveries.length * share))] ?? 0;
const minutes = ((Date.now() - startedAt.getTime()) / 60_000).toFixed(1);
say(`adoption: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms, longest ${at(1)} ms`);
say(`${done} of ${rounds} rounds in ${minutes} min, ${failed} with problems`);
if (values.evidence) await log.keep('soak', seed);
process.exitCode = failed === 0 && done === rounds ? 0 : 1;

function describe({ round, asked, killedAfterMs, kills, found, adoptionMs, restMs, problems }: RoundReport): string[] {
  const times = kills === 1 ? '' : ` x${kills}`;
  const head = `${String(round).padStart(4)} ${problems.length === 0 ? 'ok  ' : 'FAIL'} ${asked}, killed${times} after ${killedAfterMs} ms`;
  return [
    `${head} -> ${found} (adopted in ${adoptionMs} ms, at rest in ${restMs} ms)`,
    ...problems.map((problem) => `     ${problem}`),
  ];
}

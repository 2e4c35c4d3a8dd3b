import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect, parseArgs } from 'node:util';
import { startTestHost } from '@skerry/testkit';
import { KillRounds, type RoundReport } from './rounds.ts';

/**
 * npm run soak -- [--rounds 1000] [--seed N] [--evidence]
 *
 * Kills the daemon at random moments, again and again. A line per round, a summary in the end; exit code 1 if a VM was
 * lost or anything was left over. `--evidence` keeps the log in docs/evidence/.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    evidence: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
if (!Number.isInteger(rounds) || rounds < 1 || !Number.isInteger(seed)) {
  process.stderr.write('--rounds and --seed take whole numbers\n');
  process.exit(2);
}

const lines: string[] = [];
function say(line: string): void {
  lines.push(line);
  process.stdout.write(`${line}\n`);
}

const EVIDENCE = join(import.meta.dirname, '../../docs/evidence');
const startedAt = new Date();
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
  // A SuppressedError has two inside, and its stack tells of neither.
  say(`ended: ${inspect(error, { depth: 4 })}`);
}
recoveries.sort((a, b) => a - b);
const at = (share: number): number =>
  recoveries[Math.min(recoveries.length - 1, Math.floor(recoveries.length * share))] ?? 0;
const minutes = ((Date.now() - startedAt.getTime()) / 60_000).toFixed(1);
say(`adoption: median ${at(0.5)} ms, 99th percentile ${at(0.99)} ms, longest ${at(1)} ms`);
say(`${done} of ${rounds} rounds in ${minutes} min, ${failed} with problems`);
if (values.evidence) {
  await mkdir(EVIDENCE, { recursive: true });
  const name = `soak-${startedAt.toISOString().slice(0, 16).replaceAll(':', '')}-seed-${seed}.log`;
  await writeFile(join(EVIDENCE, name), `${lines.join('\n')}\n`);
}
process.exitCode = failed === 0 && done === rounds ? 0 : 1;

function describe({ round, asked, killedAfterMs, kills, found, adoptionMs, restMs, problems }: RoundReport): string[] {
  const times = kills === 1 ? '' : ` x${kills}`;
  const head = `${String(round).padStart(4)} ${problems.length === 0 ? 'ok  ' : 'FAIL'} ${asked}, killed${times} after ${killedAfterMs} ms`;
  return [
    `${head} -> ${found} (adopted in ${adoptionMs} ms, at rest in ${restMs} ms)`,
    ...problems.map((problem) => `     ${problem}`),
  ];
}

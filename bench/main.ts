import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startTestHost } from '@skerry/testkit/host';
import type { BenchCase, Row } from './case.ts';
import { adoption } from './cases/adoption.ts';
import { cli } from './cases/cli.ts';
import { clones, density, forks } from './cases/clones.ts';
import { coldStart } from './cases/cold-start.ts';
import { daemon } from './cases/daemon.ts';
import { confinement } from './cases/confinement.ts';
import { exec } from './cases/exec.ts';
import { fiveCold, fiveVms, shop, upAgain } from './cases/nodes.ts';
import { idle } from './cases/idle.ts';
import { fiftyNics, kernelBridge } from './cases/kernel-networks.ts';
import { nicAdd } from './cases/nics.ts';
import { networkCreate } from './cases/networks.ts';
import { pool } from './cases/pool.ts';
import { shapes } from './cases/shapes.ts';
import { switchImpaired } from './cases/switch-impaired.ts';
import { switchThroughput } from './cases/switch.ts';
import { summarise } from './statistics.ts';

/** npm run bench [-- --only NAME] [--runs N] [--json FILE]: every figure with its bar, as ratios of one run where it can. */

const CASES: readonly BenchCase[] = [
  coldStart,
  shapes,
  clones,
  confinement,
  pool,
  fiveCold,
  fiveVms,
  forks,
  density,
  shop,
  upAgain,
  exec,
  cli,
  daemon,
  idle,
  adoption,
  networkCreate,
  switchThroughput,
  switchImpaired,
  nicAdd,
  kernelBridge,
  fiftyNics,
];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    runs: { type: 'string', default: '7' },
    json: { type: 'string' },
  },
});
const names = CASES.map(({ name }) => name);
const unknown = options.only?.find((name) => !names.includes(name));
if (unknown !== undefined) throw new Error(`There is no case '${unknown}': --only takes ${names.join(', ')}`);
const chosen = CASES.filter(({ name }) => options.only?.includes(name) ?? true);

const rows: Row[] = [];
for (const one of chosen) {
  await using host = await startTestHost();
  rows.push(
    ...(await one.run({
      host,
      client: host.client,
      runs: Number(options.runs),
      say: (text) => process.stderr.write(`${text}\n`),
    })),
  );
}

const summaries = rows.map((row) => ({ ...row, ...summarise(row.values), verdict: verdict(row) }));
const width = Math.max(...rows.map((row) => row.what.length));
process.stdout.write(`${cpus().length} CPUs (${cpus()[0]?.model}), Linux ${release()}, Node ${process.version}\n\n`);
process.stdout.write(
  `${'what'.padEnd(width)}  ${['n', 'min', 'median', 'p95', 'max'].map((head) => head.padStart(8)).join('')}  unit    bar\n`,
);
for (const row of summaries) {
  const figures = [row.min, row.p50, row.p95, row.max].map((figure) =>
    figure.toFixed(row.unit === 'ms' || row.unit === 'MiB' ? 1 : 2).padStart(8),
  );
  process.stdout.write(
    `${row.what.padEnd(width)}  ${String(row.n).padStart(8)}${figures.join('')}  ${row.unit.padEnd(6)}  ${row.verdict}\n`,
  );
}
const file = options.json ?? join(import.meta.dirname, 'results', 'latest.json');
await mkdir(join(file, '..'), { recursive: true });
await writeFile(file, `${JSON.stringify({ version: 1, at: new Date().toISOString(), rows: summaries }, null, 2)}\n`);

function verdict(row: Row): string {
  if (row.bar === undefined) return '';
  const { p50 } = summarise(row.values);
  const { most, least } = row.bar;
  const met = (most === undefined || p50 <= most) && (least === undefined || p50 >= least);
  return `${most === undefined ? `>= ${least}` : `<= ${most}`} ${met ? 'met' : 'MISSED'}`;
}

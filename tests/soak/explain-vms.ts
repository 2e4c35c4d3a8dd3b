import { startTestHost } from '@skerry/testkit';
import { random } from '../../packages/engine/test/networks/explain-world.ts';
import { arePossible, makeSurroundings } from '../attacks/surroundings.ts';
import { told } from './evidence.ts';
import { BREAKS } from './explain-breaks.ts';
import { ExplainWorld, words, type Way } from './explain-world.ts';

/**
 * npm run soak -- explain-vms [--rounds 50] [--seed N] [--evidence]: as many faults between real VMs, on both datapaths (as root; else on the
 * one). Each: all is well; it breaks, and nothing arrives; `explain` names it; what it says is typed until it says yes, and
 * then all arrives again, or it can't be typed.
 */

/** Of 50 it is to name 45. */
const LEAST = 0.9;
/** What one fault takes along: an interface that was down has lost its routes and addresses. */
const MAX_REMEDIES = 6;

/** @returns whether enough were named, and what it said led to where it should */
export async function soakExplainVms(rounds: number, seed: number, say: (line: string) => void): Promise<boolean> {
  const counts = { done: 0, named: 0, mended: 0, problems: 0 };
  const kinds = arePossible() ? (['user', 'kernel'] as const) : (['user'] as const);
  say(`${rounds} faults between real VMs, seed ${seed}, datapaths: ${kinds.join(', ')}`);
  try {
    for (const [place, datapath] of kinds.entries()) {
      await using undo = new AsyncDisposableStack();
      const surroundings = arePossible() ? undo.use(await makeSurroundings()) : undefined;
      const wrap = surroundings === undefined ? [] : ['nsenter', `--net=${surroundings.host}`];
      const host = undo.use(await startTestHost({ wrap }));
      const world = await ExplainWorld.make(host, datapath);
      for (let round = place; round < rounds; round += kinds.length) {
        const report = await oneFault(world, random(seed + round));
        counts.done += 1;
        counts.named += report.isNamed ? 1 : 0;
        counts.mended += report.isMended ? 1 : 0;
        counts.problems += report.problems.length;
        say(
          `${String(round).padStart(4)} ${report.problems.length === 0 && report.isNamed ? 'ok  ' : 'FAIL'} ${datapath}: ${report.what}`,
        );
        for (const problem of report.problems) say(`       ${problem}`);
      }
    }
  } catch (error) {
    say(`ended: ${told(error)}`);
    return false;
  }
  const { done, named, mended, problems } = counts;
  say(`${named} of ${done} named; ${mended} mended by typing what it said alone; ${problems} problems`);
  return done === rounds && named >= LEAST * rounds && problems === 0;
}

interface Report {
  readonly what: string;
  readonly isNamed: boolean;
  readonly isMended: boolean;
  readonly problems: readonly string[];
}

async function oneFault(world: ExplainWorld, pick: (below: number) => number): Promise<Report> {
  const names = Object.keys(BREAKS);
  const name = names[pick(names.length)]!;
  const way = world.wayOf(pick);
  const problems: string[] = [];
  if (!(await world.isOpen(way))) {
    const { cause } = await world.explains(way);
    throw new Error(`before '${name}' nothing arrives from ${describe(way)}: ${JSON.stringify(cause)}`);
  }
  const broken = await BREAKS[name]!(world, way, pick);
  if (await world.connects(way)) problems.push('it breaks nothing');
  const { reachable, cause } = await world.explains(way);
  const isNamed = reachable === 'no' && cause?.kind === broken.kind && cause.at === broken.at;
  const said = `${cause?.kind ?? reachable} ${cause?.at ?? ''}${isNamed ? '' : ` (it is ${broken.kind} ${broken.at}): ${cause?.message}`}`;
  const { isYes, typed, left } = await follow(world, way);
  if (isYes && !(await world.isOpen(way)))
    problems.push(`after what it said (${typed.join('; ')}) it says yes, and nothing arrives`);
  await broken.undo();
  const mended = isYes
    ? `mended by ${typed.length === 1 ? typed[0] : `${typed.length} lines`}`
    : `mended by hand (${left})`;
  return { what: `${name}, ${describe(way)}: ${said}; ${mended}`, isNamed, isMended: isYes, problems };
}

/** Types what it says until it says yes, says the same again, or what can't be typed. */
async function follow(world: ExplainWorld, way: Way): Promise<{ isYes: boolean; typed: string[]; left: string }> {
  const typed: string[] = [];
  for (;;) {
    const { reachable, cause } = await world.explains(way);
    if (reachable === 'yes') return { isYes: true, typed, left: '' };
    const line = /^skerry (?<line>.*)$/.exec(cause?.remedy ?? '')?.groups?.['line'];
    if (line === undefined || typed.includes(line) || typed.length === MAX_REMEDIES)
      return { isYes: false, typed, left: `${cause?.message}; ${cause?.remedy}` };
    typed.push(line);
    const { exitCode, stderr } = await world.host.cli(words(line));
    if (exitCode !== 0) return { isYes: false, typed, left: `${line}: ${stderr.trim()}` };
  }
}

function describe({ vms, ipv6 }: Way): string {
  return `${vms.join(' by ').replace(/ by ([^ ]+)$/, ' to $1')}${ipv6 ? ' (IPv6)' : ''}`;
}

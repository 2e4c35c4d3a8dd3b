import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../packages/engine/src/hosts/index.ts';
import { attacks, type Attack } from '../../packages/switch/test/attacks.ts';
import { BARE, KERNEL, LAN, USER, type Ground } from '../attacks/ground.ts';
import { Lab } from '../attacks/lab.ts';
import { attacksOnLan } from '../attacks/lan.ts';
import { arePossible } from '../attacks/surroundings.ts';
import { isSame } from '../attacks/judge.ts';
import { tryAttack, type Stage } from '../attacks/trial.ts';
import { told } from './evidence.ts';

/**
 * npm run soak -- attacks [--evidence]: all that packages/switch/test/attacks.ts has, sent by a real guest, on each datapath. Nothing of it may get
 * anywhere; its frames arrive where nothing is forbidden (a wire between the two), and the same thing done rightly arrives.
 */

/** A machine has room for four NICs. */
const LABS: ReadonlyArray<readonly Ground[]> = [[USER, KERNEL, BARE], [LAN]];

/** So many at least have to be what our rules alone keep from getting through. */
const LEAST_WITHOUT_RULES = 40;
const WITHOUT_RULES_TRIES = 5;
const WITHOUT_RULES_MS = 500;
/** Drift is repaired in 5 s. */
const REPAIR_MS = 5000;

export function attacksOn({ hasAcl, datapath, mode }: Ground, { cast }: Stage): Attack[] {
  if (mode === 'bridged') return attacksOnLan(attacks(cast), cast);
  return attacks(cast).filter(
    ({ reason, harmless = false }) => (reason !== 'acl' || hasAcl) && !(harmless && datapath === 'kernel'),
  );
}

/** @returns those that arrive somewhere while there are no rules, once the daemon has put them back */
async function withoutRules(lab: Lab, stage: Stage, all: readonly Attack[]): Promise<string[]> {
  const reached = new Set<string>();
  const ears = [stage.victim, ...stage.others];
  for (let attempt = 0; attempt < WITHOUT_RULES_TRIES; attempt += 1) {
    await run(['nsenter', `--net=${lab.surroundings?.host}`, 'nft', 'flush', 'ruleset']);
    for (const each of ears) each.forget();
    stage.eve.send(
      stage.nic,
      all.flatMap(({ frames }) => frames),
    );
    await sleep(WITHOUT_RULES_MS);
    for (const { name, frames } of all) {
      const isHeard = (sent: Buffer): boolean =>
        ears.some(({ heard }) => heard.some(({ frame }) => isSame(frame, sent)));
      if (frames.every(isHeard)) reached.add(name);
    }
  }
  await rulesAreBack(lab);
  return [...reached];
}

/** Who attacks sooner attacks a host without rules. */
async function rulesAreBack(lab: Lab): Promise<void> {
  for (const end = Date.now() + REPAIR_MS; Date.now() < end; await sleep(100)) {
    const { stdout } = await run(['nsenter', `--net=${lab.surroundings?.host}`, 'nft', 'list', 'tables']);
    if (/^table bridge skerry/m.test(stdout)) return;
  }
  throw new Error(`the rules are not back after ${REPAIR_MS} ms`);
}

/** @returns how many of how many have problems */
async function attackOn(lab: Lab, ground: Ground, say: (line: string) => void) {
  const stage = await lab.stage(ground);
  say(`${ground.name}: ${ground.mode}, ${ground.datapath} datapath${ground.hasAcl ? ', with an access list' : ''}`);
  const all = attacksOn(ground, stage);
  let failed = 0;
  for (const attack of all) {
    const problems = await tryAttack(stage, attack);
    if (problems.length > 0) failed += 1;
    say(`  ${problems.length === 0 ? 'ok  ' : 'FAIL'} ${attack.name} (${attack.reason})`);
    for (const problem of problems) say(`       ${problem}`);
  }
  if (ground.datapath === 'kernel') {
    const reached = await withoutRules(lab, stage, all);
    say(`  without the rules ${reached.length} of them get through: ${reached.join(', ')}`);
    if (reached.length < LEAST_WITHOUT_RULES) failed += 1;
  }
  return { done: all.length, failed };
}

/** @returns whether all was well */
export async function soakAttacks(say: (line: string) => void): Promise<boolean> {
  const startedAt = Date.now();
  let [done, failed] = [0, 0];
  if (!arePossible()) {
    say('this needs root: a network namespace in place of a host, and one in place of the world');
    return false;
  }
  try {
    for (const grounds of LABS) {
      await using lab = await Lab.make(grounds);
      for (const ground of grounds) {
        const result = await attackOn(lab, ground, say);
        done += result.done;
        failed += result.failed;
      }
    }
  } catch (error) {
    failed += 1;
    say(`ended: ${told(error)}`);
  }
  say(`${done} attacks in ${((Date.now() - startedAt) / 1000).toFixed(0)} s, ${failed} with problems`);
  return failed === 0;
}

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Attack } from '../../packages/switch/test/attacks.ts';
import { BARE, LAN, USER, type Ground } from '../attacks/ground.ts';
import { Lab } from '../attacks/lab.ts';
import { arePossible } from '../attacks/surroundings.ts';
import { tryAttack, type Stage } from '../attacks/trial.ts';
import { attacksOn } from '../soak/attacks.ts';
import { Random } from '../soak/random.ts';

/** A few of what `npm run soak -- attacks` has: a real guest sends them, on both datapaths as root, else on that of the user. */

/** One that takes some of each. */
const SEED = 24;
const ATTACKS = 4;
const LABS = arePossible() ? [[USER, BARE], [LAN]] : [[USER]];

const undo = new AsyncDisposableStack();
const labs = new Map<Ground, Lab>();
beforeAll(async () => {
  for (const grounds of LABS) {
    const lab = undo.use(await Lab.make(grounds, []));
    for (const ground of grounds) labs.set(ground, lab);
  }
}, 60_000);
afterAll(() => undo.disposeAsync());

async function attacksHere(ground: Ground): Promise<[Stage, Attack[]]> {
  const stage = await labs.get(ground)!.stage(ground);
  // Who is in the other VLAN does not run: he is nobody.
  const all = attacksOn(ground, stage).filter(({ name }) => name !== 'into another VLAN');
  return [stage, all.filter(({ reaches }) => reaches !== 'outside' || stage.world !== undefined)];
}

test.each(LABS.flat())(
  'attacks of a guest on the network $name get nowhere, and would elsewhere',
  async (ground) => {
    const [stage, left] = await attacksHere(ground);
    const random = new Random(SEED);
    const chosen: Attack[] = [];
    while (chosen.length < ATTACKS) chosen.push(...left.splice(random.below(left.length), 1));
    for (const attack of chosen) expect([attack.name, await tryAttack(stage, attack)]).toEqual([attack.name, []]);
  },
  60_000,
);

test.each(LABS.flat())(
  'all of them at once get nowhere on the network $name',
  async (ground) => {
    const [stage, all] = await attacksHere(ground);
    const [first] = all;
    expect(await tryAttack(stage, { ...first!, frames: all.flatMap(({ frames }) => frames) })).toEqual([]);
  },
  60_000,
);

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Attack } from '../../packages/switch/test/attacks.ts';
import { BARE, USER } from '../attacks/ground.ts';
import { Lab } from '../attacks/lab.ts';
import { arePossible } from '../attacks/surroundings.ts';
import { tryAttack } from '../attacks/trial.ts';
import { attacksOn } from '../soak/attacks.ts';
import { Random } from '../soak/random.ts';

/** A few of what `npm run soak -- attacks` has: a real guest sends them, on both datapaths as root, else on that of the user. */

/** One that takes some of each. */
const SEED = 24;
const ATTACKS = 4;
const GROUNDS = arePossible() ? [USER, BARE] : [USER];

let lab: Lab;
beforeAll(async () => void (lab = await Lab.make(GROUNDS, [])), 60_000);
afterAll(() => lab[Symbol.asyncDispose]());

test.each(GROUNDS)(
  'attacks of a guest on the network $name get nowhere, and would elsewhere',
  async (ground) => {
    const stage = await lab.stage(ground);
    const random = new Random(SEED);
    const left = attacksOn(ground, stage).filter(({ reaches }) => reaches !== 'outside' || stage.world !== undefined);
    const chosen: Attack[] = [];
    while (chosen.length < ATTACKS) chosen.push(...left.splice(random.below(left.length), 1));
    for (const attack of chosen) expect([attack.name, await tryAttack(stage, attack)]).toEqual([attack.name, []]);
  },
  60_000,
);

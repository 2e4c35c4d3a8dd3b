import type { Random } from './random.ts';
import type { Places, Step } from './networks-step.ts';
import { MACHINE_STEPS } from './networks-steps-machines.ts';
import { RULE_STEPS } from './networks-steps-rules.ts';
import type { World } from './networks-world.ts';

/** What is asked next. */

const MAKERS = [...MACHINE_STEPS, ...RULE_STEPS];

export function nextStep(world: World, random: Random, places: Places): Step {
  for (;;) {
    const step = random.pick(MAKERS)(world, random, places);
    if (step !== undefined) return step;
  }
}

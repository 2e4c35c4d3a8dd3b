import { explain } from '../../src/networks/explain-plan.ts';
import { BREAKS, targetOf, type Way } from './explain-break.ts';
import { arrives, random, worldOf } from './explain-world.ts';

/** One fault in one random world, and whether `explain` names it. */

const PORT = 80;

const asked = (from: string, to: string, ipv6: boolean) => ({ from, to, port: PORT, protocol: 'tcp' as const, ipv6 });

/** Two VMs of a random world that reach each other, and the VMs on the way. */
export function wayOf(pick: (below: number) => number): Way {
  for (;;) {
    const world = worldOf(pick);
    const isV6 = world.networks[0]!.ipv6 !== undefined && pick(2) === 0;
    const pairs = world.vms.flatMap((a) => world.vms.filter((b) => b !== a).map((b) => [a, b] as const));
    for (let tries = 0; tries < 20; tries++) {
      const [a, b] = pairs[pick(pairs.length)]!;
      const answer = explain(asked(a.name, b.name, isV6), world);
      if (answer.reachable !== 'yes') continue;
      const ends = answer.path
        .map(({ at }) => /^(?<vm>.*):eth(?<nic>\d)$/.exec(at)?.groups)
        .filter((each) => each !== undefined);
      const vms = [
        a,
        ...ends.filter((_, index) => index % 2 === 1).map(({ vm }) => world.vms.find(({ name }) => name === vm)!),
      ];
      const nics = (odd: number) => ends.filter((_, index) => index % 2 === odd).map(({ nic }) => Number(nic));
      return { world, vms, out: nics(0), into: nics(1), port: PORT, isV6 };
    }
  }
}

/**
 * @returns undefined: it was named, with the remedy; else what was said instead
 * @throws if the fault is none: what was broken does not keep frames from arriving
 */
export function missedFault(seed: number): string | undefined {
  const pick = random(seed);
  let way = wayOf(pick);
  const names = Object.keys(BREAKS);
  const name = names[pick(names.length)]!;
  let to = targetOf(way);
  let broken = BREAKS[name]!(way, pick);
  while (broken === undefined) {
    way = wayOf(pick);
    to = targetOf(way);
    broken = BREAKS[name]!(way, pick);
  }
  const from = way.vms[0]!.name;
  if (arrives(way.world, from, to, PORT)) throw new Error(`seed ${seed}: '${name}' breaks nothing`);
  const { cause } = explain(asked(from, to, way.isV6), way.world);
  if (cause?.kind === broken.kind && cause.at === broken.at && cause.remedy !== '') return undefined;
  return `seed ${seed}, ${name}, ${from} to ${to}: ${JSON.stringify(broken)} is ${JSON.stringify(cause)}`;
}

/** Between all VMs of a world in which up to two things are broken: where `explain` says other than what frames do. */
export function judged(seed: number): { readonly wrong: readonly string[]; readonly yes: number; readonly no: number } {
  const pick = random(seed);
  const way = wayOf(pick);
  const names = Object.keys(BREAKS);
  for (let faults = pick(3); faults > 0; faults--) {
    BREAKS[names[pick(names.length)]!]!(way, pick);
    // Without its NIC there is nothing more to break.
    if (way.vms.some(({ nics }) => nics.length === 0)) break;
  }
  const { world, isV6 } = way;
  const wrong: string[] = [];
  const counts = { yes: 0, no: 0 };
  for (const a of world.vms) {
    for (const b of world.vms) {
      const target = addressOf(way, a.name, b.name);
      if (a === b || target === undefined) continue;
      const { reachable, cause } = explain(asked(a.name, target, isV6), world);
      const truth = arrives(world, a.name, target, PORT) ? 'yes' : 'no';
      counts[truth] += 1;
      if (reachable !== truth)
        wrong.push(
          `seed ${seed}: ${a.name} to ${target} (${b.name}): ${truth}, and not ${reachable} ${JSON.stringify(cause)}`,
        );
    }
  }
  return { wrong, ...counts };
}

function addressOf({ world, isV6 }: Way, a: string, b: string): string | undefined {
  const on = world.vms.find(({ name }) => name === a)!.nics.map(({ network }) => network);
  const { nics } = world.vms.find(({ name }) => name === b)!;
  const nic = nics.find(({ network }) => on.includes(network)) ?? nics[0];
  return isV6 ? nic?.address6 : nic?.address;
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Skerry } from '@skerry/sdk';
import { isDisturbed, type Disturbance, type Path } from './networks-world.ts';

/** Paths between VMs, walked with pings from inside their guests. */

/** A path that should be there may be slow on a machine that is busy. */
const TRIES = 4;
const PAUSE_MS = 500;

export interface Disturbances {
  /** All the time. */
  readonly surely: readonly Disturbance[];
  /** For a part of it, or nobody knows. */
  readonly perhaps: readonly Disturbance[];
}

/** @returns one line for each path that is open and should not be, or the other way round */
export async function walk(
  client: Skerry,
  all: readonly Path[],
  disturbances: (beganMs: number, endedMs: number) => Disturbances,
): Promise<string[]> {
  let left: Array<readonly [Path, string]> = all.map((path) => [path, '']);
  for (let attempt = 0; attempt < TRIES && left.length > 0; attempt += 1) {
    if (attempt > 0) await sleep(PAUSE_MS);
    const tried = left.map(([path]) => path);
    const beganMs = Date.now();
    const answered = await pinged(client, tried);
    const { surely, perhaps } = disturbances(beganMs, Date.now());
    left = tried.flatMap((path) => {
      const isOpen = path.isOpen && !surely.some((each) => isDisturbed(path, each));
      const does = answered.has(`${path.from} ${path.address}`);
      if (does === isOpen || perhaps.some((each) => isDisturbed(path, each))) return [];
      const { from, toNic, address, network } = path;
      const text = `${from} ${does ? 'reaches' : 'does not reach'} ${toNic} (${address}, on ${network})`;
      return [[path, `${text}, and should${isOpen ? '' : ' not'}`] as const];
    });
  }
  return left.map(([, problem]) => problem);
}

/** 'web 10.97.0.10': those that answered. */
async function pinged(client: Skerry, all: readonly Path[]): Promise<Set<string>> {
  const answered = await Promise.all(
    [...Map.groupBy(all, ({ from }) => from)].map(async ([from, its]) => {
      const addresses = its.map(({ address }) => address).join(' ');
      const one = '(ping -q -c 2 -i 0.2 -W 1 $each >/dev/null 2>&1 && echo $each)';
      const { stdout } = await client.exec(from, `for each in ${addresses}; do ${one} & done; wait`);
      return stdout
        .trim()
        .split('\n')
        .map((address) => `${from} ${address}`);
    }),
  );
  return new Set(answered.flat());
}

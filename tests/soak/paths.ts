import { arePossible } from '../attacks/surroundings.ts';
import { PathLab } from '../paths/lab.ts';
import { told } from './evidence.ts';

/**
 * npm run soak -- paths [--evidence]: VMs on networks of each mode and datapath, a host and a world; from each by each NIC to everybody
 * by TCP, UDP and ping, IPv4 and IPv6. What is declared is there, and nothing else.
 */

/** @returns whether all was well */
export async function soakPaths(say: (line: string) => void): Promise<boolean> {
  if (!arePossible()) {
    say('this needs root: a network namespace in place of a host, and one in place of the world');
    return false;
  }
  const startedAt = Date.now();
  try {
    await using lab = await PathLab.make();
    const { walked, open, problems } = await lab.walk();
    for (const problem of problems) say(`  ${problem}`);
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
    say(`${walked} paths in ${seconds} s, of them ${open} open; ${problems.length} are not as declared`);
    return problems.length === 0;
  } catch (error) {
    say(`ended: ${told(error)}`);
    return false;
  }
}

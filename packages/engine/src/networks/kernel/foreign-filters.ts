import { readFile } from 'node:fs/promises';
import { run } from '../../hosts/index.ts';
import { DOCKER_CHAIN, dockerRules, dockerSteps, uplinksOf } from './docker-plan.ts';
import { foreignFilters, type ForeignFilters } from './foreign-plan.ts';
import type { OwnBridge } from './kernel-model.ts';
import { readJson } from './place-commands.ts';

/** Docker beside us: its chain for others has what our bridges need as long as they are there, and nothing else of it is touched. */

const TIMEOUT_MS = 10_000;
/** iptables of the host's own choice, as Docker uses it. */
const FAMILIES = [
  { family: 'ip', tool: 'iptables', legacy: '/proc/net/ip_tables_names', route: '-4' },
  { family: 'ip6', tool: 'ip6tables', legacy: '/proc/net/ip6_tables_names', route: '-6' },
] as const;

/** Those of this moment. @param bridge for the remedies */
export async function readForeignFilters(tag: string, bridge: string): Promise<ForeignFilters> {
  return foreignFilters(await readJson(['nft', '-j', 'list', 'chains']), tag, bridge);
}

/** @returns what was changed, for people; empty when all was as it should be */
export async function syncDocker(bridges: readonly OwnBridge[], tag: string): Promise<string[]> {
  const changed: string[] = [];
  const { docker } = await readForeignFilters(tag, '');
  for (const { family, tool, legacy, route } of FAMILIES) {
    // Asking for a table of the older iptables would make it.
    if (!docker[family] && !/^filter$/m.test(await readFile(legacy, 'utf8').catch(() => ''))) continue;
    const argv = [tool, '-w', '5'] as const;
    const listed = await run([...argv, '-S', DOCKER_CHAIN], { timeoutMs: TIMEOUT_MS, okExitCodes: 'any' }).catch(
      () => undefined,
    );
    if (listed?.exitCode !== 0) continue;
    const wanted = bridges.length === 0 ? [] : dockerRules(bridges, await uplinks(route), tag);
    for (const step of dockerSteps(wanted, listed.stdout, tag)) {
      // It may be gone meanwhile, with Docker: the next look sees.
      const { exitCode } = await run([...argv, ...step], { timeoutMs: TIMEOUT_MS, okExitCodes: 'any' });
      if (exitCode === 0) changed.push(`${tool} ${step.join(' ')}`);
    }
  }
  return changed;
}

async function uplinks(family: '-4' | '-6'): Promise<string[]> {
  const [routes, links] = await Promise.all([
    readJson(['ip', '-j', family, 'route', 'show']),
    readJson(['ip', '-j', '-d', 'link', 'show']),
  ]);
  return uplinksOf(routes ?? [], links ?? []);
}

import type { DoctorItem } from '@skerry/api';
import { DOCKER_CHAIN } from './docker-plan.ts';
import { tableName } from './names-model.ts';

/** Filters of others that drop what our networks pass on, whatever our own say: a packet has to be let through by all. Pure. */

/** What `nft -j list chains` prints, of which only this is read. */
interface Listed {
  readonly nftables?: ReadonlyArray<{ readonly chain?: Chain }>;
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

export interface ForeignFilters {
  /** Whether Docker lets others have rules, by family. */
  readonly docker: { readonly ip: boolean; readonly ip6: boolean };
  /** Those that we leave alone, and what to type so that they let networks of ours pass. */
  readonly blockers: ReadonlyArray<{ readonly name: string; readonly remedy: string }>;
}

/** @param bridge for the remedy: a name, or a pattern of them */
export function foreignFilters(listed: unknown, tag: string, bridge: string): ForeignFilters {
  const chains = ((listed as Listed | undefined)?.nftables ?? []).flatMap(({ chain }) => chain ?? []);
  const has = (family: string): boolean =>
    chains.some((chain) => chain.family === family && chain.table === 'filter' && chain.name === DOCKER_CHAIN);
  const docker = { ip: has('ip'), ip6: has('ip6') };
  const blockers = chains.filter(
    ({ family, table, hook, policy }) =>
      ['ip', 'ip6', 'inet'].includes(family) &&
      hook === 'forward' &&
      policy === 'drop' &&
      table !== tableName(tag) &&
      !(table === 'filter' && has(family)),
  );
  return {
    docker,
    blockers: [
      ...(chains.some(({ table }) => table === 'firewalld') ? [{ name: 'firewalld', remedy: trusted(bridge) }] : []),
      ...blockers.map((chain) => ({
        name: `${chain.family} ${chain.table} ${chain.name}`,
        remedy: remedyOf(chain, chains, bridge),
      })),
    ],
  };
}

/** At once, and also after its next reload, which forgets what it was told at run time (firewall-cmd(1), seen with 1.3). */
function trusted(bridge: string): string {
  const told = `--zone=trusted --add-interface=${bridge}`;
  return `firewall-cmd ${told} && firewall-cmd --permanent ${told}`;
}

/** What is to be said of a network that leads out; undefined: nobody drops what it passes on. */
export function lackBy({ blockers }: ForeignFilters): string | undefined {
  if (blockers.length === 0) return undefined;
  const names = blockers.map(({ name }) => name).join(', ');
  return `this host's own filter (${names}) may drop what it passes on; type: ${blockers.map(({ remedy }) => remedy).join(' && ')}`;
}

/** @param filters of any bridge of this instance */
export function foreignDoctorItem({ docker, blockers }: ForeignFilters): DoctorItem {
  const base = { id: 'foreign-filters', title: 'Filters of others' };
  if (blockers.length > 0) {
    return {
      ...base,
      state: 'limited',
      found: blockers.map(({ name }) => name).join(', '),
      consequence: 'What kernel networks pass on to the world may be dropped there.',
      remedy: `For each, with the bridge's name as in \`skerry network show\`: ${blockers.map(({ remedy }) => remedy).join(' && ')}`,
    };
  }
  const found = docker.ip || docker.ip6 ? 'Docker' : 'none that drops what is passed on';
  const consequence =
    docker.ip || docker.ip6
      ? 'Bridges of kernel networks are let through in its chain DOCKER-USER while they are there.'
      : 'What kernel networks pass on is judged by their own rules alone.';
  return { ...base, state: 'ok', found, consequence };
}

function remedyOf({ family, table, name }: Chain, chains: readonly Chain[], bridge: string): string {
  // ufw(8) loads its chains anew when it is changed.
  if (chains.some((chain) => chain.name.startsWith('ufw-')))
    return `ufw route allow in on ${bridge} && ufw route allow out on ${bridge}`;
  const accept = (which: string): string => `nft insert rule ${family} ${table} ${name} ${which} "${bridge}" accept`;
  return `${accept('iifname')} && ${accept('oifname')}`;
}

import { isDeepStrictEqual } from 'node:util';
import { Network, Node, SkerryError, Vm } from '@skerry/api';
import { commit, type Store, type StoreEntry } from './port.ts';

/**
 * Resources that an older Skerry wrote, in the form of today: what was added to the schemas since gets its default. It is
 * done once, when the daemon starts, so everybody else reads today's form only. What today's schemas do not know was
 * written by a newer one: going on would lose it.
 */

const SCHEMAS = { '/vms/': Vm, '/nodes/': Node, '/networks/': Network } as const;
const WRITES_A_TXN = 50;

/** What a default can't give: by what older versions wrote. Never change one: add one. */
const FORMER: ReadonlyArray<(resource: Stored) => Stored> = [
  // Before there were templates every start was a boot, and the report did not say so.
  (resource) => {
    const start = resource.status?.['start'] as Record<string, unknown> | undefined;
    if (resource.kind !== 'vm' || start === undefined || start['how'] !== undefined) return resource;
    return { ...resource, status: { ...resource.status, start: { ...start, how: 'cold' } } };
  },
];

interface Stored {
  readonly kind: string;
  readonly name: string;
  readonly status?: Readonly<Record<string, unknown>>;
}

export interface Upgrade {
  /** Resources that were looked at. */
  readonly total: number;
  /** Names of those that are, or with `dryRun` would be, written anew. */
  readonly changed: readonly string[];
}

/** @throws SkerryError `unsupported`: nothing was changed */
export async function upgradeResources(
  store: Store,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<Upgrade> {
  const changed: Array<{ readonly entry: StoreEntry; readonly name: string; readonly value: string }> = [];
  let total = 0;
  for (const [prefix, schema] of Object.entries(SCHEMAS)) {
    const { entries } = await store.range({ prefix });
    for (const entry of entries) {
      total += 1;
      const found = JSON.parse(entry.value) as Stored;
      const parsed = schema.safeParse({
        ...FORMER.reduce((was, step) => step(was), found),
        revision: entry.modRevision,
      });
      if (!parsed.success) throw unknownTo(found, parsed.error.issues[0]);
      const { revision: _, ...now } = parsed.data;
      if (isDeepStrictEqual(now, found)) continue;
      changed.push({ entry, name: `${found.kind} ${found.name}`, value: JSON.stringify(now) });
    }
  }
  if (!dryRun) {
    for (let at = 0; at < changed.length; at += WRITES_A_TXN) {
      const some = changed.slice(at, at + WRITES_A_TXN);
      await commit(store, {
        compare: some.map(({ entry: { key, modRevision } }) => ({ key, modRevision })),
        then: some.map(({ entry: { key }, value }) => ({ type: 'put' as const, key, value })),
      });
    }
  }
  return { total, changed: changed.map(({ name }) => name) };
}

function unknownTo(
  { kind, name }: Stored,
  issue: { readonly path: readonly PropertyKey[]; readonly message: string } | undefined,
): SkerryError {
  const where = issue === undefined || issue.path.length === 0 ? '' : ` (${issue.path.map(String).join('.')})`;
  return new SkerryError(
    'unsupported',
    `The ${kind} '${name}' in the store is not what this Skerry knows: ${issue?.message ?? ''}${where}`,
    {
      remedy: 'A newer Skerry wrote it: run that one, or restore a backup (`skerry daemon restore F --force`).',
      details: { kind, name, issue },
    },
  );
}

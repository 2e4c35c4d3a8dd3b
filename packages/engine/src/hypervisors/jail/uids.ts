import { SkerryError } from '@skerry/api';

/** VM processes of a root daemon run as uids (and gids of the same number) of this range. */
export const UID_BASE = 720_000;
export const UID_COUNT = 10_000;
/** The last one is no VM's: the networks' ways out run as it. */
export const EGRESS_UID = UID_BASE + UID_COUNT - 1;

/** The text of /etc/passwd, /etc/group, /etc/subuid and /etc/subgid; one that the host lacks is ''. */
export interface UidSources {
  readonly passwd: string;
  readonly group: string;
  readonly subuid: string;
  readonly subgid: string;
}

/**
 * The lowest uid of the range that neither a VM nor the host uses. Pure.
 * @param used uids that still have a process or a file
 * @throws SkerryError `no-space` when none is left
 */
export function allocateUid(used: ReadonlySet<number>, sources: UidSources): number {
  const taken = new Set([...accounts(sources.passwd), ...accounts(sources.group)]);
  const ranges = [...subordinates(sources.subuid), ...subordinates(sources.subgid)];
  for (let uid = UID_BASE; uid < EGRESS_UID; uid++) {
    if (used.has(uid) || taken.has(uid)) continue;
    if (!ranges.some(({ start, count }) => uid >= start && uid < start + count)) return uid;
  }
  throw new SkerryError('no-space', `All user ids from ${UID_BASE} to ${EGRESS_UID - 1} are in use`, {
    remedy: 'Delete VMs, or free this range in /etc/passwd, /etc/group, /etc/subuid and /etc/subgid.',
    details: { base: UID_BASE, count: UID_COUNT },
  });
}

/** Third field of passwd(5) and group(5): the id. */
function accounts(text: string): number[] {
  return fieldsOf(text).flatMap((fields) => (/^\d+$/.test(fields[2] ?? '') ? [Number(fields[2])] : []));
}

/** subuid(5): name:first:count. */
function subordinates(text: string): Array<{ start: number; count: number }> {
  return fieldsOf(text).flatMap(([, start, count]) =>
    /^\d+$/.test(start ?? '') && /^\d+$/.test(count ?? '') ? [{ start: Number(start), count: Number(count) }] : [],
  );
}

function fieldsOf(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(':'));
}

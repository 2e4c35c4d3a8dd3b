import { ShareGuestPath } from '@skerry/api';
import type { DraftVm, ImportFacts } from './draft.ts';
import type { Entry } from './entry.ts';

/** Pure: binds of the host's directories and files. */

export interface Bind {
  readonly host: string;
  readonly guest: string;
  readonly readonly: boolean;
}

const MAX_SHARES = 16;

/** SOURCE:TARGET[:MODE], or a target alone; undefined for what can't be read. */
export function parseMount(text: string): { source?: string; target: string; modes: string[] } | undefined {
  const parts = text.split(':');
  const [first = '', second, third, ...more] = parts;
  if (more.length > 0 || first === '') return undefined;
  if (second === undefined) return first.startsWith('/') ? { target: first, modes: [] } : undefined;
  if (!second.startsWith('/')) return undefined;
  return { source: first, target: second, modes: third === undefined ? [] : third.split(',') };
}

export function isPath(source: string): boolean {
  return /^[./~]/.test(source);
}

/** A directory becomes a share, a file one that is put into the guest at each start. */
export function bindOf(entry: Entry, bind: Bind, vm: DraftVm, facts: ImportFacts): void {
  const kind = facts.kindOf(bind.host);
  const host = facts.moved(bind.host);
  if (kind === 'other') {
    entry.lost(`${bind.host} is neither a file nor a directory, and can't be shared with a VM`);
  } else if (kind === 'file') {
    const files = (vm.files ??= []);
    if (files.some(({ path }) => path === bind.guest)) {
      entry.lost(`there is a file for ${bind.guest} already`);
      return;
    }
    files.push({ path: bind.guest, source: host });
    entry.changed(
      `${bind.host} is copied into the guest at each start: what is changed later, on either side, stays there`,
    );
  } else {
    share(entry, { ...bind, host }, vm);
    if (kind === undefined)
      entry.changed(`${bind.host} is not there; it is taken for a directory`, `Make it: \`mkdir -p ${bind.host}\`.`);
  }
}

function share(entry: Entry, { host, guest, readonly }: Bind, vm: DraftVm): void {
  const place = ShareGuestPath.safeParse(guest);
  if (!place.success) {
    entry.lost(
      place.error.issues[0]?.message ?? `${guest} can't be the place of a share`,
      'Choose another place in the guest.',
    );
    return;
  }
  const shares = (vm.shares ??= []);
  const taken = shares.map((text) => text.split(':')[1] ?? '').find((other) => overlap(other, place.data));
  if (taken !== undefined)
    entry.lost(`${guest} lies in or around the share ${taken}`, 'Give each share a place of its own.');
  else if (host.includes(':')) entry.lost(`${host} has a colon in it, which separates the parts of a share`);
  else if (shares.length === MAX_SHARES) entry.lost(`a VM has at most ${MAX_SHARES} shares`);
  else shares.push(`${host}:${place.data}${readonly ? ':ro' : ''}`);
}

function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}

import { basename } from 'node:path';
import { SkerryError } from '@skerry/api/base';

/** One end of a copy, as it is written: `VM:/path`, `NODE/VM:/path`, a path here, or `-`. */
export type Place =
  | { readonly kind: 'guest'; readonly vm: string; readonly path: string }
  | { readonly kind: 'local'; readonly path: string }
  | { readonly kind: 'stream' };

/** A path here that looks like a VM's is written ./a:b. */
const GUEST = /^(?<vm>[a-z0-9-]+(?:\/[a-z0-9-]+)?):(?<path>.*)$/s;

/** @throws SkerryError `invalid` */
export function parsePlace(text: string): Place {
  if (text === '-') return { kind: 'stream' };
  const { vm, path } = GUEST.exec(text)?.groups ?? {};
  if (vm === undefined || path === undefined) return { kind: 'local', path: text };
  if (path.startsWith('/')) return { kind: 'guest', vm, path };
  throw new SkerryError('invalid', `'${text}' names no absolute path in the VM`, {
    remedy:
      path === ''
        ? `Write ${vm}:/root/ for a directory in it.`
        : `Write ${vm}:/root/${path}; a file here is ./${text}.`,
  });
}

/** As people write it. */
export function shown(place: Place): string {
  if (place.kind === 'stream') return '-';
  return place.kind === 'local' ? place.path : `${place.vm}:${place.path}`;
}

/** What a place below a directory is called. */
export function below<T extends Exclude<Place, { kind: 'stream' }>>(directory: T, name: string): T {
  return { ...directory, path: `${directory.path.replace(/\/+$/, '')}/${name}` };
}

export function nameOfPlace(place: Exclude<Place, { kind: 'stream' }>): string {
  return basename(place.path);
}

/** A guest names its own files, and could name one `../../x`: nothing is written outside of where it was told to. */
export function isSafeName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}

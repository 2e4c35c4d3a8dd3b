import { createHash } from 'node:crypto';

/** What an input hash is made of: plain data, hashed the same whatever the order of its keys. */
export type HashInput =
  | string
  | number
  | boolean
  | null
  | undefined
  | readonly HashInput[]
  | { readonly [key: string]: HashInput };

/** 64 hex digits. Undefined members count as absent. */
export function digestOf(input: HashInput): string {
  return createHash('sha256').update(canonical(input)).digest('hex');
}

function canonical(input: HashInput): string {
  if (input === undefined) return 'null';
  if (input === null || typeof input !== 'object') return JSON.stringify(input);
  if (Array.isArray(input)) return `[${(input as readonly HashInput[]).map(canonical).join(',')}]`;
  const members = Object.entries(input)
    .filter(([, value]) => value !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${JSON.stringify(key)}:${canonical(value)}`);
  return `{${members.join(',')}}`;
}

/** A version 8 (custom) UUID of RFC 9562 from a digest, so that a file system's UUID follows from its inputs. */
export function uuidOf(digest: string): string {
  const hex = digest.slice(0, 32);
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16);
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, variant + hex.slice(17, 20), hex.slice(20)].join(
    '-',
  );
}

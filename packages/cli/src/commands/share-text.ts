import { resolve } from 'node:path';
import { parseShare, type ShareInput } from '@skerry/api/base';

/** A share as it was typed, as the daemon takes it: it does not know where we stand. @throws SkerryError `invalid` */
export function shareOf(text: string): ShareInput {
  const share = parseShare(text);
  return { ...share, hostPath: resolve(share.hostPath) };
}

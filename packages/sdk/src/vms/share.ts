import { resolve } from 'node:path';
import { parseShare, type ShareInput } from '@skerry/api/base';

/** A share as the daemon takes it: it does not know where its caller stands. @throws SkerryError `invalid` */
export function shareOf(share: string | ShareInput): ShareInput {
  const parts = typeof share === 'string' ? parseShare(share) : share;
  return { ...parts, hostPath: resolve(parts.hostPath) };
}

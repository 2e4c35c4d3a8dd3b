import { resolve } from 'node:path';
import { SkerryError } from '@skerry/api/base';
import type { Args, Option } from '../grammar/index.ts';

/** Files that the daemon writes itself, for their bytes shall not pass through us. */

export const TO: Option = {
  name: 'to',
  value: 'FILE',
  summary: 'the file to write; --force replaces one that is there',
};

/** @throws SkerryError `invalid` */
export function requiredTo(args: Args): string {
  const to = args.text('to');
  if (to === undefined || to === '') {
    throw new SkerryError('invalid', 'It is not said where to write it', { remedy: 'Add --to FILE.' });
  }
  if (to === '-') {
    throw new SkerryError('unsupported', 'It can not be written to standard output', {
      remedy:
        'The daemon writes the file itself, and looks at it again: write --to FILE, then send FILE where you want.',
    });
  }
  return resolve(to);
}

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { references } from './reference/all.ts';

/** npm run reference: what is written out of the contract and the commands. A test compares it with those of today. */

const REFERENCE = join(import.meta.dirname, '../docs/reference');
await mkdir(REFERENCE, { recursive: true });
for (const [name, text] of references()) await writeFile(join(REFERENCE, name), text);

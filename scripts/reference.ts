import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeFileJsonSchema } from '@skerry/api';

/** npm run reference: what is written out of the contract. A test compares it with the contract of today. */

const REFERENCE = join(import.meta.dirname, '../docs/reference');
await mkdir(REFERENCE, { recursive: true });
await writeFile(join(REFERENCE, 'node-file.schema.json'), `${JSON.stringify(nodeFileJsonSchema(), null, 2)}\n`);

import { join } from 'node:path';
import { restoreBackup } from '../../src/backups/index.ts';

/** Restores, and is killed meanwhile. */

const [from = '', dataDir = ''] = process.argv.slice(2);
await restoreBackup({ from, dataDir, imagesDir: join(dataDir, 'images'), force: true });

import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { compiled, ROOT } from './package/compile.ts';

/**
 * `npm run build`: packages/X/src -> packages/X/dist, JavaScript and declarations. Only what is packed needs it: Node
 * refuses TypeScript below node_modules.
 */

await compiled('tsconfig.build.json', async (output) => {
  for (const name of await readdir(output)) {
    const dist = join('packages', name, 'dist');
    await rm(join(ROOT, dist), { recursive: true, force: true });
    await rename(join(output, name, 'src'), join(ROOT, dist));
    console.log(dist);
  }
});

import { copyFile, glob, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { compiled, ROOT } from './compile.ts';
import { entrancesOf, inline, type Manifest } from './inline-plan.ts';

/**
 * packages/client/dist, which `npm pack -w skerry` calls for: the client for Node >= 20 with the packages of ours that it is
 * made of inside, so that one tarball is all there is to install. tsc refuses what the library of Node 20 does not have.
 */

const FOLDERS = ['api', 'sdk'];

await compiled('tsconfig.client.json', async (output) => {
  const manifests = new Map<string, Manifest>();
  for (const name of FOLDERS) {
    const manifest = await readFile(join(ROOT, 'packages', name, 'package.json'), 'utf8');
    manifests.set(name, JSON.parse(manifest) as Manifest);
  }
  const entrances = entrancesOf(manifests);
  const dist = join(output, 'dist');
  for await (const path of glob('*/src/**/*.{js,d.ts}', { cwd: output })) {
    const file = path.replace('/src/', '/');
    await mkdir(dirname(join(dist, file)), { recursive: true });
    await writeFile(join(dist, file), inline(file, await readFile(join(output, path), 'utf8'), entrances));
  }
  await copyFile(join(ROOT, 'LICENSE'), join(dist, 'LICENSE'));
  const target = join(ROOT, 'packages/client/dist');
  await rm(target, { recursive: true, force: true });
  await rename(dist, target);
});

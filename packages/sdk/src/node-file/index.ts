import type { ImageRecipe } from '@skerry/api/base';
import type { LoadedNodeFile } from './load-node-file.ts';

/** Loaded when a file is: the schemas and the YAML parser take longer to load than a short program to run. */

export type { LoadedNodeFile } from './load-node-file.ts';

/** @throws as `loadNodeFile` of `load-node-file.ts` */
export async function loadNodeFile(path: string): Promise<LoadedNodeFile> {
  return (await import('./load-node-file.ts')).loadNodeFile(path);
}

/** @throws as `loadRecipe` of `load-recipe.ts` */
export async function loadRecipe(path: string): Promise<ImageRecipe> {
  return (await import('./load-recipe.ts')).loadRecipe(path);
}

import type { ImageRecipe } from '@skerry/api';
import { buildImage, hashRecipe, type ImageBuildOptions } from './build.ts';
import { openCatalogue, type Image } from './catalogue.ts';
import type { ImagePaths } from './types.ts';

export type { BootBuilder, BuilderGuest } from './builder.ts';

interface RecipeOptions extends ImageBuildOptions {
  /** Instead of the recipe's own. */
  readonly name?: string | undefined;
}

/**
 * An image on top of the micro image.
 * @throws SkerryError `invalid` (size), `not-found` (package), `unavailable`, `unsupported`, `failed` (a command), `no-space`, `cancelled`
 */
export function buildRecipe(paths: ImagePaths, recipe: ImageRecipe, options: RecipeOptions = {}): Promise<Image> {
  return buildImage(paths, named(recipe, options), 'micro', options);
}

/** The image of this recipe if it has been built. No package manager is asked: a node that is up to date starts at once. */
export async function findBuilt(
  paths: ImagePaths,
  recipe: ImageRecipe,
  options: Pick<RecipeOptions, 'name' | 'format'> = {},
): Promise<Image | undefined> {
  const hash = await hashRecipe(paths, named(recipe, options), 'micro', options);
  return openCatalogue(paths.imagesDir).findByRecipe(hash);
}

function named(recipe: ImageRecipe, { name }: { readonly name?: string | undefined }): ImageRecipe {
  return name === undefined ? recipe : { ...recipe, name };
}

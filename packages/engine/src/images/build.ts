import { ImageRecipe } from '@skerry/api';
import { openCatalogue, type Image } from './catalogue.ts';
import { composeImage, hashRecipe, type ImageBuildOptions } from './compose.ts';
import { withSsh } from './ssh-plan.ts';
import type { ImagePaths } from './types.ts';

/** The micro image: busybox and the base files of `guest/rootfs`, the ground of every recipe. Throws what `buildRecipe` throws. */
export function buildMicro(
  paths: ImagePaths,
  options: ImageBuildOptions & { readonly sizeMib?: number | undefined; readonly name?: string | undefined } = {},
): Promise<Image> {
  const recipe = ImageRecipe.parse({
    name: options.name ?? 'micro',
    minMemoryMib: 48,
    ...(options.sizeMib === undefined ? {} : { sizeMib: options.sizeMib }),
  });
  return composeImage(paths, recipe, null, options);
}

/** The micro image with an ssh server. Throws what `buildRecipe` throws. */
export function buildMicroSsh(paths: ImagePaths, options: RecipeOptions = {}): Promise<Image> {
  return buildRecipe(paths, ImageRecipe.parse({ name: 'micro-ssh', ssh: true, minMemoryMib: 48 }), options);
}

interface RecipeOptions extends ImageBuildOptions {
  /** Instead of the recipe's own. */
  readonly name?: string | undefined;
}

/**
 * An image on top of the micro image.
 * @throws SkerryError `invalid` (size), `not-found` (package), `unavailable`, `unsupported`, `failed` (a command), `no-space`, `cancelled`
 */
export function buildRecipe(paths: ImagePaths, recipe: ImageRecipe, options: RecipeOptions = {}): Promise<Image> {
  return composeImage(paths, named(recipe, options), 'micro', options);
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
  return withSsh(name === undefined ? recipe : { ...recipe, name });
}

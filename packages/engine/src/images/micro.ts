import { ImageRecipe } from '@skerry/api';
import { buildImage, type ImageBuildOptions } from './build.ts';
import type { Image } from './catalogue.ts';
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
  return buildImage(paths, recipe, null, options);
}

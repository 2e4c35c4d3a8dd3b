import { z } from 'zod';
import { Name } from './names.ts';
import { ImageRecipe } from './recipe.ts';

/** Made when they are first needed. `micro-ssh` has an ssh server. */
export const BuiltInImage = z.enum(['micro', 'micro-ssh']);
export type BuiltInImage = z.infer<typeof BuiltInImage>;

export function isBuiltIn(image: string): image is BuiltInImage {
  return BuiltInImage.safeParse(image).success;
}

/** An image as the API shows it. */
export const Image = z.object({
  name: z.string(),
  digest: z.string(),
  from: z.string().optional(),
  /** Allocated bytes of its disk, and the size the guest sees. */
  sizeBytes: z.number(),
  virtualSizeBytes: z.number(),
  format: z.enum(['qcow2', 'raw']),
  minMemoryMib: z.int(),
  /** The kernel its VMs get now. */
  kernel: z.enum(['micro', 'distro', 'none']),
  command: z.array(z.string()).optional(),
  packages: z.array(z.string()),
  createdAt: z.string(),
});
export type Image = z.infer<typeof Image>;

export const ImageBuild = z.strictObject({
  /** `micro` builds our kernel and the base image; `micro-ssh` and a recipe build an image on top of it. */
  target: z.union([BuiltInImage, ImageRecipe]),
  name: Name.optional(),
  /** For `micro`: `distro` unpacks the distribution's kernel instead of building ours. */
  kernel: z.enum(['micro', 'distro']).default('micro'),
  format: z.enum(['qcow2', 'raw']).default('qcow2'),
});
export type ImageBuild = z.infer<typeof ImageBuild>;
export type ImageBuildInput = z.input<typeof ImageBuild>;

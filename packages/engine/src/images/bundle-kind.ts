import { z } from 'zod';
import type { ArchiveKind } from '../archives/index.ts';

/** What a bundle holds: images, kernels and initramfs, as files of the catalogue and the cache. */

const Digest = z.string().regex(/^[0-9a-f]{64}$/);

const BundleAbout = z.object({
  images: z.array(z.object({ name: z.string(), digest: Digest })),
  kernels: z.array(
    z.object({
      kind: z.enum(['micro', 'distro']),
      hash: Digest,
      release: z.string(),
      /** Of our configuration and patch: a kernel of another one is not found. */
      recipeHash: Digest.optional(),
    }),
  ),
  /** Hashes. */
  initrds: z.array(Digest),
});
export type BundleAbout = z.infer<typeof BundleAbout>;

export const BUNDLE: ArchiveKind<BundleAbout> = {
  format: 'skerry-bundle',
  version: 1,
  word: 'bundle',
  names:
    /^(?:images\/[0-9a-f]{64}\/(?:image\.json|root\.(?:raw|qcow2))|kernels\/(?:micro|distro)\/[\w.-]+(?:\/[\w.-]+)?|initrd\/[0-9a-f]{64}\.cpio)$/,
  about: BundleAbout,
};

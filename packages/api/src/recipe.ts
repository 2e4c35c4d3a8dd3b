import { z } from 'zod';
import { GuestPath, Name } from './names.ts';
import { parseMemoryMib } from './units.ts';
import { ArgvSchema, Env, MAX_MEMORY_MIB, MIN_MEMORY_MIB } from './vm.ts';

/**
 * A recipe: how an image is made from the micro image, the distribution's packages, files and commands. `RecipeFile` is
 * what a person writes, `ImageRecipe` the normal form that travels; `normaliseRecipe` turns one into the other.
 */

export const MIN_IMAGE_MIB = 16;
export const MAX_IMAGE_MIB = 1024 * 1024;
export const DEFAULT_IMAGE_MIB = 512;

/** Debian policy 5.6.7 (names) and 5.6.12 (versions). Never starts with '-', so it can't become an option of apt. */
const PACKAGE = /^[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+~:-]+)?$/;
const PackageName = z.string().regex(PACKAGE, { message: 'not a package: write NAME or NAME=VERSION, as apt does' });

const FROM_REMEDY =
  "Skerry's kernel and agent boot what is made from the micro image: write `from: micro` and name what you need under `packages`";
const From = z.literal('micro', { error: FROM_REMEDY });

/** One line for the guest's shell. */
const RunLine = z
  .string()
  .min(1)
  .max(64 * 1024)
  .regex(/^[^\0]*$/, { message: 'a NUL byte can not be passed' });

const FileMode = z.int().min(0).max(0o7777);

export const ImageRecipe = z.strictObject({
  name: Name,
  from: From.default('micro'),
  packages: z.array(PackageName).max(512).default([]),
  /** With an ssh server for `skerry ssh`, and what scp and rsync need at this end. Absent: without. */
  ssh: z.literal(true).optional(),
  files: z
    .array(z.strictObject({ path: GuestPath, contentBase64: z.base64(), mode: FileMode.default(0o644) }))
    .max(1024)
    .default([]),
  /** Run as root inside a VM that has this disk, in order; each must end with exit code 0. No network. */
  run: z.array(RunLine).max(256).default([]),
  /** Virtual size of the root disk. */
  sizeMib: z.int().min(MIN_IMAGE_MIB).max(MAX_IMAGE_MIB).default(DEFAULT_IMAGE_MIB),
  minMemoryMib: z.int().min(MIN_MEMORY_MIB).max(MAX_MEMORY_MIB).default(64),
  env: Env.default({}),
  /** The long-running process of its VMs, unless they name one of their own. */
  command: ArgvSchema.optional(),
});
export type ImageRecipe = z.infer<typeof ImageRecipe>;
export type ImageRecipeInput = z.input<typeof ImageRecipe>;

const memorySize = (what: string) =>
  z.union([z.string(), z.int()]).transform((value, context) => {
    try {
      return parseMemoryMib(String(value));
    } catch {
      context.addIssue({ code: 'custom', message: `not a size: write ${what}` });
      return z.NEVER;
    }
  });

const RecipeFileEntry = z
  .strictObject({
    path: GuestPath,
    /** The text itself. */
    content: z.string().optional(),
    /** A file beside the recipe. */
    source: z.string().min(1).optional(),
    /** Octal, in quotes: YAML 1.2 reads a bare 0755 as the number 755. */
    mode: z
      .string({ error: "write the mode in quotes, such as '0755'" })
      .regex(/^0?[0-7]{3,4}$/, { message: "not a mode: write it in octal, such as '0755'" })
      .optional(),
  })
  .refine((file) => (file.content === undefined) !== (file.source === undefined), {
    message: 'give either `content` (the text itself) or `source` (a file beside the recipe)',
  });

export const RecipeFile = z.strictObject({
  apiVersion: z.literal('skerry/v1').optional(),
  kind: z.literal('Image').optional(),
  name: Name,
  from: From,
  packages: z.array(PackageName).max(512).optional(),
  ssh: z.boolean().optional(),
  files: z.array(RecipeFileEntry).max(1024).optional(),
  run: z.array(RunLine).max(256).optional(),
  size: memorySize('512Mi or 2Gi').optional(),
  memoryMin: memorySize('64Mi').optional(),
  env: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
  /** A list is run as it is; a text by `sh -c`. */
  command: z.union([ArgvSchema, z.string().min(1)]).optional(),
});
export type RecipeFile = z.infer<typeof RecipeFile>;
export type RecipeFileInput = z.input<typeof RecipeFile>;

/**
 * The normal form of a recipe. The caller reads the `source` files, so it happens with the rights of who wrote them.
 * @param readSource gives a file's bytes in base64; the path is as written, relative to the recipe
 * @throws ZodError
 */
export async function normaliseRecipe(
  file: RecipeFile,
  readSource: (path: string) => Promise<string>,
): Promise<ImageRecipe> {
  const files = await Promise.all(
    (file.files ?? []).map(async (entry) => ({
      path: entry.path,
      contentBase64: entry.source === undefined ? textToBase64(entry.content ?? '') : await readSource(entry.source),
      ...(entry.mode === undefined ? {} : { mode: Number.parseInt(entry.mode, 8) }),
    })),
  );
  return ImageRecipe.parse({
    name: file.name,
    from: file.from,
    packages: file.packages ?? [],
    ...(file.ssh === true ? { ssh: true } : {}),
    files,
    run: file.run ?? [],
    ...(file.size === undefined ? {} : { sizeMib: file.size }),
    ...(file.memoryMin === undefined ? {} : { minMemoryMib: file.memoryMin }),
    env: Object.fromEntries(Object.entries(file.env ?? {}).map(([name, value]) => [name, String(value)])),
    ...(file.command === undefined
      ? {}
      : { command: typeof file.command === 'string' ? ['sh', '-c', file.command] : file.command }),
  });
}

/** Uint8Array.prototype.toBase64 is not in Node 24 without a flag, and this package may not use node:buffer. */
function textToBase64(text: string): string {
  let binary = '';
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCodePoint(byte);
  return btoa(binary);
}

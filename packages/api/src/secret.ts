import { z } from 'zod';
import { GuestPath, Name } from './names.ts';

/** Secrets: values that VMs are given, and that nothing here ever gives back. */

/** As base64 it stays well under what a request may have, and a guest holds it in memory. */
export const MAX_SECRET_BYTES = 64 * 1024;

export const SECRETS_DIRECTORY = '/run/secrets';

export const EnvName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { message: 'not a name of an environment variable' });

/** How a VM is given a secret: as the file /run/secrets/NAME, or as an environment variable. */
export const SecretUse = z
  .strictObject({
    secret: Name,
    /** A link to the file is put here. */
    path: GuestPath.optional(),
    /** A variable of all commands, instead of the file. */
    env: EnvName.optional(),
  })
  .refine(({ path, env }) => path === undefined || env === undefined, {
    message: 'give either `path` or `env`: list the secret twice to have both',
  });
export type SecretUse = z.infer<typeof SecretUse>;

export const SecretUses = z
  .array(SecretUse)
  .max(64)
  .superRefine((uses, context) => {
    const seen = new Set<string>();
    for (const [index, { secret, path, env }] of uses.entries()) {
      const place = env ?? path ?? `${SECRETS_DIRECTORY}/${secret}`;
      if (seen.has(place)) {
        context.addIssue({ code: 'custom', path: [index], message: `two secrets for ${place}: keep one` });
      }
      seen.add(place);
    }
  });

/** A secret as it is shown: never its value. */
export const Secret = z.object({
  name: z.string(),
  id: z.uuid(),
  /** 1, 2, 3, ...: raised whenever the value is set. */
  version: z.int().min(1),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
  /** VMs and nodes that name it. */
  usedBy: z.array(z.string()),
});
export type Secret = z.infer<typeof Secret>;

export const SecretSet = z.strictObject({
  /** 1 to 65,536 bytes. */
  valueBase64: z
    .base64()
    .min(1, 'a secret has at least one byte')
    .max(Math.ceil(MAX_SECRET_BYTES / 3) * 4, `a secret has at most ${MAX_SECRET_BYTES} bytes`),
});
export type SecretSet = z.infer<typeof SecretSet>;

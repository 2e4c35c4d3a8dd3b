import { z } from 'zod';
import type { Impairment } from './fault.ts';
import { parseImpairment } from './impairment-text.ts';
import type { NodeSpecInput } from './node.ts';

/** Impairments as a person writes them in a node file. */

const impairText = z.union([z.string(), z.number()]).optional();

/** As `skerry link impair` takes it, and without an end. */
export const FileImpair = z
  .strictObject({
    nic: z.string().regex(/^[a-z0-9-]+:eth[0-7]$/, 'write VM:ethN, such as web:eth0'),
    dir: z.enum(['a2b', 'b2a', 'both'], 'write a2b, b2a or both').optional(),
    delay: impairText,
    jitter: impairText,
    loss: impairText,
    duplicate: impairText,
    reorder: impairText,
    corrupt: impairText,
    rate: impairText,
    seed: z.int().min(0).max(0xffff_ffff).optional(),
  })
  .superRefine((impair, context) => {
    try {
      impairmentOf(impair);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
  });

function impairmentOf({ nic: _1, dir: _2, seed: _3, ...texts }: Readonly<Record<string, unknown>>): Impairment {
  const given = Object.entries(texts).filter(([, text]) => text !== undefined);
  return parseImpairment(Object.fromEntries(given.map(([word, text]) => [word, String(text)])));
}

export function impairOf(impair: z.infer<typeof FileImpair>): NonNullable<NodeSpecInput['impair']>[number] {
  const { nic, dir, seed } = impair;
  return {
    nic,
    impairment: impairmentOf(impair),
    ...(dir === undefined ? {} : { dir }),
    ...(seed === undefined ? {} : { seed }),
  };
}

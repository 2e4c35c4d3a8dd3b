import { z } from 'zod';
import { isLabelKey, isLabelValue, MAX_LABEL_LENGTH, parseSelector } from './labels.ts';

/** Labels as they are given; what is stored is `Labels` of `resource.ts`. */

const CHARACTERS = `use at most ${MAX_LABEL_LENGTH} of A-Z, a-z, 0-9 and . _ / - inside (any text can go into --title)`;

export const LabelKey = z.string().refine(isLabelKey, { error: `not a key of a label: ${CHARACTERS}` });
export const LabelValue = z.string().refine(isLabelValue, { error: `not a value of a label: ${CHARACTERS}` });
export const LabelsInput = z.record(LabelKey, LabelValue);
export type LabelsInput = z.infer<typeof LabelsInput>;

/** Any text, one line. */
export const Title = z
  .string()
  .max(256, 'a title has at most 256 characters')
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  .regex(/^[^\u0000-\u001f\u007f-\u009f]*$/, { message: 'a title is one line: write it without control characters' });

/** `?selector=tier=front`, for lists. @throws SkerryError `invalid` where it is read, with what to write */
export const SelectorQuery = z.strictObject({
  selector: z
    .string()
    .max(4096)
    .transform((text) => parseSelector(text))
    .optional(),
});

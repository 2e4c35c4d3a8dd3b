import { SkerryError } from '@skerry/api/base';
import type { Args, Option } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';

/** What a verb is done to: what is named, or what a selector of labels matches. */

export const SELECTOR: Option = {
  name: 'selector',
  short: 'l',
  value: 'LABELS',
  summary:
    "those with these labels: 'tier=front', 'tier!=front', 'tier in (a,b)', 'tier', '!tier'; a comma is an `and`",
};

/**
 * Names (of what was typed) or ids (of what was selected), and what to call each.
 * @throws SkerryError `invalid` (both or neither), `not-found` (it selects nothing)
 */
export async function targetsOf(
  context: Context,
  args: Args,
  kind: 'vm' | 'node',
): Promise<{ names: readonly string[]; isSelected: boolean }> {
  const named = args.texts(kind);
  const selector = args.text('selector');
  const what = kind === 'vm' ? 'VM' : 'node';
  if (selector === undefined) {
    if (named.length > 0) return { names: named, isSelected: false };
    throw new SkerryError('invalid', `It is not said which ${what} is meant`, {
      remedy: `Name one or more, or select them by labels: -l tier=front.`,
    });
  }
  if (named.length > 0) {
    throw new SkerryError('invalid', `Both names (${named.join(', ')}) and a selector ('${selector}') are given`, {
      remedy: 'Give one of them.',
    });
  }
  const client = await context.client();
  const found = await client.call(`${kind}.list`, { query: { selector } });
  if (found.length > 0) return { names: found.map(({ name }) => name), isSelected: true };
  throw new SkerryError('not-found', `No ${what} has labels that match '${selector}'`, {
    remedy: `See what there is: \`skerry ${kind === 'vm' ? '' : 'node '}list -o wide\` shows labels.`,
    details: { selector },
  });
}

import { EnvName, LabelKey, LabelValue } from '@skerry/api';
import type { DraftVm } from './draft.ts';
import type { Entry, Pair } from './entry.ts';
import { splitWords } from './words.ts';

/** Pure: commands, variables and labels. */

/** A list as it is; a text is split into words, and no shell reads it. */
export function wordsOf(entry: Entry): string[] | undefined {
  if (entry.isList) {
    const words = entry.items().map((item) => (item.value === '' ? '' : item.text()));
    if (words.every((word) => word !== undefined)) return words;
    entry.lost('a word of it can not be read');
    return undefined;
  }
  const text = entry.text();
  const words = text === undefined ? undefined : splitWords(text);
  if (text !== undefined && words === undefined) entry.lost('a quote in it is not closed');
  return words;
}

/** Of several, the last one counts. */
export function environmentOf(entries: readonly Entry[], vm: DraftVm): void {
  const env: Array<readonly [string, string]> = [];
  for (const { name, text, entry } of lastOf(entries)) {
    if (!EnvName.safeParse(name).success) entry.lost(`'${name}' is no name of a variable here`);
    else if (text === undefined) {
      entry.lost(
        `${name} is taken from whoever starts it`,
        `Write its value under \`env\`, or \`${name}: { secret: NAME }\`.`,
      );
    } else env.push([name, text]);
  }
  if (env.length > 0) vm.env = Object.fromEntries(env);
}

export function labelsOf(entries: readonly Entry[], vm: DraftVm): void {
  const labels: Array<readonly [string, string]> = [];
  for (const { name, text = '', entry } of lastOf(entries)) {
    if (LabelKey.safeParse(name).success && LabelValue.safeParse(text).success) labels.push([name, text]);
    else entry.lost('a label has at most 63 of A-Z, a-z, 0-9 and . _ / - inside, and so has its value');
  }
  if (labels.length > 0) vm.labels = Object.fromEntries(labels);
}

function lastOf(entries: readonly Entry[]): Pair[] {
  const pairs = entries.flatMap((entry) => entry.pairs());
  return pairs.filter((pair, index) => {
    const again = pairs.slice(index + 1).some(({ name }) => name === pair.name);
    if (again) pair.entry.unneeded(`${pair.name} is given another value further on`);
    return !again;
  });
}

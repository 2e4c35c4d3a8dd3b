import { COMMANDS } from '../commands/index.ts';
import { printable } from '../tables/index.ts';
import { namesOf } from './names.ts';
import { planCompletion } from './candidates.ts';

/**
 * `skerry __complete WORDS...`: what the scripts of the shells ask. A candidate a line, after a tab what it is; the line
 * `:files` lets the shell add names of files. Never an error: somebody is typing.
 */
export async function complete(words: readonly string[]): Promise<string> {
  const plan = planCompletion(words, COMMANDS);
  const { names, prefix, typed } = plan;
  // `network forward add N --host 8080` names a port, and no daemon.
  const at = words[0] === 'network' && words[1] === 'forward' ? -1 : words.indexOf('--host');
  const found =
    names === undefined || names === 'file' ? [] : await namesOf(names, at === -1 ? undefined : words[at + 1]);
  const lines = [...plan.candidates, ...found.filter(({ word }) => word.startsWith(typed))].map(({ word, summary }) =>
    summary === undefined ? prefix + word : `${prefix}${word}\t${printable(summary)}`,
  );
  if (names === 'file' || names === 'place') lines.push(':files');
  return lines.map((line) => `${line}\n`).join('');
}

import { SkerryError } from '@skerry/api/base';
import { foreignLine, TOOLS } from './foreign.ts';

const DESTROY_REMEDY = 'power off: kill; remove: delete';

/**
 * The error for a verb that is none of ours.
 * @param rest what was typed after it
 */
export function unknownVerb(
  verb: string,
  group: string | undefined,
  verbs: readonly string[],
  rest: readonly string[] = [],
): SkerryError {
  const shown = group === undefined ? verb : `${group} ${verb}`;
  if (verb === 'destroy') {
    return new SkerryError('invalid', `'${shown}' means different things elsewhere, so it is refused`, {
      remedy: DESTROY_REMEDY,
    });
  }
  const ours = group === undefined || group === 'vm' ? foreignLine([verb, ...rest]) : undefined;
  const near = nearest(verb, verbs);
  const prefix = group === undefined ? 'skerry' : `skerry ${group}`;
  return new SkerryError('invalid', `There is no command '${shown}'`, {
    remedy:
      ours !== undefined
        ? `use: skerry ${ours}`
        : near !== undefined
          ? `Did you mean: ${prefix} ${near}`
          : `See \`${group === undefined ? 'skerry help' : `skerry ${group} --help`}\`.`,
  });
}

/** The error for `virsh shutdown web` and the like: their program's name before their verb, or ours. */
export function foreignTool(
  tool: string,
  rest: readonly string[],
  isOurs: (verb: string) => boolean,
): SkerryError | undefined {
  const [verb = ''] = rest;
  if (!TOOLS.includes(tool)) return undefined;
  if (verb === 'destroy') return unknownVerb(verb, undefined, []);
  const ours = isOurs(verb) ? rest.join(' ') : foreignLine(rest);
  return new SkerryError('invalid', `'${tool}' is another program`, {
    remedy: ours === undefined ? 'See `skerry help`.' : `use: skerry ${ours}`,
  });
}

export function unknownOption(token: string, command: string, known: readonly string[]): SkerryError {
  const near = nearest(token.replace(/^-+/, ''), known);
  return new SkerryError('invalid', `${command} has no option ${token}`, {
    remedy:
      near === undefined
        ? `See \`${command === 'skerry' ? '' : 'skerry '}${command} --help\`.`
        : `Did you mean --${near}?`,
  });
}

/** The word with the fewest changes to it, if they are few for its length. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, cost: distance(word, candidate) }))
    .toSorted((a, b) => a.cost - b.cost);
  const best = ranked[0];
  return best !== undefined && best.cost <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined;
}

/** Damerau-Levenshtein, adjacent transpositions only: 'strat' is one away from 'start'. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}

/**
 * The same command line under another program name (cli.md: a table of rewrites, no second code path). The launcher says in
 * SKERRY_PROGRAM what it was called by. Nothing is imported here: the commands that are answered first come through it, too.
 */
type Rewrite = (words: readonly string[]) => readonly string[];

const REWRITES: Readonly<Record<string, Readonly<Record<string, Rewrite>>>> = {
  // WIA-COMP-007: a VM that is created runs.
  'wia-comp-007': {
    create: (words) => {
      const asked = words.filter((word) => word !== '--no-start');
      return asked.length < words.length ? asked : [...words, '--start'];
    },
  },
  vmkit: {
    // There it means what `delete` does here.
    destroy: ([, ...rest]) => ['delete', ...rest],
    snapshot: named('snapshot create', ['--vm', '--name', '--description']),
    snapshots: named('snapshot list', ['--vm']),
    revert: named('snapshot revert', ['--vm', '--name']),
    'delete-snapshot': named('snapshot delete', ['--vm', '--name']),
  },
};

/** Words that have a place there, as the options that they are here. */
function named(ours: string, options: readonly string[]): Rewrite {
  return ([, ...rest]) => {
    let at = 0;
    const words = rest.flatMap((word) => {
      const option = word.startsWith('-') ? undefined : options[at++];
      return option === undefined ? [word] : [option, word];
    });
    return [...ours.split(' '), ...words];
  };
}

/** @param program `skerry` when undefined; one without rewrites is skerry by another name */
export function asSkerry(program: string | undefined, words: readonly string[]): readonly string[] {
  const table = program !== undefined && Object.hasOwn(REWRITES, program) ? REWRITES[program] : undefined;
  const [verb = ''] = words;
  return table !== undefined && Object.hasOwn(table, verb) ? (table[verb]?.(words) ?? words) : words;
}

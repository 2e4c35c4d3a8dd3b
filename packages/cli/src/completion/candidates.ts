import { type Command, GLOBAL_OPTIONS, groupOf, GROUPS, isMany, type NameKind, type Option } from '../grammar/index.ts';

/** What can come next on a command line, from the commands' data. */

export interface Candidate {
  readonly word: string;
  readonly summary?: string | undefined;
}

export interface Completion {
  /** Those that begin with what is typed. */
  readonly candidates: readonly Candidate[];
  /** Names that the daemon knows, to be filtered in the same way. */
  readonly names?: NameKind | undefined;
  /** Before each name: `--image=`. */
  readonly prefix: string;
  /** What is typed of the word, after the prefix. */
  readonly typed: string;
}

/** Parameters whose name says what they are. */
const KINDS: Readonly<Record<string, NameKind>> = {
  vm: 'vm',
  node: 'node',
  image: 'image',
  network: 'network',
  template: 'template',
  task: 'task',
  secret: 'secret',
  fault: 'fault',
  file: 'file',
  'from-file': 'file',
  to: 'file',
};

/** @param words after the program's name; the last is being typed, and may be empty */
export function planCompletion(words: readonly string[], commands: readonly Command[]): Completion {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  let at = 0;
  while (at < before.length && isOption(before[at])) at += lengthOf(before[at] ?? '', GLOBAL_OPTIONS);
  if (at > before.length) return valueOf(GLOBAL_OPTIONS, before.at(-1) ?? '', typed);
  let first = before[at];
  if (first === 'help') first = before[++at];
  if (first === undefined) return isOption(typed) ? options(GLOBAL_OPTIONS, typed) : plain(firstWords(commands), typed);
  const group = groupOf(before.slice(at));
  const verbAt = at + (group?.split(' ').length ?? 0);
  if (group !== undefined && before.length === verbAt) return plain(verbs(group, commands), typed);
  const verb = before[verbAt] ?? '';
  const command = commands.find((each) => isCalled(each, group, verb));
  if (command === undefined) return none(typed);
  return ofCommand(command, before.slice(verbAt + 1), typed);
}

function ofCommand(command: Command, before: readonly string[], typed: string): Completion {
  const positionals = command.positionals ?? [];
  const known = [...positionals, ...(command.options ?? []), ...GLOBAL_OPTIONS];
  let count = 0;
  for (let at = 0; at < before.length;) {
    const word = before[at] ?? '';
    // The guest's own command: what there is in it is not known here.
    if (word === '--') return none(typed);
    if (!isOption(word)) count += 1;
    at += isOption(word) ? lengthOf(word, known) : 1;
    if (at > before.length) return valueOf(known, word, typed);
  }
  if (typed.startsWith('--') && typed.includes('=')) {
    const equals = typed.indexOf('=') + 1;
    const value = valueOf(known, typed.slice(0, equals - 1), typed.slice(equals));
    return { ...value, prefix: typed.slice(0, equals) };
  }
  if (isOption(typed)) {
    const given = new Set(before.filter(isOption));
    const left = [...(command.options ?? []), ...GLOBAL_OPTIONS];
    return options(
      left.filter((option) => isMany(option) || !given.has(`--${option.name}`)),
      typed,
    );
  }
  const manyAt = positionals.findIndex(isMany);
  const positional = positionals[manyAt === -1 ? count : Math.min(count, positionals.length - 1)];
  return positional === undefined ? none(typed) : ofValue(positional, typed);
}

/** A word of the command line: a value of this parameter. */
function ofValue(option: Option, typed: string): Completion {
  if (option.choices !== undefined)
    return plain(
      option.choices.map((word) => ({ word })),
      typed,
    );
  const names = option.completes ?? (Object.hasOwn(KINDS, option.name) ? KINDS[option.name] : undefined);
  return { candidates: [], prefix: '', typed, names };
}

function valueOf(known: readonly Option[], spelled: string, typed: string): Completion {
  const option = find(known, spelled);
  return option?.value === undefined ? none(typed) : ofValue(option, typed);
}

function options(known: readonly Option[], typed: string): Completion {
  return plain(
    known.map(({ name, summary }) => ({ word: `--${name}`, summary })),
    typed,
  );
}

/** Verbs that need no group, then the groups. */
function firstWords(commands: readonly Command[]): Candidate[] {
  const own = commands.flatMap(({ group, verb, top, summary }) => {
    const word = group === '' || group === 'vm' ? verb : top;
    return word === undefined ? [] : [{ word, summary }];
  });
  return [
    ...own,
    ...Object.entries(GROUPS).flatMap(([word, summary]) => (word.includes(' ') ? [] : [{ word, summary }])),
    { word: 'help', summary: 'what there is' },
  ];
}

function verbs(group: string, commands: readonly Command[]): Candidate[] {
  const own = commands.filter((command) => command.group === group);
  const inner = Object.entries(GROUPS).filter(([words]) => words.startsWith(`${group} `));
  return [
    ...own.map(({ verb, summary }) => ({ word: verb, summary })),
    ...inner.map(([words, summary]) => ({ word: words.slice(group.length + 1), summary })),
  ];
}

function isCalled({ group, verb, top, aliases }: Command, asked: string | undefined, word: string): boolean {
  if (asked === undefined && top === word) return true;
  const inGroup = asked === undefined ? group === '' || group === 'vm' : group === asked;
  return inGroup && (verb === word || aliases?.includes(word) === true);
}

/** How many words the option takes; of one that is not known, one. */
function lengthOf(word: string, known: readonly Option[]): number {
  if (word.includes('=')) return 1;
  return find(known, word)?.value === undefined ? 1 : 2;
}

/** `--memory`, `-m` */
function find(known: readonly Option[], spelled: string): Option | undefined {
  const name = spelled.replace(/^--?/, '');
  return spelled.startsWith('--')
    ? known.find((option) => option.name === name || option.aliases?.includes(name) === true)
    : known.find(({ short }) => short === name);
}

function plain(candidates: readonly Candidate[], typed: string): Completion {
  return { candidates: candidates.filter(({ word }) => word.startsWith(typed)), prefix: '', typed };
}

function none(typed: string): Completion {
  return { candidates: [], prefix: '', typed };
}

function isOption(word: string | undefined): boolean {
  return word !== undefined && word.startsWith('-') && word !== '-' && word !== '--';
}

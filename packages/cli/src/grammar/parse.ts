import { SkerryError } from '@skerry/api/base';
import { Args, type Command, isMany, type Option, type Positional } from './command.ts';
import { GLOBAL_OPTIONS, groupOf, GROUPS } from './globals.ts';
import { foreignTool, unknownOption, unknownVerb } from './suggest.ts';
import { findWaiting, notYet, WAITING_GLOBAL_OPTIONS, WAITING_OPTIONS, type WaitingOption } from './waiting.ts';

export type Parsed =
  | { readonly kind: 'run'; readonly command: Command; readonly args: Args }
  /** Help was asked for: of a command, a group or all. */
  | { readonly kind: 'help'; readonly command?: Command | undefined; readonly group?: string | undefined };

/**
 * What a command line means.
 * @throws SkerryError `invalid` with what to type instead, `unsupported` for what a later version brings
 */
export function parse(argv: readonly string[], commands: readonly Command[]): Parsed {
  const line = new Line([...GLOBAL_OPTIONS, ...WAITING_GLOBAL_OPTIONS], 'skerry');
  let at = 0;
  while (at < argv.length && isOption(argv[at])) at += line.option(argv, at);
  assertNoneWaits(line, WAITING_GLOBAL_OPTIONS);
  const first = argv[at];
  if (first === undefined || first === 'help') return helpFor(argv.slice(at + 1), commands);
  const group = groupOf(argv.slice(at));
  const verbAt = at + wordsOf(group);
  const verb = argv[verbAt];
  const command = group === undefined ? findTop(first, commands) : findInGroup(group, verb, commands);
  if (command === undefined) {
    if (group !== undefined && (verb === undefined || isOption(verb) || verb === 'help'))
      return { kind: 'help', group };
    const waiting = findWaiting(argv.slice(at));
    if (waiting !== undefined) throw notYet(`${waiting.words}: ${waiting.what}`, waiting.waitsFor);
    const rest = argv.slice(verbAt + 1);
    throw (
      foreignTool(first, rest, (word) => findTop(word, commands) !== undefined) ??
      unknownVerb(verb ?? first, group, verbsOf(group, commands), rest)
    );
  }
  return parseCommand(argv, verbAt + 1, command, line);
}

function wordsOf(group: string | undefined): number {
  return group === undefined ? 0 : group.split(' ').length;
}

/** As it is typed: 'node list', 'start'. */
export function nameOf(command: Command): string {
  if (command.top !== undefined) return command.top;
  return command.group === '' || command.group === 'vm' ? command.verb : `${command.group} ${command.verb}`;
}

function parseCommand(argv: readonly string[], start: number, command: Command, globals: Line): Parsed {
  const name = nameOf(command);
  const positionals = command.positionals ?? [];
  const known = [...positionals, ...(command.options ?? []), ...GLOBAL_OPTIONS];
  const later = [...(WAITING_OPTIONS[name] ?? []), ...WAITING_GLOBAL_OPTIONS].filter((option) =>
    known.every((other) => other.name !== option.name),
  );
  const line = new Line([...known, ...later], name, globals);
  const words: string[] = [];
  let rest: readonly string[] = [];
  const many = positionals.some(isMany);
  for (let at = start; at < argv.length;) {
    const token = argv[at] ?? '';
    if (token === '--') {
      rest = argv.slice(at + 1);
      break;
    }
    if (isOption(token)) {
      at += line.option(argv, at);
    } else if (command.passthrough !== undefined && !many && words.length === positionals.length) {
      // The guest's command begins here, and its options are its own.
      rest = argv.slice(at);
      break;
    } else {
      words.push(token);
      at += 1;
    }
  }
  if (line.values.has('help')) return { kind: 'help', command };
  assertNoneWaits(line, later, name);
  if (command.passthrough === undefined) {
    words.push(...rest);
    rest = [];
  }
  assign(words, positionals, line, name);
  if (command.passthrough?.required === true && rest.length === 0) throw missing('a command after --', command);
  for (const positional of positionals) {
    if (positional.optional !== true && !line.values.has(positional.name)) throw missing(positional.value, command);
  }
  return { kind: 'run', command, args: new Args(line.values, rest) };
}

function assertNoneWaits(line: Line, later: readonly WaitingOption[], command?: string): void {
  for (const { name, summary, waitsFor } of later) {
    const shown = command === undefined ? `--${name}` : `${command} --${name}`;
    if (line.values.has(name)) throw notYet(`${shown}: ${summary}`, waitsFor);
  }
}

/**
 * Words to positionals, in order; the one that takes many takes what the others leave, and so do those that may be left out.
 */
function assign(words: readonly string[], positionals: readonly Positional[], line: Line, name: string): void {
  const manyAt = positionals.findIndex(isMany);
  const after = manyAt === -1 ? 0 : positionals.length - 1 - manyAt;
  const needed = positionals.filter(({ name, optional }) => optional !== true && !line.values.has(name)).length;
  let spare = words.length - needed;
  let at = 0;
  for (const [index, positional] of positionals.entries()) {
    // `acl default allow`: no network is named when the one word is needed for what comes after it.
    if (positional.optional === true && !isMany(positional) && spare-- <= 0 && index < positionals.length - 1) continue;
    const count = index === manyAt ? Math.max(0, words.length - at - after) : 1;
    for (const word of words.slice(at, at + count)) line.set(positional, word, positional.value);
    at += count;
  }
  const extra = words[at];
  if (extra !== undefined) {
    throw new SkerryError('invalid', `${name} does not take '${extra}'`, { remedy: `See \`skerry ${name} --help\`.` });
  }
}

/** The options of one line, as they are found. */
class Line {
  readonly values: Map<string, string[]>;
  readonly #options: readonly Option[];
  readonly #command: string;

  constructor(options: readonly Option[], command: string, inherited?: Line) {
    this.#options = options;
    this.#command = command;
    this.values = new Map(inherited?.values);
  }

  /** Reads the option at a place; returns how many tokens it took. */
  option(argv: readonly string[], at: number): number {
    const token = argv[at] ?? '';
    if (!token.startsWith('--')) return this.#short(argv, at);
    const equals = token.indexOf('=');
    const spelled = token.slice(2, equals === -1 ? undefined : equals);
    const option = this.#find(spelled);
    if (option === undefined) {
      const negated = spelled.startsWith('no-') ? this.#find(spelled.slice(3)) : undefined;
      if (negated === undefined || negated.value !== undefined || equals !== -1) {
        throw unknownOption(
          `--${spelled}`,
          this.#command,
          this.#options.map(({ name }) => name),
        );
      }
      this.set(negated, 'false', `--${spelled}`);
      return 1;
    }
    if (option.value === undefined) {
      if (equals !== -1)
        throw new SkerryError('invalid', `--${spelled} takes no value`, { remedy: `Write --${spelled}.` });
      this.set(option, 'true', `--${spelled}`);
      return 1;
    }
    if (equals !== -1) {
      this.set(option, token.slice(equals + 1), `--${spelled}`);
      return 1;
    }
    this.set(option, this.#valueAt(argv[at + 1], option, `--${spelled}`), `--${spelled}`);
    return 2;
  }

  /** `-o json`, `-ojson`, `-it` */
  #short(argv: readonly string[], at: number): number {
    const token = argv[at] ?? '';
    for (let index = 1; index < token.length; index++) {
      const letter = token[index] ?? '';
      const option = this.#options.find(({ short }) => short === letter);
      if (option === undefined) throw unknownOption(`-${letter}`, this.#command, []);
      if (option.value === undefined) {
        this.set(option, 'true', `-${letter}`);
        continue;
      }
      const attached = token.slice(index + 1);
      this.set(option, attached === '' ? this.#valueAt(argv[at + 1], option, `-${letter}`) : attached, `-${letter}`);
      return attached === '' ? 2 : 1;
    }
    return 1;
  }

  /** @throws SkerryError `invalid` if it was given before and says something else now */
  set(option: Option, value: string, spelled: string): void {
    if (option.choices !== undefined && !option.choices.includes(value)) {
      throw new SkerryError('invalid', `${spelled} can't be '${value}'`, { remedy: `Use ${listOf(option.choices)}.` });
    }
    const before = this.values.get(option.name);
    if (before === undefined || isMany(option)) {
      this.values.set(option.name, [...(before ?? []), value]);
    } else if (before[0] !== value) {
      throw new SkerryError('invalid', `${spelled} is given twice: '${before[0]}' and '${value}'`, {
        remedy: 'Give it once.',
      });
    }
  }

  #find(spelled: string): Option | undefined {
    return this.#options.find(({ name, aliases }) => name === spelled || aliases?.includes(spelled) === true);
  }

  #valueAt(token: string | undefined, option: Option, spelled: string): string {
    if (token !== undefined && (!isOption(token) || /^-\d/.test(token)) && token !== '--') return token;
    throw new SkerryError('invalid', `${spelled} needs a value`, {
      remedy: `Write ${spelled.startsWith('--') ? `${spelled}=` : `${spelled} `}${option.value}.`,
    });
  }
}

function isOption(token: string | undefined): boolean {
  return token !== undefined && token.length > 1 && token.startsWith('-') && token !== '--';
}

function findTop(word: string, commands: readonly Command[]): Command | undefined {
  return (
    commands.find((command) => command.top === word) ??
    commands.find(
      ({ group, verb, aliases }) => (group === '' || group === 'vm') && (verb === word || aliases?.includes(word)),
    )
  );
}

function findInGroup(group: string, word: string | undefined, commands: readonly Command[]): Command | undefined {
  return commands.find(
    (command) => command.group === group && (command.verb === word || command.aliases?.includes(word ?? '') === true),
  );
}

function verbsOf(group: string | undefined, commands: readonly Command[]): string[] {
  if (group !== undefined) return commands.filter((command) => command.group === group).map(({ verb }) => verb);
  return [
    ...Object.keys(GROUPS),
    'help',
    ...commands.flatMap(({ group: own, verb, top }) =>
      own === '' || own === 'vm' ? [verb] : top === undefined ? [] : [top],
    ),
  ];
}

function helpFor(words: readonly string[], commands: readonly Command[]): Parsed {
  const own = words.filter((word) => !isOption(word));
  const [first] = own;
  if (first === undefined) return { kind: 'help' };
  const group = groupOf(own);
  if (group !== undefined) {
    const verb = own[wordsOf(group)];
    if (verb === undefined) return { kind: 'help', group };
    const command = findInGroup(group, verb, commands);
    if (command === undefined) throw unknownVerb(verb, group, verbsOf(group, commands));
    return { kind: 'help', command };
  }
  const command = findTop(first, commands);
  if (command === undefined) throw unknownVerb(first, undefined, verbsOf(undefined, commands));
  return { kind: 'help', command };
}

function missing(what: string, command: Command): SkerryError {
  return new SkerryError('invalid', `${nameOf(command)} needs ${what}`, {
    remedy: `For example: ${command.examples[0]}`,
  });
}

function listOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

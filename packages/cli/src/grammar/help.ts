import type { Command, Option } from './command.ts';
import { GLOBAL_OPTIONS, GROUPS } from './globals.ts';
import { nameOf } from './parse.ts';

/** Help is made from the commands' data. */

export function commandHelp(command: Command): string {
  const options = command.options ?? [];
  const positionals = command.positionals ?? [];
  return sections([
    [undefined, [`${command.summary}.`, ...(command.description === undefined ? [] : ['', command.description])]],
    ['Usage', [usageOf(command)]],
    [
      'Arguments',
      columns([
        ...positionals.map(
          (each) =>
            [
              `${each.value}${each.many === true ? '...' : ''}  (--${[each.name, ...(each.aliases ?? [])].join(', --')})`,
              each.summary,
            ] as const,
        ),
        ...(command.passthrough === undefined ? [] : [['-- COMMAND...', command.passthrough.summary] as const]),
      ]),
    ],
    ['Options', columns(options.map((option) => [spellingOf(option), option.summary] as const))],
    [
      'Options of every command',
      columns(GLOBAL_OPTIONS.map((option) => [spellingOf(option), option.summary] as const)),
    ],
    [command.examples.length === 1 ? 'Example' : 'Examples', command.examples],
  ]);
}

export function groupHelp(group: string, commands: readonly Command[]): string {
  const own = commands.filter((command) => command.group === group);
  return sections([
    [undefined, [`${group}: ${GROUPS[group]}`]],
    ['Commands', columns(own.map((command) => [`skerry ${nameOf(command)}`, command.summary] as const))],
    ['Example', [own[0]?.examples[0] ?? '']],
    [undefined, ['`--help` after a command shows its options and an example.']],
  ]);
}

export function generalHelp(commands: readonly Command[]): string {
  const row = (command: Command) => [nameOf(command), command.summary] as const;
  return sections([
    [undefined, ['skerry: micro-VMs on QEMU, one by one or declared together as a node.']],
    ['Begin', columns(commands.filter(({ group }) => group === '').map(row))],
    ...Object.keys(GROUPS).map(
      (group) =>
        [
          `${group}: ${GROUPS[group]}`,
          columns(commands.filter((command) => command.group === group).map(row)),
        ] as const,
    ),
    ['Example', ['skerry run micro -- uname -a']],
    [undefined, ['`skerry COMMAND --help` shows the options of a command and an example.']],
  ]);
}

export function usageOf(command: Command): string {
  const words = (command.positionals ?? []).map(({ value, many, optional }) => {
    const shown = many === true ? `${value}...` : value;
    return optional === true ? `[${shown}]` : shown;
  });
  const rest =
    command.passthrough === undefined ? [] : [command.passthrough.required ? '-- COMMAND...' : '[-- COMMAND...]'];
  return [
    'skerry',
    nameOf(command),
    ...words,
    ...((command.options ?? []).length > 0 ? ['[options]'] : []),
    ...rest,
  ].join(' ');
}

export function spellingOf(option: Option): string {
  const names = [option.name, ...(option.aliases ?? [])].map((name) => `--${name}`);
  const value = option.value === undefined ? '' : ` ${option.value}`;
  return `${option.short === undefined ? '' : `-${option.short}, `}${names.join(', ')}${value}`;
}

function columns(rows: ReadonlyArray<readonly [string, string]>): string[] {
  const width = Math.min(34, Math.max(0, ...rows.map(([left]) => left.length)));
  return rows.map(([left, right]) => `${left.padEnd(width)}  ${right}`);
}

function sections(parts: ReadonlyArray<readonly [string | undefined, readonly string[]]>): string {
  return parts
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) =>
      (title === undefined ? lines : [`${title}:`, ...lines.map((line) => `  ${line}`)]).join('\n'),
    )
    .join('\n\n');
}

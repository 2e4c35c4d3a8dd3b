import {
  type Command,
  GLOBAL_OPTIONS,
  GROUPS,
  nameOf,
  type Option,
  spellingOf,
  usageOf,
} from '../../packages/cli/src/grammar/index.ts';
import { table } from './table.ts';

/** docs/reference/commands.md: the command line, from the same data as its help. */
export function commandReference(commands: readonly Command[]): string {
  const groups = ['', ...Object.keys(GROUPS)]
    .map((group) => ({ group, own: commands.filter((command) => command.group === group) }))
    .filter(({ own }) => own.length > 0);
  return [
    '# Commands',
    'Written by `npm run reference` from what `--help` is made of.',
    table(
      ['for', 'commands'],
      groups.map(({ group, own }) => [GROUPS[group] ?? 'beginning', own.map(linkTo).join(', ')]),
    ),
    '## Options of every command',
    optionTable(GLOBAL_OPTIONS),
    ...groups.flatMap(({ own }) => own.flatMap(commandSection)),
    '',
  ].join('\n\n');
}

const linkTo = (command: Command): string =>
  `[${nameOf(command)}](#${`skerry ${nameOf(command)}`.replaceAll(' ', '-')})`;

function commandSection(command: Command): string[] {
  const aliases = (command.aliases ?? []).map((alias) => `\`${alias}\``);
  const positionals = (command.positionals ?? []).map((each) => [
    `\`${each.value}${each.many === true ? '...' : ''}\` (\`--${[each.name, ...(each.aliases ?? [])].join('`, `--')}\`)`,
    each.summary,
  ]);
  const passed = command.passthrough === undefined ? [] : [['`-- COMMAND...`', command.passthrough.summary]];
  return [
    `## skerry ${nameOf(command)}`,
    `${command.summary}.${command.description === undefined ? '' : ` ${command.description}`}`,
    ...(aliases.length === 0 ? [] : [`Also called ${aliases.join(', ')}.`]),
    ['```', usageOf(command), '```'].join('\n'),
    ...([...positionals, ...passed].length === 0
      ? []
      : [table(['argument', 'what it is'], [...positionals, ...passed])]),
    ...((command.options ?? []).length === 0 ? [] : [optionTable(command.options ?? [])]),
    ...(command.examples.every((example) => example === usageOf(command))
      ? []
      : [['For example:', '', '```', ...command.examples, '```'].join('\n')]),
  ];
}

function optionTable(options: readonly Option[]): string {
  return table(
    ['option', 'what it does'],
    options.map((option) => {
      const choices = option.choices ?? [];
      const unsaid = choices.some((choice) => !option.summary.includes(choice)) ? `; one of ${choices.join(', ')}` : '';
      return [`\`${spellingOf(option)}\`${option.many === true ? ', several times' : ''}`, option.summary + unsaid];
    }),
  );
}

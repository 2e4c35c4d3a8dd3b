import {
  GLOBAL_OPTIONS,
  GROUPS,
  spellingOf,
  usageOf,
  type Command,
  type Option,
} from '../../packages/cli/src/grammar/index.ts';

/** skerry(1), made from the commands as the help is. */

export function manPage(commands: readonly Command[], version: string, date: string): string {
  return [
    `.TH SKERRY 1 "${date}" "skerry ${version}" "User Commands"`,
    '.SH NAME',
    'skerry \\- micro-VMs and the networks between them',
    '.SH SYNOPSIS',
    '.B skerry',
    '[\\fIGROUP\\fR] \\fIVERB\\fR \\fITARGET\\fR... [\\fIoptions\\fR]',
    '.SH DESCRIPTION',
    'Runs virtual machines on QEMU, one by one or declared together as a node. Commands that need the daemon start it.',
    '.SH OPTIONS OF EVERY COMMAND',
    ...GLOBAL_OPTIONS.flatMap(optionEntry),
    '.SH COMMANDS',
    ...['', ...Object.keys(GROUPS)].flatMap((group) => {
      const own = commands.filter((command) => command.group === group);
      const title = group === '' ? [] : [`.SS ${text(`${group}: ${GROUPS[group] ?? ''}`)}`];
      return own.length === 0 ? [] : [...title, ...own.flatMap(commandEntry)];
    }),
    '.SH EXIT STATUS',
    '0 done, 1 failed, 2 usage, 3 not found, 4 conflict or in use, 5 refused, 6 timeout, 130 interrupted.',
    '\\fBrun\\fR and \\fBexec\\fR return the status of the command in the guest.',
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(([name, meaning]) => ['.TP', `.B ${name}`, text(meaning)]),
    '.SH FILES',
    '.TP',
    '.I /var/lib/skerry, /run/skerry, /var/cache/skerry',
    "What root's daemon keeps; those of other users are below their home (XDG base directories).",
    '.TP',
    '.I /etc/default/skerry',
    "Environment of the system's daemon.",
    '',
  ].join('\n');
}

const ENVIRONMENT = [
  ['SKERRY_HOST', 'the daemon to use, as --host'],
  ['SKERRY_DATA_DIR, SKERRY_RUNTIME_DIR, SKERRY_CACHE_DIR', 'where the daemon keeps what'],
  ['SKERRY_MEMORY_BUDGET, SKERRY_MEMORY_OVERCOMMIT', 'how much memory may be promised to VMs'],
  ['NO_COLOR', 'no colours'],
] as const;

function commandEntry(command: Command): string[] {
  return [
    '.TP',
    `.B ${text(usageOf(command))}`,
    text(`${command.summary}.${command.description === undefined ? '' : ` ${command.description}`}`),
    ...(command.options === undefined || command.options.length === 0
      ? []
      : ['.RS', ...command.options.flatMap(optionEntry), '.RE']),
  ];
}

function optionEntry(option: Option): string[] {
  return ['.TP', `.B ${text(spellingOf(option))}`, text(option.summary)];
}

/** groff_man(7): a backslash, a leading dot or quote, and a minus that is meant as one. */
function text(plain: string): string {
  const escaped = plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replaceAll('\n', ' ');
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

import type { Option } from './command.ts';

export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** What every command knows (cli.md). */
export const GLOBAL_OPTIONS: readonly Option[] = [
  {
    name: 'output',
    short: 'o',
    value: 'FORMAT',
    choices: OUTPUT_FORMATS,
    summary: 'table, wide, json or yaml',
  },
  { name: 'host', value: 'ADDRESS', summary: 'another daemon: unix:///path/to/skerryd.sock (also SKERRY_HOST)' },
  { name: 'project', value: 'PROJECT', summary: 'the project; this version has only `default`' },
  { name: 'yes', short: 'y', summary: 'answer questions with yes' },
  { name: 'force', summary: 'override the protection that an error has named' },
  { name: 'no-wait', summary: 'return the task instead of waiting for its end' },
  { name: 'timeout', value: 'DURATION', summary: 'give up, and take back what was begun, after 500ms, 30s, 5m' },
  { name: 'help', short: 'h', summary: 'show this help' },
];

/** Nouns that may stand before a verb, with what they are. */
export const GROUPS: Readonly<Record<string, string>> = {
  vm: 'one virtual machine (`vm` may be left out)',
  node: 'VMs that are declared, started and stopped as one',
  image: 'what VMs are made from',
  template: 'a booted machine, frozen, that VMs are cloned from',
  pool: 'clones that wait to be used',
  network: 'what connects them',
  task: 'work that goes on',
  event: 'what happened',
  host: 'this machine',
  daemon: 'the process that does it all',
};

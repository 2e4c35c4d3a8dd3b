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
  bundle: 'images and kernels as one file, for hosts without a network',
  template: 'a booted machine, frozen, that VMs are cloned from',
  pool: 'clones that wait to be used',
  share: 'directories of this host that VMs see',
  network: 'what connects them',
  'network forward': 'ports of this host that lead into a network',
  'network acl': 'what may pass in a network',
  'network route': 'ways to other networks that VMs are told',
  fault: 'what is made to go wrong on purpose, and ends',
  nic: 'what connects a VM to a network',
  link: 'a wire between two NICs, and what happens on it',
  capture: 'what passes at a NIC, as pcap',
  secret: 'a value that VMs are given and nobody is shown',
  task: 'work that goes on',
  event: 'what happened',
  host: 'this machine',
  daemon: 'the process that does it all',
};

/** The noun that a line begins with: `network`, or `network acl`. */
export function groupOf([first = '', second = '']: readonly string[]): string | undefined {
  const both = `${first} ${second}`;
  return [both, first].find((words) => Object.hasOwn(GROUPS, words));
}

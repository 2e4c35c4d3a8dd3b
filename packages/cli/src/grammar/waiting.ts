import { SkerryError } from '@skerry/api/base';
import type { Option } from './command.ts';

/**
 * What the grammar has and this version can't do yet: it is refused as `unsupported` before anything else is looked at. An
 * entry goes when its command comes (a test finds those that were forgotten); docs/reference/waiting.md is made from it.
 */
export interface Waiting {
  /** A group, or a group and its verb, or a verb, as they are typed. */
  readonly words: string;
  readonly what: string;
  readonly waitsFor: string;
}

export type WaitingOption = Option & { readonly waitsFor: string };

const DISKS = 'disks, volumes and snapshots';
const FULL_VMS = 'full VMs (firmware, any system)';
const CLUSTER = 'clusters of hosts';
const DOOR = 'projects, and daemons that are reached over TLS';
const SCENARIOS = 'scenarios and functions';
const CONSOLE = 'the web console';

export const WAITING: readonly Waiting[] = [
  { words: 'snapshot', what: 'snapshots of disk and memory', waitsFor: DISKS },
  { words: 'storage', what: 'repositories and volumes', waitsFor: DISKS },
  { words: 'repo', what: 'places for disks', waitsFor: DISKS },
  { words: 'volume', what: 'disks in a repository', waitsFor: DISKS },
  { words: 'disk', what: 'add and remove disks', waitsFor: DISKS },
  { words: 'backup', what: 'backups of VMs', waitsFor: DISKS },
  { words: 'image import', what: 'disks of other programs', waitsFor: DISKS },

  { words: 'host capture', what: 'this host as a VM', waitsFor: FULL_VMS },
  { words: 'host virtualize', what: 'a captured host as a VM', waitsFor: FULL_VMS },
  { words: 'cloud', what: 'the seed image of cloud-init', waitsFor: FULL_VMS },
  { words: 'screen', what: "a VM's picture", waitsFor: FULL_VMS },
  { words: 'vm import', what: 'VMs of other programs', waitsFor: FULL_VMS },
  { words: 'cpu', what: 'processors of a VM that runs', waitsFor: FULL_VMS },
  { words: 'memory', what: 'memory of a VM that runs', waitsFor: FULL_VMS },
  { words: 'usb', what: 'USB devices of the host', waitsFor: FULL_VMS },
  { words: 'pci', what: 'PCI devices of the host', waitsFor: FULL_VMS },
  { words: 'hotplug', what: 'devices of a VM that runs', waitsFor: FULL_VMS },
  { words: 'unplug', what: 'devices of a VM that runs', waitsFor: FULL_VMS },

  { words: 'migrate', what: 'a running VM to another host', waitsFor: CLUSTER },

  { words: 'project', what: 'who owns what, with roles and quotas', waitsFor: DOOR },
  { words: 'user', what: 'who may do what', waitsFor: DOOR },
  { words: 'token', what: 'keys for programs', waitsFor: DOOR },
  { words: 'audit', what: 'who has done what', waitsFor: DOOR },
  { words: 'remote', what: 'daemons of other hosts, by name', waitsFor: DOOR },

  { words: 'scenario', what: 'faults in time, and what has to hold', waitsFor: SCENARIOS },
  { words: 'function', what: 'code that runs in a VM cloned for the call', waitsFor: SCENARIOS },

  { words: 'web', what: 'the console in a browser', waitsFor: CONSOLE },
];

/** Options that every command is to have. */
export const WAITING_GLOBAL_OPTIONS: readonly WaitingOption[] = [
  { name: 'on', value: 'REMOTE', summary: "another host's daemon, by name", waitsFor: DOOR },
];

/** Options of commands that are there. */
export const WAITING_OPTIONS: Readonly<Record<string, readonly WaitingOption[]>> = {
  create: [
    { name: 'graphics', value: 'KIND', summary: 'the picture of a VM', waitsFor: FULL_VMS },
    { name: 'secure-boot', summary: 'firmware that checks signatures', waitsFor: FULL_VMS },
    { name: 'username', value: 'NAME', summary: 'a user that cloud-init makes', waitsFor: FULL_VMS },
    { name: 'packages', value: 'NAMES', summary: 'packages that cloud-init installs', waitsFor: FULL_VMS },
  ],
};

/** The entry for a line that no command was found for. */
export function findWaiting([first = '', second = '']: readonly string[]): Waiting | undefined {
  const both = `${first} ${second}`;
  return WAITING.find(({ words }) => words === both) ?? WAITING.find(({ words }) => words === first);
}

export function notYet(what: string, waitsFor: string): SkerryError {
  return new SkerryError('unsupported', `This version can't do it yet: ${what}`, {
    remedy: `It comes with: ${waitsFor}. What is there already: \`skerry help\`.`,
    details: { waitsFor },
  });
}

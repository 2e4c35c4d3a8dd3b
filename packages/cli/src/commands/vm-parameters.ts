import type { Args, Option, Positional } from '../grammar/index.ts';

/** Parameters that many commands share, each with all its spellings (cli.md). */

export const VM: Positional = { name: 'vm', value: 'VM', summary: 'its name, NODE/NAME or id' };
export const VMS: Positional = { ...VM, aliases: ['name'], many: true, summary: 'one or more: name, NODE/NAME or id' };

export const IMAGE: Positional = {
  name: 'image',
  aliases: ['os'],
  value: 'IMAGE',
  summary: 'what it is made from (`skerry image list`); default: micro',
};

/** What templates and pools have in common with the VMs that come of them. */
export const SHAPE_OPTIONS: readonly Option[] = [
  { name: 'cpu', aliases: ['cpus'], value: 'N', summary: 'number of CPUs; default: 1' },
  { name: 'memory', short: 'm', value: 'SIZE', summary: 'such as 128Mi or 1G; default: 128Mi' },
];

export function shapeOf(args: Args): { cpus?: number; memoryMib?: number } {
  const [cpus, memoryMib] = [args.int('cpu'), args.sizeMib('memory')];
  return { ...(cpus === undefined ? {} : { cpus }), ...(memoryMib === undefined ? {} : { memoryMib }) };
}

/** What a new VM can be given, for `create` and `run`. */
export const VM_OPTIONS: readonly Option[] = [
  ...SHAPE_OPTIONS,
  { name: 'disk', value: 'SIZE', summary: "virtual size of its disk; default: the image's" },
  { name: 'network', value: 'NAME', summary: 'the network it is on; default: default' },
  { name: 'env', short: 'e', value: 'KEY=VALUE', many: true, summary: 'an environment variable of its commands' },
  {
    name: 'forward',
    value: '[ADDRESS:]HOST:GUEST',
    many: true,
    summary: 'a port of this host that leads into it, such as 8080:80',
  },
  {
    name: 'kernel',
    value: 'KERNEL',
    choices: ['auto', 'micro', 'distro'],
    summary: 'auto, micro or distro; default: auto',
  },
  { name: 'cold', summary: 'boot it, even where a template would start it sooner' },
  { name: 'label', value: 'KEY=VALUE', many: true, summary: 'a label to find it by' },
  { name: 'title', value: 'TEXT', summary: 'any text, shown beside the name' },
];

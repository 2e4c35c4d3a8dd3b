import { SkerryError } from '@skerry/api/base';
import type { Args, Command, Positional } from '../grammar/index.ts';
import { doTask } from './do-task.ts';
import { NODE, showNode, STEP_COLUMNS } from './node.ts';

/** What is asked of a node that is there: more of a VM, another image, a restart. */

const VMS: Positional = {
  name: 'vm',
  value: 'VM',
  many: true,
  optional: true,
  summary: 'names inside the node; all VMs without one',
};

export const nodeVerbCommands: readonly Command[] = [
  {
    group: 'node',
    verb: 'scale',
    positionals: [
      NODE,
      {
        name: 'replicas',
        value: 'VM=N',
        many: true,
        summary: 'how many there shall be: web=3 is web, web-2 and web-3',
      },
    ],
    options: [{ name: 'dry-run', summary: 'print what it would do, and do nothing' }],
    summary: 'Say how many there shall be of VMs of a node',
    description:
      'The first keeps its name, its disk and the ports of the host. `skerry up` keeps the number unless the file has `replicas`.',
    examples: ['skerry node scale shop web=3', 'skerry node scale shop web=3 cache=2', 'skerry node scale shop web=0'],
    async run(context, args) {
      const replicas = Object.fromEntries(
        pairs(args, 'replicas', 'web=3').map(([vm, count]) => [vm, countOf(vm, count)] as const),
      );
      const node = args.required('node');
      const options = { params: { node }, body: { replicas } };
      if (args.flag('dry-run')) {
        const client = await context.client();
        return await context.out.rows(await client.call('node.scale.plan', options), STEP_COLUMNS);
      }
      const done = await doTask(context, node, 'node.scale', options);
      if (done !== undefined) await showNode(context, await context.client(), done);
    },
  },
  {
    group: 'node',
    verb: 'update',
    positionals: [NODE],
    options: [
      { name: 'image', value: 'VM=IMAGE', many: true, summary: 'the image that a VM (all its replicas) shall have' },
      { name: 'batch', value: 'N', summary: 'how many at a time; default: 1' },
      { name: 'dry-run', summary: 'print the batches, and do nothing' },
    ],
    summary: 'Give VMs of a node another image, batch by batch',
    description:
      'A VM keeps its name and addresses and gets a new disk; what was on the old one is gone once it is healthy. ' +
      'A batch that does not become healthy gets its old disks back, and the next ones are not begun. ' +
      'Change the file as well: `skerry up` makes the node what the file says.',
    examples: [
      'skerry node update shop --image web=v2',
      'skerry node update shop --image web=v2 --batch 2',
      'skerry node update shop --image web=v2 --dry-run',
    ],
    async run(context, args) {
      const images = Object.fromEntries(pairs(args, 'image', '--image web=v2'));
      const node = args.required('node');
      const batch = args.int('batch');
      const options = { params: { node }, body: { images, ...(batch === undefined ? {} : { batch }) } };
      if (args.flag('dry-run')) {
        const client = await context.client();
        return await context.out.rows(await client.call('node.update.plan', options), STEP_COLUMNS);
      }
      const done = await doTask(context, node, 'node.update', options);
      if (done !== undefined) await showNode(context, await context.client(), done);
    },
  },
  {
    group: 'node',
    verb: 'restart',
    positionals: [NODE, VMS],
    options: [
      { name: 'batch', value: 'N', summary: 'so many at a time, each batch until it is healthy; default: all' },
    ],
    summary: 'Stop and start the VMs of a node, each after those that it depends on',
    description: 'A node that is down is started, as it was declared last.',
    examples: [
      'skerry node restart shop',
      'skerry node restart shop web cache',
      'skerry node restart shop web --batch 1',
    ],
    async run(context, args) {
      const node = args.required('node');
      const batch = args.int('batch');
      const body = { vms: [...args.texts('vm')], ...(batch === undefined ? {} : { batch }) };
      const done = await doTask(context, node, 'node.restart', { params: { node }, body });
      if (done !== undefined) await showNode(context, await context.client(), done);
    },
  },
];

/** NAME=VALUE, several. @throws SkerryError `invalid` */
function pairs(args: Args, name: string, example: string): Array<readonly [string, string]> {
  const texts = args.texts(name);
  if (texts.length === 0)
    throw new SkerryError('invalid', 'Nothing to change was named', { remedy: `Write ${example}.` });
  const known = new Map<string, string>();
  for (const text of texts) {
    const [vm = '', value = '', ...more] = text.split('=');
    if (vm === '' || value === '' || more.length > 0)
      throw new SkerryError('invalid', `'${text}' is not VM=VALUE`, { remedy: `Write it as in ${example}.` });
    if (known.has(vm)) throw new SkerryError('invalid', `${vm} is named twice`, { remedy: 'Name each VM once.' });
    known.set(vm, value);
  }
  return [...known];
}

function countOf(vm: string, text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new SkerryError('invalid', `${vm}=${text}: '${text}' is not a number of VMs`, {
    remedy: 'Write web=3, or web=0.',
  });
}

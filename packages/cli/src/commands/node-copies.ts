import { formatBytes, type NodeSave } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import { confirm } from './confirm.ts';
import { doTask } from './do-task.ts';
import { NODE, showNode } from './node.ts';

/** A whole node at one instant: copied, kept, brought back. */

const SAVE: Positional = { name: 'save', value: 'SAVE', summary: 'what it was saved as (`skerry node saves NODE`)' };

const SAVE_COLUMNS: ReadonlyArray<Column<NodeSave>> = [
  { title: 'SAVE', of: ({ name }) => name },
  { title: 'CREATED', of: ({ createdAt }) => createdAt },
  { title: 'VMS', of: ({ vms }) => vms.length },
  { title: 'RUNNING', of: ({ vms }) => vms.filter(({ state }) => state === 'running').length },
  { title: 'SIZE', of: ({ bytes }) => formatBytes(bytes) },
  { title: 'QEMU', of: ({ qemuVersion }) => qemuVersion, wide: true },
  { title: 'NAMES', of: ({ vms }) => vms.map(({ name }) => name).join(','), wide: true },
];

export const nodeCopyCommands: readonly Command[] = [
  {
    group: 'node',
    verb: 'fork',
    positionals: [NODE, { name: 'new', value: 'NEW', summary: 'the name of the copy' }],
    summary: 'Copy a running node at one instant: all VMs, disks and networks; both go on',
    description:
      'Inside, addresses stay as they are: the copy has networks of its own. Ports of this host stay with the original.',
    examples: ['skerry node fork shop shop-b'],
    async run(context, args) {
      const name = args.required('new');
      const params = { node: args.required('node') };
      const node = await doTask(context, name, 'node.fork', { params, body: { name } });
      if (node !== undefined) await showNode(context, await context.client(), node);
    },
  },
  {
    group: 'node',
    verb: 'save',
    positionals: [NODE, { name: 'save', aliases: ['as'], value: 'NAME', summary: 'what it is saved as' }],
    summary: 'Keep memory and disks of a node as of one instant; it goes on',
    examples: ['skerry node save shop before-upgrade'],
    async run(context, args) {
      const name = args.required('save');
      const node = args.required('node');
      const save = await doTask(context, node, 'node.save', { params: { node }, body: { name } });
      if (save === undefined) return;
      await context.out.result(save, () => [
        `${save.node}: saved as ${save.name}, ${save.vms.length} VMs, ${formatBytes(save.bytes)}`,
      ]);
    },
  },
  {
    group: 'node',
    verb: 'saves',
    positionals: [NODE],
    summary: 'What was saved of a node',
    examples: ['skerry node saves shop', 'skerry node saves shop -o wide'],
    async run(context, args) {
      const client = await context.client();
      await context.out.rows(
        await client.call('node.saves', { params: { node: args.required('node') } }),
        SAVE_COLUMNS,
      );
    },
  },
  {
    group: 'node',
    verb: 'restore',
    positionals: [NODE, SAVE],
    summary: 'Make a node what it was when it was saved; what it is now is lost',
    description: 'Asks on a terminal, unless --yes is given. The save stays.',
    examples: ['skerry node restore shop before-upgrade', 'skerry node restore shop before-upgrade --yes'],
    async run(context, args) {
      const [name, save] = [args.required('node'), args.required('save')];
      await confirm(context, `Restore ${name} to ${save}? What its VMs did since is lost.`);
      const node = await doTask(context, name, 'node.restore', { params: { node: name }, body: { save } });
      if (node !== undefined) await showNode(context, await context.client(), node);
    },
  },
  {
    group: 'node',
    verb: 'delete-save',
    positionals: [NODE, SAVE],
    summary: 'Delete what was saved of a node',
    description: 'Asks on a terminal, unless --yes is given.',
    examples: ['skerry node delete-save shop before-upgrade'],
    async run(context, args) {
      const [node, save] = [args.required('node'), args.required('save')];
      await confirm(context, `Delete the save ${save} of ${node}?`);
      const done = await doTask(context, node, 'node.save.delete', { params: { node, save } });
      if (done !== undefined) {
        await context.out.result({ node, save, deleted: true }, () => [`${node}: the save ${save} is deleted`]);
      }
    },
  },
];

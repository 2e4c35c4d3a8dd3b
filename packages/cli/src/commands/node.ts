import type { Node, PlanStep, Vm } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Command, Positional } from '../grammar/index.ts';
import { FileMarks, rememberFile } from '../hot/remembered.ts';
import { type Column, NODE_COLUMNS, renderNode } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask, forEach } from './do-task.ts';
import { confirm } from './confirm.ts';
import { SELECTOR, targetsOf } from './selection.ts';

export const NODE: Positional = { name: 'node', aliases: ['name'], value: 'NODE', summary: 'its name' };
const NODES: Positional = { ...NODE, many: true, summary: 'one or more names' };

export const STEP_COLUMNS: ReadonlyArray<Column<PlanStep>> = [
  { title: 'ACTION', of: ({ action }) => action },
  { title: 'KIND', of: ({ kind }) => kind },
  { title: 'NAME', of: ({ name }) => name },
  { title: 'WHY', of: ({ why }) => why },
];

const upCommand: Command = {
  group: 'node',
  verb: 'up',
  top: 'up',
  positionals: [{ name: 'file', value: 'FILE', summary: 'the node file' }],
  options: [{ name: 'dry-run', summary: 'print what it would do, and do nothing' }],
  summary: 'Make a node what its file says, and start it',
  description: 'Run again it changes only what differs.',
  examples: ['skerry up examples/shop.yaml', 'skerry up examples/shop.yaml --dry-run'],
  async run(context, args) {
    const { loadNodeFile } = await import('@skerry/sdk/node-file');
    const reads = new FileMarks();
    const file = args.required('file');
    const body = await loadNodeFile(file, { onRead: (path) => reads.add(path) });
    const client = await context.client();
    if (args.flag('dry-run')) {
      await context.out.rows(await client.call('node.plan', { body }), STEP_COLUMNS);
      return;
    }
    const node = await doTask(context, body.name, 'node.up', { body });
    if (node === undefined) return;
    if (context.host === undefined) await rememberFile(file, reads, body);
    await showNode(context, client, node);
  },
};

const downCommand: Command = {
  group: 'node',
  verb: 'down',
  top: 'down',
  positionals: [{ ...NODES, optional: true }],
  options: [SELECTOR],
  summary: 'Stop the VMs of nodes; their disks stay',
  examples: ['skerry down shop', 'skerry node down shop'],
  async run(context, args) {
    const { names } = await targetsOf(context, args, 'node');
    const { results, exitCode } = await forEach(context, names, (name) =>
      doTask(context, name, 'node.down', { params: { node: name } }),
    );
    const nodes = results.filter((node) => node !== undefined);
    if (context.out.isForPeople) for (const { name, status } of nodes) context.out.line(`${name}: ${status.state}`);
    else if (nodes.length > 0) await context.out.data(nodes.length === 1 ? nodes[0] : nodes);
    return exitCode;
  },
};

const listNodes: Command = {
  group: 'node',
  verb: 'list',
  aliases: ['ls'],
  options: [SELECTOR],
  summary: 'All nodes, or those with certain labels',
  examples: ['skerry node list', 'skerry node list -l env=test'],
  async run(context, args) {
    const client = await context.client();
    const query = { selector: args.text('selector') };
    await context.out.rows(await client.call('node.list', { query }), NODE_COLUMNS);
  },
};

const showCommand: Command = {
  group: 'node',
  verb: 'show',
  aliases: ['info'],
  positionals: [NODE],
  summary: 'A node, its VMs and its forwarded ports',
  examples: ['skerry node show shop', 'skerry node show shop -o json'],
  async run(context, args) {
    const client = await context.client();
    await showNode(context, client, await client.call('node.get', { params: { node: args.required('node') } }));
  },
};

const deleteNode: Command = {
  group: 'node',
  verb: 'delete',
  positionals: [{ ...NODES, optional: true }],
  options: [SELECTOR],
  summary: 'Stop and delete nodes: their VMs, disks and networks',
  description:
    'Asks on a terminal, unless --yes is given. One that is protected, or has a VM that is, goes only with --force.',
  examples: ['skerry node delete shop', 'skerry node delete shop --yes'],
  async run(context, args) {
    const { names } = await targetsOf(context, args, 'node');
    await confirm(context, `Delete ${names.join(', ')} with all VMs and their disks?`);
    const query = context.force ? { force: true } : {};
    const { results, exitCode } = await forEach(context, names, async (name) => {
      const done = await doTask(context, name, 'node.delete', { params: { node: name }, query });
      return done === undefined ? undefined : name;
    });
    const deleted = results.filter((name) => name !== undefined);
    if (context.out.isForPeople) for (const name of deleted) context.out.line(`${name}: deleted`);
    else if (deleted.length > 0) await context.out.data(deleted.map((name) => ({ name, deleted: true })));
    return exitCode;
  },
};

/** A node with its VMs, as a table; as data it is the node alone. */
export async function showNode(context: Context, client: Skerry, node: Node): Promise<void> {
  const vms = await vmsOf(client, node.name);
  await context.out.result(node, () => [renderNode(node, vms, context.out.format === 'wide')]);
}

export async function vmsOf(client: Skerry, node: string): Promise<Vm[]> {
  return (await client.call('vm.list')).filter(({ name }) => name.startsWith(`${node}/`));
}

export const nodeCommands: readonly Command[] = [upCommand, downCommand, listNodes, showCommand, deleteNode];

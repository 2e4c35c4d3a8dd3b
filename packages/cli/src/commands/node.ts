import type { Node, PlanStep, Vm } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Command, Positional } from '../grammar/index.ts';
import { type Column, NODE_COLUMNS, renderTable, VM_COLUMNS } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask, forEach } from './do-task.ts';
import { confirm } from './confirm.ts';

export const NODE: Positional = { name: 'node', aliases: ['name'], value: 'NODE', summary: 'its name' };
const NODES: Positional = { ...NODE, many: true, summary: 'one or more names' };

const STEP_COLUMNS: ReadonlyArray<Column<PlanStep>> = [
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
    const body = await loadNodeFile(args.required('file'));
    const client = await context.client();
    if (args.flag('dry-run')) {
      await context.out.rows(await client.call('node.plan', { body }), STEP_COLUMNS);
      return;
    }
    const node = await doTask(context, body.name, 'node.up', { body });
    if (node !== undefined) await showNode(context, client, node);
  },
};

const downCommand: Command = {
  group: 'node',
  verb: 'down',
  top: 'down',
  positionals: [NODES],
  summary: 'Stop the VMs of nodes; their disks stay',
  examples: ['skerry down shop', 'skerry node down shop'],
  async run(context, args) {
    const { results, exitCode } = await forEach(context, args.texts('node'), (name) =>
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
  summary: 'All nodes',
  examples: ['skerry node list'],
  async run(context) {
    const client = await context.client();
    await context.out.rows(await client.call('node.list'), NODE_COLUMNS);
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
  positionals: [NODES],
  summary: 'Stop and delete nodes: their VMs, disks and networks',
  description: 'Asks on a terminal, unless --yes is given.',
  examples: ['skerry node delete shop', 'skerry node delete shop --yes'],
  async run(context, args) {
    const names = args.texts('node');
    await confirm(context, `Delete ${names.join(', ')} with all VMs and their disks?`);
    const { results, exitCode } = await forEach(context, names, async (name) => {
      const done = await doTask(context, name, 'node.delete', { params: { node: name } });
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
  await context.out.result(node, () => [
    [`${node.name}: ${node.status.state}`, ...(node.status.message === undefined ? [] : [node.status.message])].join(
      ', ',
    ),
    renderTable(vms, VM_COLUMNS, context.out.format === 'wide').trimEnd(),
    ...forwardsOf(node).map(({ host, to }) => `${host} -> ${to}`),
  ]);
}

export async function vmsOf(client: Skerry, node: string): Promise<Vm[]> {
  return (await client.call('vm.list')).filter(({ name }) => name.startsWith(`${node}/`));
}

export function forwardsOf(node: Node): Array<{ host: string; to: string }> {
  return Object.entries(node.spec.vms).flatMap(([name, { forwards }]) =>
    forwards.map(({ hostAddress, hostPort, guestPort }) => ({
      host: hostAddress.includes(':') ? `[${hostAddress}]:${hostPort}` : `${hostAddress}:${hostPort}`,
      to: `${node.name}/${name}:${guestPort}`,
    })),
  );
}

export const nodeCommands: readonly Command[] = [upCommand, downCommand, listNodes, showCommand, deleteNode];

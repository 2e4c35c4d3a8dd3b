import type { PlanStep } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Declaration } from '@skerry/sdk/node-file';
import type { Command } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask } from './do-task.ts';
import { showNode, STEP_COLUMNS } from './node.ts';
import { showChange } from './vm-set.ts';

export const applyCommand: Command = {
  group: '',
  verb: 'apply',
  positionals: [{ name: 'file', short: 'f', value: 'FILE', summary: 'VMs and nodes; `-` is standard input' }],
  options: [
    { name: 'start', summary: 'start its VMs, too; nodes are always started' },
    { name: 'dry-run', summary: 'print what it would do, and do nothing' },
  ],
  summary: 'Make VMs and nodes what a file says: those that are not there are made, the others changed',
  description:
    'Several documents in a file are separated by `---`, and done one after the other once all are known to be right. `kind: VM` is what `skerry show` writes; `kind: Node` is done as by `skerry up`.',
  examples: ['skerry apply -f web-vm.yaml', 'skerry apply -f web-vm.yaml --dry-run', 'skerry apply -f - < web-vm.yaml'],
  async run(context, args) {
    const { loadDeclarations } = await import('@skerry/sdk/node-file');
    const declarations = await loadDeclarations(args.required('file'));
    const start = args.flag('start');
    const client = await context.client();
    // All are looked at before the first is done.
    const steps: PlanStep[] = [];
    for (const each of declarations) steps.push(...(await planOf(client, each, start)));
    if (args.flag('dry-run')) {
      await context.out.rows(steps, STEP_COLUMNS);
      return;
    }
    for (const each of declarations) await applyOne(context, client, each, start);
  },
};

async function planOf(client: Skerry, declaration: Declaration, start: boolean): Promise<PlanStep[]> {
  if (declaration.kind === 'Node') return await client.call('node.plan', { body: declaration.node });
  const { steps, atNextStart } = await client.call('vm.plan', { body: { vm: declaration.vm, start } });
  if (atNextStart.length === 0) return steps;
  const late = `${atNextStart.join(', ')} at its next start`;
  return steps.map((step) => (step.action === 'update' ? { ...step, why: `${step.why ?? ''} (${late})` } : step));
}

async function applyOne(context: Context, client: Skerry, declaration: Declaration, start: boolean): Promise<void> {
  const { name } = declaration;
  if (declaration.kind === 'Node') {
    const node = await doTask(context, name, 'node.up', { body: declaration.node });
    if (node !== undefined) await showNode(context, client, node);
    return;
  }
  const done = await doTask(context, name, 'vm.apply', { body: { vm: declaration.vm, start } });
  if (done !== undefined) await showChange(context, done);
}

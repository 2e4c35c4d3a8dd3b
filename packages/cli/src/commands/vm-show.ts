import type { Command } from '../grammar/index.ts';
import { printable } from '../tables/index.ts';
import { VM } from './vm-parameters.ts';

export const showCommand: Command = {
  group: 'vm',
  verb: 'show',
  positionals: [VM],
  summary: 'The file of a VM: what it is asked to be, as `apply -f` reads it back',
  description: 'YAML, or JSON with -o json. What it is at the moment is shown by `info`.',
  examples: ['skerry show -o yaml web-vm', 'skerry show web-vm > web-vm.yaml', 'skerry show -o json web-vm'],
  async run(context, args) {
    const client = await context.client();
    const vm = await client.call('vm.get', { params: { vm: args.required('vm') } });
    const { vmFileText } = await import('@skerry/sdk/node-file');
    const text = await vmFileText(vm, context.out.format === 'json' ? 'json' : 'yaml');
    for (const line of text.trimEnd().split('\n')) context.out.line(printable(line));
  },
};

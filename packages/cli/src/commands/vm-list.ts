import type { Command } from '../grammar/index.ts';
import { VM_COLUMNS } from '../tables/index.ts';

/** As typed most it is answered by `hot/`; this is the same with other options, and when no daemon runs. */
export const listCommand: Command = {
  group: 'vm',
  verb: 'list',
  aliases: ['ls'],
  summary: 'All VMs',
  examples: ['skerry list', 'skerry list -o wide', 'skerry list -o json'],
  async run(context) {
    const client = await context.client();
    await context.out.rows(await client.call('vm.list'), VM_COLUMNS);
  },
};

import type { Command } from '../grammar/index.ts';
import { VM_COLUMNS } from '../tables/index.ts';

import { SELECTOR } from './selection.ts';

/** As typed most it is answered by `hot/`; this is the same with other options, and when no daemon runs. */
export const listCommand: Command = {
  group: 'vm',
  verb: 'list',
  aliases: ['ls'],
  options: [SELECTOR],
  summary: 'All VMs, or those with certain labels',
  examples: ['skerry list', 'skerry list -o wide', 'skerry list -o json', 'skerry list -l tier=front'],
  async run(context, args) {
    const client = await context.client();
    await context.out.rows(await client.call('vm.list', { query: { selector: args.text('selector') } }), VM_COLUMNS);
  },
};

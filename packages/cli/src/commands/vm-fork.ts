import type { Command } from '../grammar/index.ts';
import { renderTable, VM_COLUMNS } from '../tables/index.ts';
import { doTask } from './do-task.ts';
import { stateLine } from './vm-create.ts';
import { VM } from './vm-parameters.ts';

export const forkCommand: Command = {
  group: 'vm',
  verb: 'fork',
  positionals: [VM, { name: 'name', value: 'NAME', summary: 'of the copy; of several, NAME-1, NAME-2, ...' }],
  options: [{ name: 'count', value: 'N', summary: 'how many copies; default: 1' }],
  summary: 'Make running copies of a running VM, its memory and its disk; it goes on',
  description:
    'A copy has an address, a MAC, a host name and random numbers of its own; connections stay with the original.',
  examples: ['skerry fork web-vm web-2', 'skerry fork web-vm worker --count 10'],
  async run(context, args) {
    const name = args.required('name');
    const count = args.int('count');
    const forks = await doTask(context, name, 'vm.fork', {
      params: { vm: args.required('vm') },
      body: { name, ...(count === undefined ? {} : { count }) },
    });
    if (forks === undefined) return;
    const [first] = forks;
    await context.out.result(count === undefined ? first : forks, () =>
      first !== undefined && forks.length === 1
        ? [stateLine(first)]
        : [renderTable(forks, VM_COLUMNS, context.out.format === 'wide').trimEnd()],
    );
  },
};

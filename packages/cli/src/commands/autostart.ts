import { SkerryError } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { forEach } from './do-task.ts';

const CHOICES = ['on', 'off', 'last'] as const;

export const autostartCommand: Command = {
  group: 'vm',
  verb: 'autostart',
  positionals: [
    { name: 'vm', aliases: ['node', 'name'], value: 'VM|NODE', many: true, summary: 'VMs and nodes' },
    { name: 'when', value: 'on|off|last', choices: CHOICES, summary: 'on, off, or last: what ran, runs again' },
  ],
  summary: 'Whether VMs and nodes run again after a restart of the host; default: last',
  description:
    'on: in any case, as with virsh. off: they stay stopped. last: they are as they were before. What is suspended stays suspended; a node starts in the order of its dependencies.',
  examples: ['skerry autostart web-vm on', 'skerry autostart shop off'],
  async run(context, args) {
    const autostart = args.required('when') as (typeof CHOICES)[number];
    const client = await context.client();
    const { results, exitCode } = await forEach(context, args.texts('vm'), async (target) => {
      const body = { autostart };
      try {
        return await client.call('vm.autostart', { params: { vm: target }, body });
      } catch (error) {
        if (SkerryError.from(error).code !== 'not-found' || target.includes('/')) throw error;
      }
      return await client.call('node.autostart', { params: { node: target }, body }).catch((error: unknown) => {
        if (SkerryError.from(error).code !== 'not-found') throw error;
        throw new SkerryError('not-found', `There is no VM and no node '${target}'`, {
          remedy: 'See `skerry list` and `skerry node list`.',
        });
      });
    });
    if (context.out.isForPeople) for (const { name } of results) context.out.line(`${name}: autostart ${autostart}`);
    else if (results.length > 0) await context.out.data(results.length === 1 ? results[0] : results);
    return exitCode;
  },
};

import type { Command } from '../grammar/index.ts';
import { VM } from './vm-parameters.ts';

export const renameCommand: Command = {
  group: 'vm',
  verb: 'rename',
  positionals: [VM, { name: 'new', value: 'NEW', summary: 'what it is called from now on' }],
  summary: 'Give a VM another name, whether it runs or not; its id, disk and addresses stay',
  description:
    'Others find it by the new name at once. Inside, the host name follows at its next start. A VM of a node is named by its node.',
  examples: ['skerry rename web-vm shop-front'],
  async run(context, args) {
    const client = await context.client();
    const before = args.required('vm');
    const vm = await client.call('vm.rename', { params: { vm: before }, body: { name: args.required('new') } });
    await context.out.result(vm, () => [`${before}: is ${vm.name} now`]);
    const { state } = vm.status;
    if (context.out.isForPeople && state !== 'stopped' && state !== 'crashed')
      context.out.note('The host name in the guest follows at its next start.');
  },
};

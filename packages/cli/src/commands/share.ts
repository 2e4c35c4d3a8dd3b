import type { ShareInfo } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask } from './do-task.ts';
import { shareOf } from './share-text.ts';
import { VM } from './vm-parameters.ts';

const COLUMNS: ReadonlyArray<Column<ShareInfo>> = [
  { title: 'GUEST', of: ({ guestPath }) => guestPath },
  { title: 'HOST', of: ({ hostPath }) => hostPath },
  { title: 'MODE', of: ({ readonly }) => (readonly ? 'ro' : 'rw') },
  { title: 'BY', of: ({ how }) => how },
  { title: 'STATE', of: ({ state }) => state },
];

export const shareCommands: readonly Command[] = [
  {
    group: 'share',
    verb: 'add',
    positionals: [
      VM,
      { name: 'share', value: 'HOST:GUEST[:ro,virtiofs]', summary: 'a directory here, and where the guest has it' },
    ],
    summary: 'Share a directory of this host with a VM, from its next start',
    examples: [
      'skerry share add web-vm ./src:/mnt/src',
      'skerry share add web-vm /srv/data:/data:ro',
      'skerry share add web-vm ./src:/mnt/src:virtiofs',
    ],
    async run(context, args) {
      const name = args.required('vm');
      const share = shareOf(args.required('share'));
      const infos = await doTask(context, name, 'vm.share.add', { params: { vm: name }, body: share });
      if (infos === undefined) return;
      await context.out.rows(infos, COLUMNS);
      await hint(context, name, infos);
    },
  },
  {
    group: 'share',
    verb: 'remove',
    aliases: ['rm'],
    positionals: [VM, { name: 'guest', value: 'GUEST', summary: 'where the guest has it' }],
    summary: 'Share a directory no longer; a running VM has it unmounted at once',
    examples: ['skerry share remove web-vm /mnt/src'],
    async run(context, args) {
      const name = args.required('vm');
      const guestPath = args.required('guest');
      const infos = await doTask(context, name, 'vm.share.remove', { params: { vm: name }, query: { guestPath } });
      if (infos === undefined) return;
      await context.out.rows(infos, COLUMNS);
      await hint(context, name, infos);
    },
  },
  {
    group: 'share',
    verb: 'list',
    aliases: ['ls'],
    positionals: [VM],
    summary: 'The directories of this host that a VM sees, and whether it has them now',
    examples: ['skerry share list web-vm'],
    async run(context, args) {
      const client = await context.client();
      await context.out.rows(await client.call('vm.share.list', { params: { vm: args.required('vm') } }), COLUMNS);
    },
  },
];

/** What a running VM can not take up. */
async function hint(context: Context, name: string, infos: readonly ShareInfo[]): Promise<void> {
  if (!context.out.isForPeople) return;
  const left = infos.filter(({ state }) => state === 'until-stop').map(({ guestPath }) => guestPath);
  if (left.length > 0) {
    context.out.note(`note: ${name} keeps a way to ${left.join(', ')} until it stops; root in the guest could use it`);
  }
  if (!infos.some(({ state }) => state === 'at-next-start')) return;
  const client = await context.client();
  const { status } = await client.call('vm.get', { params: { vm: name } });
  const isUp = status.state === 'running' || status.state === 'paused';
  context.out.note(isUp ? `It has it from its next start: skerry restart ${name}` : `Start it: skerry start ${name}`);
}

import type { LinkEnd, LinkInfo } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import { doTask, forEach } from './do-task.ts';

const COLUMNS: ReadonlyArray<Column<LinkInfo>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'END', of: ({ ends: [end] }) => end && endText(end) },
  { title: 'ADDRESS', of: ({ ends: [end] }) => end?.address },
  { title: 'END', of: ({ ends: [, end] }) => end && endText(end) },
  { title: 'ADDRESS', of: ({ ends: [, end] }) => end?.address },
  { title: 'NODE', of: ({ node }) => node, optional: true },
  { title: 'MESSAGE', of: ({ message }) => message, optional: true },
  { title: 'SUBNET', of: ({ subnet }) => subnet, wide: true },
];

const NIC: Positional = {
  name: 'nic',
  value: 'VM:NIC',
  summary: 'a NIC that the VM does not have yet, such as web:eth1',
};
const LINK: Positional = {
  name: 'link',
  value: 'LINK',
  many: true,
  summary: 'one of its ends, such as web:eth1, or its name',
};

export const linkCommands: readonly Command[] = [
  {
    group: 'link',
    verb: 'create',
    positionals: [NIC, { ...NIC, name: 'other', summary: 'the same of the VM at its other end' }],
    summary: 'Make a wire between two VMs; those that run have its NICs at once',
    examples: ['skerry link create web:eth1 db:eth1'],
    async run(context, args) {
      const ends: [string, string] = [args.required('nic'), args.required('other')];
      const link = await doTask(context, ends.join(' '), 'link.create', { body: { ends } });
      if (link === undefined) return;
      const texts = link.ends.map((end) => `${endText(end)} (${end.address})`);
      await context.out.result(link, () => [`${link.name}: ${texts.join(' and ')}`]);
    },
  },
  {
    group: 'link',
    verb: 'list',
    aliases: ['ls'],
    summary: 'All links, and the NICs at their ends',
    examples: ['skerry link list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('link.list'), COLUMNS);
    },
  },
  {
    group: 'link',
    verb: 'delete',
    aliases: ['rm'],
    positionals: [LINK],
    summary: 'Take links away, with the NICs at both ends',
    examples: ['skerry link delete web:eth1'],
    async run(context, args) {
      const { results, exitCode } = await forEach(context, args.texts('link'), async (link) => {
        const done = await doTask(context, link, 'link.delete', { params: { link } });
        return done === undefined ? undefined : link;
      });
      const deleted = results.filter((link) => link !== undefined);
      if (context.out.isForPeople) for (const link of deleted) context.out.line(`${link}: deleted`);
      else if (deleted.length > 0) await context.out.data(deleted.map((link) => ({ link, deleted: true })));
      return exitCode;
    },
  },
];

function endText({ vm, nic }: LinkEnd): string {
  return `${vm}:${nic}`;
}

import type { Network } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { type Column } from '../tables/index.ts';

const COLUMNS: ReadonlyArray<Column<Network>> = [
  { title: 'NAME', of: ({ name }) => name },
  { title: 'MODE', of: ({ spec }) => spec.mode },
  { title: 'SUBNET', of: ({ status }) => status.subnet },
  { title: 'GATEWAY', of: ({ status }) => status.gateway },
  { title: 'DATAPATH', of: ({ status }) => status.datapath },
  { title: 'DOMAIN', of: ({ spec }) => spec.domain, optional: true },
  { title: 'ID', of: ({ id }) => id, wide: true },
];

export const networkCommands: readonly Command[] = [
  {
    group: 'network',
    verb: 'list',
    aliases: ['ls', 'list-networks'],
    summary: 'All networks',
    examples: ['skerry network list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('network.list'), COLUMNS);
    },
  },
];

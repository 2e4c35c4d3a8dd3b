import { formatMib, type Pool, SkerryError } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { type Column, renderTable } from '../tables/index.ts';
import { IMAGE, SHAPE_OPTIONS, shapeOf } from './vm-parameters.ts';

const POOL_COLUMNS: ReadonlyArray<Column<Pool>> = [
  { title: 'IMAGE', of: ({ image }) => image },
  { title: 'SIZE', of: ({ size }) => size },
  { title: 'READY', of: ({ ready }) => ready },
  { title: 'CPU', of: ({ cpus }) => cpus },
  { title: 'MEMORY', of: ({ memoryMib }) => formatMib(memoryMib) },
  { title: 'MESSAGE', of: ({ message }) => message, optional: true },
];

export const poolCommands: readonly Command[] = [
  {
    group: 'pool',
    verb: 'set',
    positionals: [IMAGE],
    options: [{ name: 'size', value: 'N', summary: 'how many clones wait; 0 ends them all' }, ...SHAPE_OPTIONS],
    summary: 'Keep clones of an image waiting: a VM that is created and started is made of one of them',
    examples: [
      'skerry pool set micro --size 5',
      'skerry pool set micro --size 2 --memory 256Mi',
      'skerry pool set micro --size 0',
    ],
    async run(context, args) {
      const size = args.int('size');
      if (size === undefined) {
        throw new SkerryError('invalid', 'pool set needs --size', {
          remedy: 'For example: skerry pool set micro --size 5 (0 removes the pool).',
        });
      }
      const client = await context.client();
      const pool = await client.call('pool.set', {
        params: { image: args.required('image') },
        body: { size, ...shapeOf(args) },
      });
      await context.out.result(pool, () => [
        pool.size === 0 ? `${pool.image}: no pool` : renderTable([pool], POOL_COLUMNS).trimEnd(),
      ]);
    },
  },
  {
    group: 'pool',
    verb: 'list',
    aliases: ['ls'],
    summary: 'All pools, how many clones wait in each, and why there are fewer than asked',
    examples: ['skerry pool list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('pool.list'), POOL_COLUMNS);
    },
  },
];

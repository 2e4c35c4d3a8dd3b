import type { SkerryEvent } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { type Column, padEnd, printable } from '../tables/index.ts';
import { untilInterrupted } from './follow.ts';

export const EVENT_COLUMNS: ReadonlyArray<Column<SkerryEvent>> = [
  { title: 'AT', of: ({ at }) => at },
  { title: 'TYPE', of: ({ type }) => type },
  { title: 'SUBJECT', of: ({ subject }) => subject?.name },
  { title: 'MESSAGE', of: ({ message }) => message },
  { title: 'ID', of: ({ id }) => id, wide: true },
];

export const eventCommands: readonly Command[] = [
  {
    group: 'event',
    verb: 'list',
    top: 'events',
    options: [
      { name: 'follow', short: 'f', summary: 'show what happens, until Ctrl-C' },
      { name: 'after', value: 'ID', summary: 'only what came after this event' },
      { name: 'limit', value: 'N', summary: 'at most so many; default: 1000' },
    ],
    summary: 'What happened, the oldest first',
    examples: ['skerry events', 'skerry events -f', 'skerry events -f -o json'],
    run: async (context, args) => {
      const client = await context.client();
      const after = args.int('after');
      if (!args.flag('follow')) {
        await context.out.rows(
          await client.call('event.list', { query: { after, limit: args.int('limit') } }),
          EVENT_COLUMNS,
        );
        return 0;
      }
      return await untilInterrupted(context, async () => {
        for await (const event of client.stream('event.follow', { query: { after }, signal: context.signal })) {
          // One JSON value a line, so that a program can read it as it comes.
          context.out.line(context.out.isForPeople ? eventLine(event) : JSON.stringify(event));
        }
      });
    },
  },
];

export function eventLine({ at, type, subject, message }: SkerryEvent): string {
  return printable(`${at}  ${padEnd(type, 16)}  ${padEnd(subject?.name ?? '-', 12)}  ${message}`);
}

import { once } from 'node:events';
import type { NodeLogLine } from '@skerry/api/base';
import type { Command, Positional } from '../grammar/index.ts';
import { padEnd, printable } from '../tables/index.ts';
import { paint } from '../terminal/index.ts';
import { EVENT_COLUMNS, eventLine } from './event.ts';
import { untilInterrupted } from './follow.ts';
import { NODE } from './node.ts';

/** What a node's VMs write, and what happens to it. */

const VMS: Positional = {
  name: 'vm',
  value: 'VM',
  many: true,
  optional: true,
  summary: 'names inside the node; all VMs without one',
};
/** Of ANSI: cyan, yellow, green, magenta, blue and their bright ones; red is for errors. */
const COLOURS = ['36', '33', '32', '35', '34', '96', '93', '92', '95', '94'];

export const nodeWatchCommands: readonly Command[] = [
  {
    group: 'node',
    verb: 'logs',
    positionals: [NODE, VMS],
    options: [
      { name: 'follow', short: 'f', summary: 'show what comes, also from VMs that come later, until Ctrl-C' },
      { name: 'tail', short: 'n', value: 'N', summary: 'at most so many past lines of each VM' },
      { name: 'since', value: 'TIME', summary: 'only what is younger: 30s, 5m, 2h' },
      { name: 'prefix', summary: 'the name of the VM before each line (default); --no-prefix leaves it out' },
    ],
    summary: "What the commands of a node's VMs have written, by time",
    examples: ['skerry node logs shop', 'skerry node logs shop -f', 'skerry node logs shop web --tail 20 --since 5m'],
    run: async (context, args) => {
      const client = await context.client();
      const params = { node: args.required('node') };
      const vms = args.texts('vm');
      const query = {
        follow: args.flag('follow'),
        tail: args.int('tail'),
        sinceMs: args.durationMs('since'),
        ...(vms.length === 0 ? {} : { vms: vms.join(',') }),
      };
      const { status } = await client.call('node.get', { params });
      const prefixes = new Prefixes(Object.keys(status.vms));
      const isBare = args.text('prefix') === 'false';
      return await untilInterrupted(context, async () => {
        for await (const line of client.stream('node.logs', { params, query, signal: context.signal })) {
          const text = context.out.isForPeople
            ? `${isBare ? '' : prefixes.of(line)}${printable(line.text)}`
            : JSON.stringify(line);
          if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
        }
      });
    },
  },
  {
    group: 'node',
    verb: 'events',
    positionals: [NODE],
    options: [
      { name: 'follow', short: 'f', summary: 'then show what happens, until Ctrl-C' },
      { name: 'after', value: 'ID', summary: 'only what came after this event' },
      { name: 'limit', value: 'N', summary: 'at most so many past ones; default: 1000' },
    ],
    summary: 'What happened to a node, its VMs and its tasks, the oldest first',
    examples: ['skerry node events shop', 'skerry node events shop -f', 'skerry node events shop -o wide'],
    run: async (context, args) => {
      const client = await context.client();
      const params = { node: args.required('node') };
      const query = { after: args.int('after'), limit: args.int('limit') };
      const past = await client.call('node.events', { params, query });
      if (!args.flag('follow')) {
        await context.out.rows(past, EVENT_COLUMNS);
        return 0;
      }
      // One JSON value a line, so that a program can read it as it comes.
      const show = (event: (typeof past)[number]): void =>
        context.out.line(context.out.isForPeople ? eventLine(event) : JSON.stringify(event));
      for (const event of past) show(event);
      // From the last one shown: what came between is neither left out nor told twice.
      const after = past.at(-1)?.id ?? query.after ?? 0;
      return await untilInterrupted(context, async () => {
        for await (const event of client.stream('node.events.follow', {
          params,
          query: { after },
          signal: context.signal,
        }))
          show(event);
      });
    },
  },
];

/** 'web-2  | ' in a colour of its own. */
class Prefixes {
  readonly #known = new Map<string, string>();
  #width: number;

  constructor(names: readonly string[]) {
    this.#width = Math.max(0, ...names.map((name) => name.length));
    for (const name of names) this.#colourOf(name);
  }

  of({ vm }: NodeLogLine): string {
    this.#width = Math.max(this.#width, vm.length);
    return paint(`${padEnd(vm, this.#width)} | `, this.#colourOf(vm), process.stdout);
  }

  #colourOf(name: string): string {
    const known = this.#known.get(name) ?? COLOURS[this.#known.size % COLOURS.length] ?? '36';
    this.#known.set(name, known);
    return known;
  }
}

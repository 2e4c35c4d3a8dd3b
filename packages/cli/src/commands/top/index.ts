import { setTimeout as sleep } from 'node:timers/promises';
import { type HostUsage, SkerryError } from '@skerry/api/base';
import type { Skerry } from '@skerry/sdk';
import type { Command } from '../../grammar/index.ts';
import type { Context } from '../../terminal/index.ts';
import { untilInterrupted } from '../follow.ts';
import { ratesOf, type SortKey } from './rates.ts';
import { openScreen } from './screen.ts';
import { SORT_KEYS, topLines } from './view.ts';

const DEFAULT_INTERVAL_MS = 1000;
/** Looking takes milliseconds per VM: more often would mostly show itself. */
const MIN_INTERVAL_MS = 200;
const CTRL_C = '\u0003';

export const topCommand: Command = {
  group: 'host',
  verb: 'top',
  top: 'top',
  options: [
    { name: 'interval', short: 'i', value: 'DURATION', summary: 'from one look to the next; default: 1s' },
    { name: 'once', summary: 'print what two looks show, and end; so it is where the output is no terminal' },
    {
      name: 'sort',
      value: 'KEY',
      choices: ['cpu', 'memory', 'network', 'disk', 'name'],
      summary: 'cpu, memory, network, disk or name; default: cpu',
    },
  ],
  summary: 'What VMs use, live: CPU, memory, disk and network',
  description:
    'CPU%: 100 is one CPU. PSS: its memory, what it shares divided by those who share it. Keys: c, m, n, d, a sort; q quits.',
  examples: ['skerry top', 'skerry top --once --sort memory', 'skerry top -o json'],
  run: async (context, args) => {
    const intervalMs = args.durationMs('interval') ?? DEFAULT_INTERVAL_MS;
    if (intervalMs < MIN_INTERVAL_MS) {
      throw new SkerryError('invalid', `--interval: less than ${MIN_INTERVAL_MS} ms`, {
        remedy: `Give --interval ${MIN_INTERVAL_MS}ms or more.`,
      });
    }
    const sort = (args.text('sort') ?? 'cpu') as SortKey;
    const client = await context.client();
    const live = process.stdout.isTTY && context.out.isForPeople && !args.flag('once');
    return await untilInterrupted(context, () =>
      live ? watch(context, client, intervalMs, sort) : once(context, client, intervalMs, sort),
    );
  },
};

async function once(context: Context, client: Skerry, intervalMs: number, sort: SortKey): Promise<void> {
  const { signal } = context;
  const before = await client.call('host.usage', { signal });
  await sleep(intervalMs, undefined, { signal });
  const rates = ratesOf(before, await client.call('host.usage', { signal }));
  await context.out.result(rates, () => topLines(rates, { sort }));
}

async function watch(context: Context, client: Skerry, intervalMs: number, firstSort: SortKey): Promise<void> {
  const quit = new AbortController();
  const signal = AbortSignal.any([context.signal, quit.signal]);
  let sort = firstSort;
  let before: HostUsage | undefined;
  let now: HostUsage | undefined;
  const draw = (): void => {
    if (now !== undefined) screen.draw(topLines(ratesOf(before, now), { sort, size: screen.size() }));
  };
  const onKey = (key: string): void => {
    if (key === 'q') quit.abort();
    // On a raw terminal Ctrl-C is a key, and no signal.
    if (key === CTRL_C) context.interrupts.abort();
    sort = SORT_KEYS[key] ?? sort;
    draw();
  };
  using screen = openScreen(onKey, () => draw());
  try {
    for (;;) {
      const next = await client.call('host.usage', { signal });
      [before, now] = [now, next];
      draw();
      await sleep(intervalMs, undefined, { signal });
    }
  } catch (error) {
    if (!quit.signal.aborted) throw error;
  }
}

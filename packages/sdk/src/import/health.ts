import type { DraftVm } from './draft.ts';
import { type Entry, lost, type Table, tableOf, translate } from './entry.ts';
import { durationOf } from './figures.ts';

/** Pure: a container's health check, which is a command. */

type Health = Record<string, string | number | readonly string[]>;

const HOUR_MS = 3_600_000;

const timing = (key: string, minMs: number, maxMs: number) => (entry: Entry, health: Health) => {
  const text = durationOf(entry, minMs, maxMs);
  if (text !== undefined) health[key] = text;
};

const startPeriod = timing('startPeriod', 0, HOUR_MS);

const KEYS: Table<Health> = tableOf<Health>({
  test: testOf,
  interval: timing('interval', 50, HOUR_MS),
  timeout: timing('timeout', 50, 600_000),
  retries: retriesOf,
  start_period: startPeriod,
  'start-period': startPeriod,
  start_interval: lost('while it starts, it is checked as often as later'),
  disable: (entry) => {
    if (entry.flag() === false) entry.unneeded('it is the default');
  },
});

export function healthOf(entry: Entry, vm: DraftVm): void {
  const disabled = entry.entry('disable');
  if (disabled?.value === true || disabled?.value === 'true') {
    for (const each of entry.entries()) each.unneeded('a VM has no health check but its own');
    return;
  }
  const health: Health = {};
  translate(entry, KEYS, health);
  if (health['exec'] !== undefined) {
    vm.health = health as unknown as NonNullable<DraftVm['health']>;
  } else if (Object.keys(health).length > 0) {
    entry.lost(
      'only when the check is done is said here, not what is checked (the image may say it)',
      'Write `health: { tcp: PORT }`.',
    );
  }
}

/** A text, or [CMD-SHELL, text], or [CMD, program, ...], or [NONE]. */
function testOf(entry: Entry, health: Health): void {
  if (!entry.isList) {
    const text = entry.text();
    if (text === 'NONE') entry.unneeded('a VM has no health check but its own');
    else if (text !== undefined) health['exec'] = text;
    return;
  }
  const words = entry.items().map((item) => item.text());
  const [how, ...argv] = words;
  if (how === 'NONE') entry.unneeded('a VM has no health check but its own');
  else if (argv.length === 0 || words.includes(undefined)) entry.lost('it is no command that can be read');
  else if (how === 'CMD') health['exec'] = argv as string[];
  else if (how === 'CMD-SHELL' && argv.length === 1 && argv[0] !== '') health['exec'] = argv[0] ?? '';
  else entry.lost(`it begins with neither CMD nor CMD-SHELL nor NONE`);
}

function retriesOf(entry: Entry, health: Health): void {
  const retries = Number(entry.text());
  if (Number.isInteger(retries) && retries >= 1 && retries <= 100) health['retries'] = retries;
  else entry.lost('it is no whole number from 1 to 100: the default holds');
}

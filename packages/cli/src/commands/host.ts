import type { OperationResult } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { padEnd, printable } from '../tables/index.ts';
import { paint } from '../terminal/index.ts';

type DoctorItem = OperationResult<'host.doctor'>[number];

const MARKS: Readonly<Record<DoctorItem['state'], readonly [text: string, colour: string]>> = {
  ok: ['ok', '32'],
  limited: ['limited', '33'],
  missing: ['missing', '31'],
};

export const hostCommands: readonly Command[] = [
  {
    group: 'host',
    verb: 'info',
    summary: 'What this machine is: accelerator, kernel, tools',
    examples: ['skerry host info', 'skerry host info -o json'],
    async run(context) {
      const client = await context.client();
      const info = await client.call('host.info');
      await context.out.result(info, () => factLines(info));
    },
  },
  {
    group: 'host',
    verb: 'doctor',
    summary: 'What this machine lacks, what follows from it, and the remedy',
    examples: ['skerry host doctor'],
    async run(context) {
      const client = await context.client();
      const items = await client.call('host.doctor');
      await context.out.result(items, () => items.flatMap(doctorLines));
    },
  },
];

/** What is in order takes a line; what is not says what follows and what to do. */
export function doctorLines({ state, title, found, consequence, remedy }: DoctorItem): string[] {
  const [text, colour] = MARKS[state];
  const head = `${paint(text.padEnd(8), colour, process.stdout)} ${printable(title)}: ${printable(found)}`;
  if (state === 'ok') return [head];
  return [
    head,
    `         ${printable(consequence)}`,
    ...(remedy === undefined ? [] : [`         remedy: ${printable(remedy)}`]),
  ];
}

/** Nested facts, indented; lists of plain values in one line. */
export function factLines(value: object, indent = ''): string[] {
  return Object.entries(value).flatMap(([name, fact]: [string, unknown]) => {
    const label = `${indent}${padEnd(`${name}:`, Math.max(0, 18 - indent.length))}`;
    if (fact === undefined || fact === null) return [];
    if (Array.isArray(fact)) {
      if (fact.every((each) => typeof each !== 'object'))
        return fact.length === 0 ? [] : [`${label} ${printable(fact.join(', '))}`];
      return [`${indent}${name}:`, ...fact.flatMap((each: object) => factLines(each, `${indent}  `))];
    }
    if (typeof fact === 'object') return [`${indent}${name}:`, ...factLines(fact, `${indent}  `)];
    return [`${label} ${printable(JSON.stringify(fact).replace(/^"|"$/g, ''))}`];
  });
}

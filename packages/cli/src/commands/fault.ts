import {
  formatAmount,
  formatDuration,
  formatImpairment,
  parseAmount,
  SkerryError,
  type Fault,
  type FaultStartInput,
} from '@skerry/api/base';
import type { Args, Command, Option } from '../grammar/index.ts';
import { renderTable, type Column } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { VM } from './vm-parameters.ts';

/** `base.ts` has no schemas, and so not the list of them. */
const KINDS = ['crash', 'freeze', 'cpu', 'memory', 'clock', 'disk-error', 'disk-latency'] as const;

export const FOR: Option = {
  name: 'for',
  value: 'TIME',
  summary: 'when it ends by itself, such as 30s or 5m; or `forever`: when it is cleared',
};
export const SEED: Option = {
  name: 'seed',
  value: 'N',
  summary: 'the same seed makes the same fault again; default: drawn, and shown',
};

export const faultCommands: readonly Command[] = [
  {
    group: 'fault',
    verb: 'vm',
    positionals: [VM, { name: 'kind', value: 'KIND', choices: KINDS, summary: KINDS.join(', ') }],
    options: [
      {
        name: 'amount',
        value: 'X',
        summary: 'how much: a share of a CPU or of memory (50%), seconds of the clock (-30s)',
      },
      FOR,
      SEED,
    ],
    summary: 'Make something go wrong in or under a VM, for a while',
    description:
      "crash: the guest's kernel panics; what follows, its restart policy says. freeze: its CPUs stand still. cpu: processes in the guest use up CPU time; default: all of its CPUs. memory: a process in the guest takes this share of its memory; default 80%. clock: the guest's clock is set on or back, and right again at the end; default 1h.",
    examples: [
      'skerry fault vm web-vm freeze --for 10s',
      'skerry fault vm web-vm cpu --amount 50% --for 1m',
      'skerry fault vm web-vm clock --amount=-30s --for 1m',
      'skerry fault vm web-vm crash',
    ],
    async run(context, args) {
      const kind = args.required('kind') as (typeof KINDS)[number];
      const amount = args.text('amount');
      const seed = args.int('seed');
      await startFault(context, {
        spec: {
          kind,
          vm: args.required('vm'),
          ...(amount === undefined ? {} : { amount: parseAmount(kind, amount) }),
          ...(seed === undefined ? {} : { seed }),
        },
        ...forOf(args),
      });
    },
  },
  {
    group: 'fault',
    verb: 'partition',
    positionals: [
      { name: 'node', value: 'NODE', summary: 'its name' },
      { name: 'groups', value: 'A,B/C', summary: 'VMs of the node in groups; those left out are one more' },
    ],
    options: [FOR],
    summary: 'Keep groups of VMs of a node from reaching each other, for a while',
    examples: ['skerry fault partition shop web,cache/logger --for 10s', 'skerry fault partition shop db --for 1m'],
    async run(context, args) {
      const groups = args
        .required('groups')
        .split('/')
        .map((group) => group.split(',').filter((name) => name !== ''))
        .filter((group) => group.length > 0);
      await startFault(context, {
        spec: { kind: 'partition', node: args.required('node'), groups },
        ...forOf(args),
      });
    },
  },
  {
    group: 'fault',
    verb: 'list',
    aliases: ['ls'],
    options: [{ name: 'all', summary: 'those that have ended, too' }],
    summary: 'Faults that are active',
    examples: ['skerry fault list', 'skerry fault list --all'],
    async run(context, args) {
      const client = await context.client();
      const faults = await client.call('fault.list', { query: { all: args.flag('all') ? 'true' : 'false' } });
      await context.out.rows(faults, COLUMNS);
    },
  },
  {
    group: 'fault',
    verb: 'show',
    aliases: ['info'],
    positionals: [{ name: 'fault', value: 'FAULT', summary: 'its name, as `skerry fault list` shows it, or its id' }],
    summary: 'One fault: what was asked, what it is, and its seed',
    examples: ['skerry fault show freeze-1f3a9c', 'skerry fault show freeze-1f3a9c -o yaml'],
    async run(context, args) {
      const client = await context.client();
      const fault = await client.call('fault.get', { params: { fault: args.required('fault') } });
      await context.out.result(fault, () => [renderTable([fault], COLUMNS).trimEnd()]);
    },
  },
  {
    group: 'fault',
    verb: 'clear',
    positionals: [
      {
        name: 'of',
        value: 'FAULT|VM|NODE',
        completes: 'fault',
        optional: true,
        summary: 'a fault, or those of a VM or node; default: all',
      },
    ],
    options: [{ name: 'all', summary: 'all of them' }],
    summary: 'End faults before their time',
    examples: ['skerry fault clear freeze-1f3a9c', 'skerry fault clear web-vm', 'skerry fault clear --all'],
    async run(context, args) {
      const of = args.text('of');
      if (of !== undefined && args.flag('all')) {
        throw new SkerryError('invalid', `Either '${of}' or --all`, { remedy: 'Leave one of them out.' });
      }
      const client = await context.client();
      const cleared = await client.call('fault.clear', { body: of === undefined ? {} : { of } });
      return await sayCleared(context, cleared);
    },
  },
];

/** @returns the exit code */
export async function sayCleared(context: Context, cleared: readonly Fault[]): Promise<number> {
  if (!context.out.isForPeople) await context.out.data(cleared);
  else if (cleared.length === 0) context.out.line('There is no such fault any more.');
  else for (const fault of cleared) context.out.line(lineOf(fault));
  return cleared.some(({ status }) => status.state === 'failed') ? 1 : 0;
}

/** Begins it, and says what it is. */
export async function startFault(context: Context, body: FaultStartInput): Promise<void> {
  const client = await context.client();
  const fault = await client.call('fault.start', { body });
  await context.out.result(fault, () => [lineOf(fault)]);
}

/** @throws SkerryError `invalid` */
export function forOf(args: Args): Pick<FaultStartInput, 'forMs'> {
  const text = args.text('for');
  if (text === undefined) return {};
  return { forMs: text === 'forever' ? 'forever' : args.durationMs('for') };
}

/** 'freeze-1f3a9c: freeze of web, ends in 10.0s' */
function lineOf({ name, spec, status }: Fault): string {
  const { state, endsAt, seed, message } = status;
  const end =
    state === 'active' ? (endsAt === undefined ? 'until it is cleared' : `ends in ${leftText(endsAt)}`) : state;
  const amount = formatAmount(spec.kind, status.amount ?? ('amount' in spec ? spec.amount : undefined));
  const what = whatOf(spec);
  const parts = [
    `${spec.kind} of ${targetOf(spec)}`,
    ...(amount === undefined ? [] : [amount]),
    ...(what === undefined ? [] : [what]),
    end,
    ...(seed === undefined ? [] : [`seed ${seed}`]),
    ...(message === undefined ? [] : [message]),
  ];
  return `${name}: ${parts.join(', ')}`;
}

function targetOf(spec: Fault['spec']): string {
  if ('vm' in spec) return spec.vm;
  return 'node' in spec ? spec.node : spec.nic;
}

function whatOf(spec: Fault['spec']): string | undefined {
  if (spec.kind === 'partition') return spec.groups.map((names) => names.join(',')).join(' / ');
  return spec.kind === 'impair' ? `${formatImpairment(spec.impairment)} ${spec.dir}` : undefined;
}

function leftText(endsAt: string): string {
  return formatDuration(Math.max(0, Date.parse(endsAt) - Date.now()));
}

const COLUMNS: ReadonlyArray<Column<Fault>> = [
  { title: 'FAULT', of: ({ name }) => name },
  { title: 'KIND', of: ({ spec }) => spec.kind },
  { title: 'OF', of: ({ spec }) => targetOf(spec) },
  {
    title: 'AMOUNT',
    of: ({ spec, status }) => formatAmount(spec.kind, status.amount ?? ('amount' in spec ? spec.amount : undefined)),
    optional: true,
  },
  { title: 'WHAT', of: ({ spec }) => whatOf(spec), optional: true },
  { title: 'STATE', of: ({ status }) => status.state },
  { title: 'LEFT', of: ({ status: { state, endsAt } }) => leftOf(state, endsAt) },
  { title: 'SEED', of: ({ status }) => status.seed, optional: true },
  { title: 'MESSAGE', of: ({ status }) => status.message, optional: true },
  { title: 'STARTED', of: ({ status }) => status.startedAt, wide: true },
  { title: 'ENDED', of: ({ status }) => status.endedAt, wide: true },
  { title: 'ID', of: ({ id }) => id, wide: true },
];

function leftOf(state: string, endsAt: string | undefined): string {
  if (state !== 'active') return '-';
  return endsAt === undefined ? 'forever' : leftText(endsAt);
}

import { SkerryError, type VmChanged, type VmSetInput } from '@skerry/api/base';
import { Args, type Command, nearest, type Option } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';
import { HEALTH_OPTIONS, healthOf } from './vm-health.ts';
import {
  CHANGEABLE_OPTIONS,
  LIFE_OPTIONS,
  lifeOf,
  pairs,
  parseForward,
  PROTECT,
  shapeOf,
  VM,
} from './vm-parameters.ts';

/** Every parameter has two spellings here: `--memory 256M` and `memory=256M`. */
const OPTIONS: readonly Option[] = [
  ...CHANGEABLE_OPTIONS,
  { name: 'command', value: 'TEXT', summary: 'the long-running command that the VM keeps, run by `sh -c`' },
  ...HEALTH_OPTIONS,
  ...LIFE_OPTIONS,
  { name: 'ephemeral', summary: 'delete it once it stops' },
  PROTECT,
];

const UNSET: Option = {
  name: 'unset',
  value: 'KEY',
  many: true,
  summary: 'take out: title, command, health, role, forward, env.NAME, label.NAME',
};

/** What people will try, and what is to be done instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  name: 'Type `skerry rename VM NEW`.',
  image: 'A VM keeps the image it was made from: make another VM.',
  os: 'A VM keeps the image it was made from: make another VM.',
  disk: 'A VM keeps the size of its disk: make another VM.',
  autostart: 'Type `skerry autostart VM on|off|last`.',
  network: 'A VM keeps its networks, and so its addresses: make another VM.',
};

export const setCommand: Command = {
  group: 'vm',
  verb: 'set',
  positionals: [
    VM,
    { name: 'change', value: 'KEY=VALUE', many: true, optional: true, summary: 'an option without its dashes' },
  ],
  options: [...OPTIONS, UNSET],
  summary: 'Change a VM: what it has, what it is called, how it is treated',
  description:
    'Variables and labels are added to those it has; other values replace what there was. What a running VM does not take up counts from its next start on, and is said.',
  examples: [
    'skerry set web-vm --memory 256M',
    'skerry set web-vm memory=256M cpu=2 title="the shop"',
    'skerry set web-vm --env MODE=test --label tier=front --unset label.old',
    'skerry set web-vm --protect',
    'skerry set web-vm --no-protect',
  ],
  async run(context, args) {
    const vm = args.required('vm');
    const given = withWords(args);
    const client = await context.client();
    const timingOnly = HEALTH_OPTIONS.some(({ name }) => given.text(name) !== undefined);
    const before = timingOnly ? (await client.call('vm.get', { params: { vm } })).spec.health : undefined;
    const body = setBody(given, before);
    if (Object.keys(body).length === 0) {
      throw new SkerryError('invalid', 'set needs something to change', { remedy: `For example: ${this.examples[0]}` });
    }
    await showChange(context, await client.call('vm.set', { params: { vm }, body }));
  },
};

/** 'web-vm: memory changed', and on stderr what does not count yet. */
export async function showChange(context: Context, { vm, created, changed, atNextStart }: VmChanged): Promise<void> {
  const what = created ? 'created' : changed.length === 0 ? 'unchanged' : `${changed.map(wordOf).join(', ')} changed`;
  await context.out.result({ vm, created, changed, atNextStart }, () => [`${vm.name}: ${what}`]);
  if (!context.out.isForPeople || atNextStart.length === 0) return;
  const [verb, remedy] = vm.status.state === 'suspended' ? ['boot', ''] : ['start', `: skerry restart ${vm.name}`];
  context.out.note(`${atNextStart.map(wordOf).join(', ')}: takes effect at the next ${verb}${remedy}`);
}

/** Fields as the options call them. */
const WORDS: Readonly<Record<string, string>> = {
  cpus: 'cpu',
  memoryMib: 'memory',
  forwards: 'forward',
  protected: 'protect',
};

function wordOf(field: string): string {
  return WORDS[field] ?? field;
}

/** What `KEY=VALUE` says as if it had been written as options. @throws SkerryError `invalid` */
function withWords(args: Args): Args {
  const values = new Map(
    [...OPTIONS, UNSET].flatMap(({ name }) =>
      args.text(name) === undefined ? [] : [[name, args.texts(name)] as const],
    ),
  );
  for (const word of args.texts('change')) {
    const equals = word.indexOf('=');
    const key = equals === -1 ? word : word.slice(0, equals);
    const option = OPTIONS.find(({ name, aliases }) => name === key || aliases?.includes(key) === true);
    if (option === undefined) throw unknownKey(key);
    if (equals === -1) throw new SkerryError('invalid', `'${word}' has no value`, { remedy: `Write ${key}=VALUE.` });
    const value = flagOr(option, word.slice(equals + 1));
    const before = values.get(option.name);
    if (before !== undefined && option.many !== true && before[0] !== value) {
      throw new SkerryError('invalid', `${key} is given twice: '${before[0]}' and '${value}'`, {
        remedy: 'Give it once.',
      });
    }
    values.set(option.name, option.many === true ? [...(before ?? []), value] : [value]);
  }
  return new Args(values);
}

function flagOr(option: Option, value: string): string {
  const choices = option.value === undefined ? ['true', 'false'] : option.choices;
  if (choices === undefined || choices.includes(value)) return value;
  throw new SkerryError('invalid', `${option.name} can't be '${value}'`, { remedy: `Use ${choices.join(' or ')}.` });
}

function unknownKey(key: string): SkerryError {
  const elsewhere = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined;
  if (elsewhere !== undefined)
    return new SkerryError('unsupported', `set can't change '${key}'`, { remedy: elsewhere });
  const names = OPTIONS.map(({ name }) => name);
  const near = nearest(key, names);
  return new SkerryError('invalid', `set does not know '${key}'`, {
    remedy: near === undefined ? `Use one of ${names.join(', ')}.` : `Did you mean ${near}=?`,
  });
}

function setBody(args: Args, health: VmSetInput['health']): VmSetInput {
  const flag = (name: string): boolean | undefined => (args.text(name) === undefined ? undefined : args.flag(name));
  const [command, title] = [args.text('command'), args.text('title')];
  const body: { [K in keyof VmSetInput]: VmSetInput[K] | undefined } = {
    ...shapeOf(args),
    ...lifeOf(args),
    kernel: args.text('kernel') as VmSetInput['kernel'],
    role: args.text('role') as VmSetInput['role'],
    title: title === '' ? null : title,
    command: command === undefined ? undefined : ['sh', '-c', command],
    health: healthOf(args, health ?? undefined),
    env: unlessEmpty(pairs(args.texts('env'), 'env')),
    labels: unlessEmpty(pairs(args.texts('label'), 'label')),
    forwards: unlessNone(args.texts('forward').map(parseForward)),
    cold: flag('cold'),
    ephemeral: flag('ephemeral'),
    protected: flag('protect'),
  };
  for (const key of args.texts('unset')) takeOut(body, key);
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as VmSetInput;
}

function takeOut(body: { [K in keyof VmSetInput]: VmSetInput[K] | undefined }, key: string): void {
  if (key === 'title' || key === 'command' || key === 'health' || key === 'role') body[key] = null;
  else if (key === 'forward') body.forwards = [];
  else if (key.startsWith('env.')) body.env = { ...body.env, [key.slice(4)]: null };
  else if (key.startsWith('label.')) body.labels = { ...body.labels, [key.slice(6)]: null };
  else
    throw new SkerryError('invalid', `--unset: there is no '${key}' to take out`, {
      remedy: 'Use title, command, health, role, forward, env.NAME or label.NAME.',
    });
}

function unlessEmpty<T extends object>(record: T): T | undefined {
  return Object.keys(record).length === 0 ? undefined : record;
}

function unlessNone<T>(items: T[]): T[] | undefined {
  return items.length === 0 ? undefined : items;
}

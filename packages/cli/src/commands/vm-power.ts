import type { Vm } from '@skerry/api/base';
import type { Args, Command, Option } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';
import { doTask, forEach } from './do-task.ts';
import { confirm } from './confirm.ts';
import { SELECTOR, targetsOf } from './selection.ts';
import { stateLine } from './vm-create.ts';
import { VMS } from './vm-parameters.ts';

interface PowerVerb {
  readonly verb: 'start' | 'stop' | 'restart' | 'pause' | 'resume' | 'suspend' | 'kill';
  readonly summary: string;
  readonly description?: string;
  readonly options?: readonly Option[];
  readonly example: string;
  /** What it then is: one that is so already is told as such. */
  readonly state?: Vm['status']['state'];
}

const VERBS: readonly PowerVerb[] = [
  {
    verb: 'start',
    summary: 'Start VMs, and wait until their agents answer',
    description: 'One that is suspended goes on where it was.',
    options: [{ name: 'discard-memory', summary: 'boot one that is suspended: what was in its memory is lost' }],
    example: 'skerry start web-vm',
    state: 'running',
  },
  {
    verb: 'stop',
    summary: 'Shut VMs down; one that does not within --timeout is powered off',
    description:
      'The time is that of the VM (--stop-grace-period of `create`; 10 s) unless --timeout says otherwise. --force powers it off at once.',
    example: 'skerry stop web-vm --timeout 30s',
    state: 'stopped',
  },
  { verb: 'restart', summary: 'Stop VMs and start them', example: 'skerry restart web-vm' },
  { verb: 'pause', summary: 'Stop the CPUs of VMs', example: 'skerry pause web-vm', state: 'paused' },
  { verb: 'resume', summary: 'Let the CPUs of paused VMs go on', example: 'skerry resume web-vm', state: 'running' },
  {
    verb: 'suspend',
    summary: 'Save the memory of VMs to disk and end their processes; `start` lets them go on',
    description:
      'Outlives a restart of this machine. (virsh calls by this name what is `pause` here: there the memory stays in use.)',
    example: 'skerry suspend web-vm',
    state: 'suspended',
  },
  { verb: 'kill', summary: 'Power VMs off at once', example: 'skerry kill web-vm', state: 'stopped' },
];

export const powerCommands: readonly Command[] = VERBS.map((verb) => ({
  group: 'vm',
  verb: verb.verb,
  positionals: [{ ...VMS, optional: true }],
  summary: verb.summary,
  ...(verb.description === undefined ? {} : { description: verb.description }),
  options: [...(verb.options ?? []), SELECTOR],
  examples: [verb.example, `skerry ${verb.verb} web-vm shop/web`, `skerry ${verb.verb} -l tier=front`] as [
    string,
    ...string[],
  ],
  run: (context: Context, args: Args) => change(context, verb, args),
}));

async function change(context: Context, { verb, state }: PowerVerb, args: Args): Promise<number> {
  const { names: targets, isSelected } = await targetsOf(context, args, 'vm');
  const client = await context.client();
  const { results, exitCode } = await forEach(context, targets, async (target) => {
    const before = state === undefined ? undefined : await client.call('vm.get', { params: { vm: target } });
    if (before !== undefined && before.status.state === state && before.spec.power === state) {
      return { vm: before, line: `${before.name}: ${state} already` };
    }
    const vm = await power(context, verb, target, args);
    return vm === undefined ? undefined : { vm, line: stateLine(vm) };
  });
  const done = results.filter((result) => result !== undefined);
  if (context.out.isForPeople) for (const { line } of done) context.out.line(line);
  else if (done.length > 0)
    await context.out.data(targets.length === 1 && !isSelected ? done[0]?.vm : done.map(({ vm }) => vm));
  return exitCode;
}

async function power(context: Context, verb: PowerVerb['verb'], target: string, args: Args): Promise<Vm | undefined> {
  const params = { vm: target };
  if (verb === 'start') {
    const query = args.flag('discard-memory') ? { discardMemory: true } : {};
    return await doTask(context, target, 'vm.start', { params, query });
  }
  if (verb !== 'stop') return await doTask(context, target, `vm.${verb}`, { params });
  // Here --timeout is the guest's time to shut down, after which it is powered off, and no reason to cancel.
  const { timeoutMs } = context;
  const body = context.force ? { timeoutMs: 0 } : timeoutMs === undefined ? {} : { timeoutMs };
  return await doTask(context, target, 'vm.stop', { params, body }, {});
}

export const deleteCommand: Command = {
  group: 'vm',
  verb: 'delete',
  positionals: [{ ...VMS, optional: true }],
  options: [SELECTOR],
  summary: 'Delete VMs and their disks; one that runs, or is protected, only with --force',
  description: 'With -l it asks on a terminal, unless --yes is given.',
  examples: ['skerry delete web-vm', 'skerry delete web-vm api --force', 'skerry delete -l tier=front --yes'],
  async run(context, args) {
    const { names, isSelected } = await targetsOf(context, args, 'vm');
    if (isSelected) await confirm(context, `Delete ${names.join(', ')} with their disks?`);
    const { results, exitCode } = await forEach(context, names, async (target) => {
      const query = context.force ? { force: true } : {};
      const done = await doTask(context, target, 'vm.delete', { params: { vm: target }, query });
      return done === undefined ? undefined : target;
    });
    const deleted = results.filter((target) => target !== undefined);
    if (context.out.isForPeople) for (const target of deleted) context.out.line(`${target}: deleted`);
    else if (deleted.length > 0) await context.out.data(deleted.map((name) => ({ name, deleted: true })));
    return exitCode;
  },
};

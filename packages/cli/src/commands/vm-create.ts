import type { StartReport, Vm, VmCreateInput } from '@skerry/api/base';
import type { Args, Command } from '../grammar/index.ts';
import { doTask } from './do-task.ts';
import { shareOf } from './share-text.ts';
import { HEALTH_OPTIONS, healthOf } from './vm-health.ts';
import { IMAGE, LIFE_OPTIONS, lifeOf, pairs, parseForward, PROTECT, shapeOf, VM_OPTIONS } from './vm-parameters.ts';

export const createCommand: Command = {
  group: 'vm',
  verb: 'create',
  positionals: [
    { name: 'name', aliases: ['vm'], value: 'NAME', summary: 'a-z, 0-9 and -, at most 63 characters' },
    { ...IMAGE, optional: true },
  ],
  options: [
    ...VM_OPTIONS,
    ...LIFE_OPTIONS,
    {
      name: 'autostart',
      value: 'WHEN',
      choices: ['on', 'off', 'last'],
      summary: 'after a restart of the host; default: last',
    },
    { name: 'start', summary: 'start it, and wait until its agent answers' },
    { name: 'ephemeral', summary: 'delete it once it stops' },
    PROTECT,
    ...HEALTH_OPTIONS,
  ],
  passthrough: { required: false, summary: 'a long-running command that the VM keeps' },
  summary: 'Make a VM',
  examples: [
    'skerry create web-vm micro --memory 128Mi --start',
    'skerry create --name web-vm --os micro --cpu 1 --memory 128Mi',
    'skerry create dev micro --share ./src:/mnt/src --share ./docs:/mnt/docs:ro --start',
    'skerry create db micro --secret db-password --start',
    'skerry create api micro --forward 8080:80 --env MODE=test --start -- httpd -f -p 80',
    'skerry create job micro --restart on-failure:5 --start -- /srv/job',
  ],
  async run(context, args) {
    const name = args.required('name');
    const body = createBody(args, { name, start: args.flag('start'), ephemeral: args.flag('ephemeral') });
    const health = healthOf(args);
    const vm = await doTask(context, name, 'vm.create', {
      body: {
        ...body,
        ...(args.flag('protect') ? { protected: true } : {}),
        ...(health === undefined ? {} : { health }),
        ...(args.rest.length === 0 ? {} : { command: [...args.rest] }),
      },
    });
    if (vm === undefined) return;
    await context.out.result(vm, () => [stateLine(vm)]);
    for (const warning of vm.status.warnings) context.out.note(`note: ${warning}`);
    if (context.out.isForPeople && vm.status.state === 'stopped') context.out.note(`Start it: skerry start ${name}`);
  },
};

const DONE: Readonly<Record<StartReport['how'], string>> = {
  cold: 'started',
  clone: 'cloned',
  pool: 'taken from the pool',
  fork: 'forked',
  resume: 'resumed',
};

/** 'web-vm: running, 10.213.0.5, cloned in 0.09 s' */
export function stateLine(vm: Vm): string {
  const addresses = vm.status.nics.map(({ address }) => address).filter((address) => address !== '');
  const { start, state } = vm.status;
  const took = state === 'running' && start !== undefined ? [`${DONE[start.how]} in ${seconds(start.totalMs)} s`] : [];
  return [`${vm.name}: ${state}`, ...(state === 'running' ? addresses : []), ...took].join(', ');
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2);
}

/** The request for a new VM from what was typed. @throws SkerryError `invalid` */
export function createBody(
  args: Args,
  fixed: { readonly name: string; readonly start: boolean; readonly ephemeral: boolean },
): VmCreateInput {
  const diskMib = args.sizeMib('disk');
  const image = args.text('image');
  const network = args.text('network');
  const kernel = args.text('kernel') as VmCreateInput['kernel'];
  const title = args.text('title');
  const shares = args.texts('share').map(shareOf);
  const role = args.text('role') as VmCreateInput['role'];
  const autostart = args.text('autostart') as VmCreateInput['autostart'];
  const secrets = secretUses(args);
  return {
    ...fixed,
    ...(image === undefined ? {} : { image }),
    ...shapeOf(args),
    ...lifeOf(args),
    ...(autostart === undefined ? {} : { autostart }),
    ...(diskMib === undefined ? {} : { diskMib }),
    ...(network === undefined ? {} : { network }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(role === undefined ? {} : { role }),
    ...(title === undefined ? {} : { title }),
    ...(args.flag('cold') ? { cold: true } : {}),
    ...(secrets.length === 0 ? {} : { secrets }),
    ...(args.flag('ssh') ? { ssh: true } : {}),
    env: pairs(args.texts('env'), 'env'),
    labels: pairs(args.texts('label'), 'label'),
    forwards: args.texts('forward').map(parseForward),
    ...(shares.length === 0 ? {} : { shares }),
  };
}

/** `--secret NAME`, `--secret NAME:/path`, `--secret-env KEY=NAME` */
function secretUses(args: Args): NonNullable<VmCreateInput['secrets']> {
  const files = args.texts('secret').map((text) => {
    const colon = text.indexOf(':');
    return colon === -1 ? { secret: text } : { secret: text.slice(0, colon), path: text.slice(colon + 1) };
  });
  const variables = Object.entries(pairs(args.texts('secret-env'), 'secret-env'));
  return [...files, ...variables.map(([env, secret]) => ({ secret, env }))];
}

import { SkerryError, type StartReport, type Vm, type VmCreateInput } from '@skerry/api/base';
import type { Args, Command } from '../grammar/index.ts';
import { doTask } from './do-task.ts';
import { IMAGE, shapeOf, VM_OPTIONS } from './vm-parameters.ts';

export const createCommand: Command = {
  group: 'vm',
  verb: 'create',
  positionals: [
    { name: 'name', aliases: ['vm'], value: 'NAME', summary: 'a-z, 0-9 and -, at most 63 characters' },
    { ...IMAGE, optional: true },
  ],
  options: [
    ...VM_OPTIONS,
    { name: 'start', summary: 'start it, and wait until its agent answers' },
    { name: 'ephemeral', summary: 'delete it once it stops' },
  ],
  passthrough: { required: false, summary: 'a long-running command that the VM keeps' },
  summary: 'Make a VM',
  examples: [
    'skerry create web-vm micro --memory 128Mi --start',
    'skerry create --name web-vm --os micro --cpu 1 --memory 128Mi',
    'skerry create api micro --forward 8080:80 --env MODE=test --start -- httpd -f -p 80',
  ],
  async run(context, args) {
    const name = args.required('name');
    const body = createBody(args, { name, start: args.flag('start'), ephemeral: args.flag('ephemeral') });
    const vm = await doTask(context, name, 'vm.create', {
      body: args.rest.length === 0 ? body : { ...body, command: [...args.rest] },
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
  return {
    ...fixed,
    ...(image === undefined ? {} : { image }),
    ...shapeOf(args),
    ...(diskMib === undefined ? {} : { diskMib }),
    ...(network === undefined ? {} : { network }),
    ...(kernel === undefined ? {} : { kernel }),
    ...(title === undefined ? {} : { title }),
    ...(args.flag('cold') ? { cold: true } : {}),
    env: pairs(args.texts('env'), 'env'),
    labels: pairs(args.texts('label'), 'label'),
    forwards: args.texts('forward').map(parseForward),
  };
}

function pairs(texts: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
      throw new SkerryError('invalid', `--${option}: '${text}' is no KEY=VALUE`, {
        remedy: `Write --${option} ${text.replace(/=.*/, '') || 'KEY'}=VALUE.`,
      });
    }),
  );
}

/** '8080:80', '0.0.0.0:8080:80', '[::1]:8080:80' */
export function parseForward(text: string): { hostPort: number; guestPort: number; hostAddress?: string } {
  const match = /^(?:(?<address>[\d.]+|\[[\da-f:]+\]):)?(?<host>\d+):(?<guest>\d+)$/i.exec(text);
  const { address, host, guest } = match?.groups ?? {};
  const ports = { hostPort: Number(host), guestPort: Number(guest) };
  if (match === null || !isPort(ports.hostPort) || !isPort(ports.guestPort)) {
    throw new SkerryError('invalid', `--forward: '${text}' is no pair of ports`, {
      remedy: "Write the host's port, then the guest's: 8080:80, or with an address to listen on, 0.0.0.0:8080:80.",
    });
  }
  return address === undefined ? ports : { ...ports, hostAddress: address.replace(/[[\]]/g, '') };
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

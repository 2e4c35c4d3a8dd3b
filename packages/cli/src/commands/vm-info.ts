import { formatMib, type StartReport, type Vm } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { padEnd, printable, waterfall } from '../tables/index.ts';
import { VM } from './vm-parameters.ts';

export const infoCommand: Command = {
  group: 'vm',
  verb: 'info',
  positionals: [VM],
  summary: 'Everything about a VM, and where the time of its start went',
  examples: ['skerry info web-vm', 'skerry info shop/web -o json'],
  async run(context, args) {
    const client = await context.client();
    const vm = await client.call('vm.get', { params: { vm: args.required('vm') } });
    await context.out.result(vm, () => vmLines(vm));
  },
};

export function vmLines(vm: Vm): string[] {
  const { spec, status } = vm;
  const facts: Array<readonly [string, string | undefined]> = [
    ['name', vm.name],
    ['title', vm.title],
    ['id', vm.id],
    ['state', [status.state, ...(status.message === undefined ? [] : [status.message])].join(': ')],
    [
      'health',
      status.health === 'none'
        ? undefined
        : [status.health, ...(status.healthMessage === undefined ? [] : [status.healthMessage])].join(': '),
    ],
    ['image', status.imageDigest === undefined ? spec.image : `${spec.image} (${status.imageDigest.slice(0, 12)})`],
    ['cpus', String(spec.cpus)],
    [
      'memory',
      `${formatMib(spec.memoryMib)}${status.start?.reclaimsMemory === true ? ', of which the host gets back what it frees' : ''}`,
    ],
    ['disk', spec.diskMib === undefined ? undefined : formatMib(spec.diskMib)],
    ...status.nics.map((nic) => ['nic', `${nic.address} on ${nic.network} (${nic.mac})`] as const),
    ...spec.forwards.map(
      (each) => ['forward', `${each.hostAddress}:${each.hostPort} -> port ${each.guestPort}`] as const,
    ),
    ['command', spec.command?.join(' ')],
    ...Object.entries(spec.env).map(([key, value]) => ['env', `${key}=${value}`] as const),
    ...Object.entries(vm.labels).map(([key, value]) => ['label', `${key}=${value}`] as const),
    ['ephemeral', spec.ephemeral ? 'yes: deleted once it stops' : undefined],
    ['kernel', status.agent === undefined ? undefined : status.agent.kernel],
    [
      'agent',
      status.agent === undefined
        ? undefined
        : `${status.agent.version}, ${status.agent.connected ? 'connected' : 'not connected'}`,
    ],
    ['process', status.process === undefined ? undefined : processLine(status.process)],
    ['suspended', status.suspendedAt],
    ['exit', status.exit === undefined ? undefined : `${status.exit.kind} at ${status.exit.at}: ${status.exit.reason}`],
    ['created', vm.createdAt],
    ...status.warnings.map((warning) => ['warning', warning] as const),
  ];
  const lines = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`${padEnd(`${name}:`, 11)}${printable(value)}`],
  );
  if (status.start === undefined) return lines;
  return [...lines, '', startLine(status.start), ...waterfall(status.start).map((line) => `  ${line}`)];
}

const HOW: Readonly<Record<StartReport['how'], string>> = {
  cold: 'booted',
  clone: 'cloned from a template',
  pool: 'taken from the pool',
  fork: 'forked from a running VM',
  resume: 'resumed from its saved memory',
};

/** 'start at 2026-01-01T00:00:00.000Z: booted, for the image is never cloned' */
function startLine({ at, how, template, coldReason }: StartReport): string {
  const from = template === undefined ? '' : ` (template ${template})`;
  const why = coldReason === undefined ? '' : `: ${coldReason}`;
  return printable(`start at ${at}, ${HOW[how]}${from}${why}`);
}

function processLine({ pid, uid }: NonNullable<Vm['status']['process']>): string {
  return uid === undefined ? `pid ${pid}` : `pid ${pid}, uid ${uid}`;
}

import { formatDuration, formatMib, formatRestart, type StartReport, type Vm } from '@skerry/api/base';
import type { Command } from '../grammar/index.ts';
import { padEnd, printable, restartText, waterfall } from '../tables/index.ts';
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
  const isUp = status.state === 'running' || status.state === 'paused' || status.state === 'suspended';
  const facts: Array<readonly [string, string | undefined]> = [
    ['name', vm.name],
    ['title', vm.title],
    ['id', vm.id],
    ['state', stateText(vm)],
    [
      'health',
      status.health === 'none'
        ? undefined
        : [status.health, ...(status.healthMessage === undefined ? [] : [status.healthMessage])].join(': '),
    ],
    ['image', status.imageDigest === undefined ? spec.image : `${spec.image} (${status.imageDigest.slice(0, 12)})`],
    ['cpus', untilNextStart(spec.cpus, isUp ? status.start?.cpus : undefined, String)],
    [
      'memory',
      `${untilNextStart(spec.memoryMib, isUp ? status.start?.memoryMib : undefined, formatMib)}${status.start?.reclaimsMemory === true ? ', of which the host gets back what it frees' : ''}`,
    ],
    ['disk', spec.diskMib === undefined ? undefined : formatMib(spec.diskMib)],
    ...status.nics.map((nic) => ['nic', `${nic.address} on ${nic.network} (${nic.mac})`] as const),
    ...spec.forwards.map(
      (each) => ['forward', `${each.hostAddress}:${each.hostPort} -> port ${each.guestPort}`] as const,
    ),
    ...shareLines(vm).map((line) => ['share', line] as const),
    ['command', spec.command?.join(' ')],
    ...Object.entries(spec.env).map(([key, value]) => ['env', `${key}=${value}`] as const),
    ...Object.entries(vm.labels).map(([key, value]) => ['label', `${key}=${value}`] as const),
    ['restart', spec.restart === undefined ? undefined : formatRestart(spec.restart)],
    [
      'stop',
      spec.stopGracePeriodMs === undefined ? undefined : `its guest gets ${formatDuration(spec.stopGracePeriodMs)}`,
    ],
    ['autostart', spec.autostart],
    ['ephemeral', spec.ephemeral ? 'yes: deleted once it stops' : undefined],
    ['protected', spec.protected === true ? 'yes: deleted only with --force' : undefined],
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
    ...(status.faults ?? []).map(
      ({ fault, endsAt }) => ['fault', endsAt === undefined ? fault : `${fault} until ${endsAt}`] as const,
    ),
    ['created', vm.createdAt],
    ...status.warnings.map((warning) => ['warning', warning] as const),
  ];
  const lines = facts.flatMap(([name, value]) =>
    value === undefined ? [] : [`${padEnd(`${name}:`, 11)}${printable(value)}`],
  );
  if (status.start === undefined) return lines;
  return [...lines, '', startLine(status.start), ...waterfall(status.start).map((line) => `  ${line}`)];
}

/** '/mnt/src from /home/ada/src, read-only, by 9p: mounted' */
function shareLines({ spec, status }: Vm): string[] {
  const applied = status.shares ?? [];
  return (spec.shares ?? []).map(({ hostPath, guestPath, readonly }) => {
    const has = applied.find((each) => each.guestPath === guestPath && each.hostPath === hostPath);
    const now = has === undefined ? 'at its next start' : `by ${has.how}${has.mounted ? '' : ', not mounted'}`;
    return `${guestPath} from ${hostPath}${readonly ? ', read-only' : ''}, ${now}`;
  });
}

/** 'crashed: QEMU crashed: it was killed by SIGKILL; restarts in 4 s (try 3)' */
function stateText({ status }: Vm): string {
  const text = [status.state, ...(status.message === undefined ? [] : [status.message])].join(': ');
  const restart = restartText(status);
  return restart === '' ? text : `${text}; ${restart}`;
}

/** '256Mi from its next start on, 128Mi now' */
function untilNextStart(asked: number, now: number | undefined, format: (value: number) => string): string {
  return now === undefined || now === asked
    ? format(asked)
    : `${format(asked)} from its next start on, ${format(now)} now`;
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

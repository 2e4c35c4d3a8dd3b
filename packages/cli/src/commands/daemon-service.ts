import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkerryError } from '@skerry/api/base';
import { answers, daemonProgram, findEndpoint, runOffline } from '@skerry/sdk/daemon-process';
import type { Args, Command, Option } from '../grammar/index.ts';
import type { Context } from '../terminal/index.ts';

/** The daemon as a service of systemd. */

interface Installed {
  readonly scope: 'system' | 'user';
  readonly path: string;
  readonly unit: string;
  readonly state: 'written' | 'unchanged' | 'planned' | 'removed' | 'absent';
  readonly systemd: boolean;
}

const UNIT = 'skerryd.service';
const START_DEADLINE_MS = 20_000;

const SCOPE: readonly Option[] = [
  { name: 'user', summary: "this user's own; default unless you are root" },
  { name: 'system', summary: "the system's; default for root" },
];

export const daemonServiceCommands: readonly Command[] = [
  {
    group: 'daemon',
    verb: 'install',
    options: [...SCOPE, { name: 'dry-run', summary: 'print the unit, and change nothing' }],
    summary: 'Have systemd start the daemon with the host, or with your first login',
    description:
      'Writes a unit, enables and starts it; a daemon that runs already gives way, and VMs go on. Where systemd does not ' +
      'run, the unit is written only. What SKERRY_... variables say now holds for the service.',
    examples: ['sudo skerry daemon install', 'skerry daemon install --user', 'skerry daemon install --dry-run'],
    async run(context, args) {
      const options = { ...scopeOf(args), argv: [process.execPath, ...(await daemonProgram('main'))] };
      const planned = (await runOffline('install', { ...options, dryRun: true })) as Installed;
      if (args.flag('dry-run')) {
        await context.out.result(planned, () => [`# ${planned.path}`, ...planned.unit.trimEnd().split('\n')]);
        return;
      }
      if (planned.systemd) await giveWay(context);
      const installed = (await runOffline('install', options)) as Installed;
      if (installed.systemd) await untilItAnswers();
      await context.out.result(installed, () => [
        `${installed.path}: ${installed.state === 'unchanged' ? 'is there already, just so' : 'written'}`,
        ...(installed.systemd ? ['systemd runs the daemon, and starts it again with the host.'] : []),
      ]);
      if (!installed.systemd) context.out.note(withoutSystemd(installed));
    },
  },
  {
    group: 'daemon',
    verb: 'uninstall',
    options: SCOPE,
    summary: 'Take the service away again; VMs and their data stay',
    examples: ['sudo skerry daemon uninstall', 'skerry daemon uninstall --user'],
    async run(context, args) {
      const gone = (await runOffline('uninstall', scopeOf(args))) as Installed;
      await context.out.result(gone, () => [
        gone.state === 'absent' ? `There is no ${gone.path} already.` : `${gone.path}: removed. VMs go on.`,
      ]);
    },
  },
];

function scopeOf(args: Args): { scope?: 'user' | 'system' } {
  const [user, system] = [args.flag('user'), args.flag('system')];
  if (user && system) {
    throw new SkerryError('invalid', '--user and --system exclude each other', { remedy: 'Give one of them.' });
  }
  return user ? { scope: 'user' } : system ? { scope: 'system' } : {};
}

function withoutSystemd({ scope, path }: Installed): string {
  const enable =
    scope === 'system'
      ? `systemctl enable --now ${UNIT}`
      : `systemctl --user enable --now ${UNIT}; loginctl enable-linger`;
  return `systemd does not run here${scope === 'user' ? ' for this user' : ''}: nothing starts ${path} by itself. Where it does: ${enable}`;
}

/** One that was started by hand would keep the service out; the service's own is systemd's business. */
async function giveWay(context: Context): Promise<void> {
  const { socketPath } = findEndpoint();
  if (socketPath === undefined || !(await answers(socketPath))) return;
  const client = await context.client();
  const { pid } = await client.call('daemon.info');
  const group = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
  if (group.includes(`/${UNIT}`)) return;
  await client.call('daemon.stop');
  while (await answers(socketPath)) await sleep(20);
}

async function untilItAnswers(): Promise<void> {
  const { socketPath = '' } = findEndpoint();
  for (const deadline = performance.now() + START_DEADLINE_MS; !(await answers(socketPath)); await sleep(50)) {
    if (performance.now() < deadline) continue;
    throw new SkerryError('timeout', `systemd has started the daemon, and nothing answers at ${socketPath}`, {
      remedy: `See \`journalctl -u ${UNIT}\` (with --user for your own).`,
    });
  }
}

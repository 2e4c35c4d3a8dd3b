import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { stat, watch } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatBytes, formatDuration, type OperationResult, SkerryError } from '@skerry/api/base';
import { answers, daemonLogPath, findEndpoint, printUnitLog } from '@skerry/sdk/daemon-process';
import type { Command } from '../grammar/index.ts';
import { padEnd } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { untilInterrupted } from './follow.ts';

type DaemonInfo = OperationResult<'daemon.info'>;

const STOP_DEADLINE_MS = 15_000;
const EXIT_NOT_RUNNING = 3;

export const daemonCommands: readonly Command[] = [
  {
    group: 'daemon',
    verb: 'start',
    summary: 'Start the daemon; commands that need it do so by themselves',
    examples: ['skerry daemon start'],
    async run(context) {
      const client = await context.client();
      const info = await client.call('daemon.info');
      await context.out.result(info, () => infoLines(info));
    },
  },
  {
    group: 'daemon',
    verb: 'stop',
    summary: 'Stop the daemon; VMs go on, and it takes them up again when it starts',
    examples: ['skerry daemon stop'],
    async run(context) {
      if (!(await isRunning(context))) {
        context.out.note('The daemon does not run already.');
        return;
      }
      const client = await context.client();
      const { pid } = await client.call('daemon.info');
      await client.call('daemon.stop');
      await untilGone(context);
      await context.out.result({ pid, stopped: true }, () => [`The daemon (pid ${pid}) has stopped. VMs go on.`]);
    },
  },
  {
    group: 'daemon',
    verb: 'status',
    aliases: ['info'],
    summary: 'Whether the daemon runs, and how it is; exit code 3 if not',
    examples: ['skerry daemon status'],
    async run(context) {
      if (!(await isRunning(context))) {
        await context.out.result({ running: false }, () => [
          'The daemon does not run. Commands that need it start it.',
        ]);
        return EXIT_NOT_RUNNING;
      }
      const info = await (await context.client()).call('daemon.info');
      await context.out.result(info, () => infoLines(info));
      return 0;
    },
  },
  {
    group: 'daemon',
    verb: 'logs',
    options: [{ name: 'follow', short: 'f', summary: 'show what comes, until Ctrl-C' }],
    summary: "The daemon's own log",
    examples: ['skerry daemon logs', 'skerry daemon logs -f'],
    run: async (context, args) => {
      const follow = args.flag('follow');
      return await untilInterrupted(context, async () => {
        if (findEndpoint(context.host).own && (await printUnitLog(follow, context.signal))) return;
        await show(await logPath(context), follow, context.signal);
      });
    },
  },
];

function infoLines(info: DaemonInfo): string[] {
  const { total, running } = info.vms;
  const { adopted, ended, ms } = info.adoption;
  const facts = {
    daemon: `version ${info.version}, pid ${info.pid}, up ${formatDuration(Date.now() - Date.parse(info.startedAt))}`,
    socket: info.socketPath,
    data: info.dataDir,
    vms: `${total}, ${running} of them running`,
    adopted: `${adopted} at its start, in ${Math.round(ms)} ms; ${ended} had ended meanwhile`,
    memory: formatBytes(info.rssBytes),
  };
  return Object.entries(facts).map(([name, value]) => `${padEnd(`${name}:`, 9)}${value}`);
}

async function isRunning(context: Context): Promise<boolean> {
  const { socketPath } = findEndpoint(context.host);
  return socketPath === undefined || (await answers(socketPath));
}

async function untilGone(context: Context): Promise<void> {
  for (const deadline = performance.now() + STOP_DEADLINE_MS; await isRunning(context); await sleep(20)) {
    if (performance.now() < deadline) continue;
    throw new SkerryError('timeout', `The daemon still answers after ${STOP_DEADLINE_MS / 1000} s`, {
      remedy: 'See `skerry daemon logs`.',
    });
  }
}

/** Of a daemon of another data directory it is beside its data. */
async function logPath(context: Context): Promise<string> {
  if (findEndpoint(context.host).own || !(await isRunning(context))) return daemonLogPath();
  const { dataDir } = await (await context.client()).call('daemon.info');
  return `${dataDir}/skerryd.log`;
}

async function show(path: string, follow: boolean, signal: AbortSignal): Promise<void> {
  let at = await copyFrom(path, 0);
  if (!follow) return;
  for await (const _ of watch(path, { signal })) {
    const { size } = await stat(path);
    // Cut anew: from its beginning.
    at = await copyFrom(path, size < at ? 0 : at);
  }
}

/** @returns where it ended */
async function copyFrom(path: string, start: number): Promise<number> {
  let at = start;
  try {
    for await (const chunk of createReadStream(path, { start }) as AsyncIterable<Buffer>) {
      at += chunk.length;
      if (!process.stdout.write(chunk)) await once(process.stdout, 'drain');
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    throw new SkerryError('not-found', `There is no log at ${path}`, {
      remedy: 'It is made when the daemon starts: `skerry daemon start`.',
      cause: error,
    });
  }
  return at;
}

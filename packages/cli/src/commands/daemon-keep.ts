import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  formatBytes,
  type RestoreResult,
  SkerryError,
  type UpgradeFinding,
  type UpgradeReport,
} from '@skerry/api/base';
import { answers, findEndpoint, runOffline } from '@skerry/sdk/daemon-process';
import type { Command } from '../grammar/index.ts';
import { padEnd } from '../tables/index.ts';
import type { Context } from '../terminal/index.ts';
import { confirm } from './confirm.ts';
import { doTask } from './do-task.ts';
import { requiredTo, TO } from './file-option.ts';
import { ownVersion } from './general.ts';

const EXIT_BLOCKED = 5;

export const daemonKeepCommands: readonly Command[] = [
  {
    group: 'daemon',
    verb: 'backup',
    options: [TO, { name: 'disks', summary: 'also the disks of VMs that do not run, with their images' }],
    summary: 'Write what the daemon knows into a file, while everything goes on',
    description:
      'VMs, nodes, networks, tasks, events, settings and keys. Images without --disks: what they were, not their disks. ' +
      'The file is for you only (0600): it holds what is secret.',
    examples: ['skerry daemon backup --to skerry.backup', 'skerry daemon backup --to /mnt/skerry.backup --disks'],
    async run(context, args) {
      const body = { to: requiredTo(args), disks: args.flag('disks'), force: context.force };
      const result = await doTask(context, 'backup', 'daemon.backup', { body });
      if (result === undefined) return;
      const { path, sizeBytes, vms, disks, leftOut } = result;
      await context.out.result(result, () => [
        `${path}: ${formatBytes(sizeBytes)}, ${vms} VMs${body.disks ? `, disks of ${disks.length}` : ''}`,
      ]);
      if (leftOut.length === 0) return;
      context.out.note(`Without the disks of ${leftOut.join(', ')}: stop them first, then they are included.`);
    },
  },
  {
    group: 'daemon',
    verb: 'restore',
    positionals: [{ name: 'file', value: 'FILE', summary: 'what `daemon backup` has written' }],
    summary: 'Put a backup in the place of what the daemon knows',
    description:
      'No VM may run. A store that has VMs or nodes is replaced only with --force. Disks that are there stay where they are; ' +
      'those in the backup take their places. Killed in the middle, it leaves the old state or the new one.',
    examples: ['skerry daemon restore skerry.backup', 'skerry daemon restore skerry.backup --force'],
    async run(context, args) {
      const { socketPath, own } = findEndpoint(context.host);
      if (!own || socketPath === undefined) throw notOurs();
      const body = { from: resolve(args.required('file')), force: context.force };
      // What can be seen to be wrong is refused while the daemon still runs.
      await runOffline('restore', { ...body, checkOnly: true });
      await confirm(context, 'Replace what the daemon knows?');
      const ran = await answers(socketPath);
      if (ran) await stopDaemon(context, socketPath, context.force);
      try {
        const onProgress = (text: string, fraction?: number): void =>
          context.progress.update('restore', text, fraction);
        const result = (await runOffline('restore', body, { signal: context.signal, onProgress })) as RestoreResult;
        context.progress.end('restore');
        await context.out.result(result, () => restoreLines(result));
      } finally {
        context.progress.end('restore');
        if (ran) await (await freshClient(context)).call('daemon.info');
      }
    },
  },
  {
    group: 'daemon',
    verb: 'upgrade-check',
    summary: 'What this version of Skerry would do with what is there; exit code 5 if it could not go on with it',
    description:
      'Looks at a copy of the store: its format, its resources, VMs that run, their agents, QEMU, templates. Call it with ' +
      'the new version while the old daemon runs. The upgrade itself is `skerry daemon stop`, then `start`; VMs go on.',
    examples: ['skerry daemon upgrade-check'],
    async run(context) {
      const report = await upgradeReport(context);
      await context.out.result(report, () => report.findings.flatMap(findingLines));
      return report.findings.some(({ state }) => state === 'blocked') ? EXIT_BLOCKED : 0;
    },
  },
];

function restoreLines({ vms, nodes, disks, createdAt, withoutDisk, missingImages }: RestoreResult): string[] {
  return [
    `Restored what was there at ${createdAt}: ${vms} VMs, ${nodes} nodes, disks of ${disks.length} VMs.`,
    ...(withoutDisk.length === 0
      ? []
      : [`Without their disks, and with new ones at the next start: ${withoutDisk.join(', ')}`]),
    ...(missingImages.length === 0
      ? []
      : [`Images to build, or to load with \`skerry bundle load\`: ${[...new Set(missingImages)].join(', ')}`]),
  ];
}

function findingLines({ id, state, message, remedy }: UpgradeFinding): string[] {
  return [
    `${padEnd(state, 10)}${padEnd(`${id}:`, 11)}${message}`,
    ...(remedy === undefined || state === 'ok' ? [] : [`${' '.repeat(21)}${remedy}`]),
  ];
}

async function upgradeReport(context: Context): Promise<UpgradeReport> {
  const { socketPath, own } = findEndpoint(context.host);
  if (socketPath === undefined) throw notOurs();
  if (!(await answers(socketPath))) {
    if (!own) throw notOurs();
    return { version: await ownVersion(), findings: (await runOffline('upgrade-check', {})) as UpgradeFinding[] };
  }
  const client = await context.client();
  const info = await client.call('daemon.info');
  const templates = (await client.call('template.list')).map(({ id, state, qemuVersion }) => ({
    id,
    state,
    qemuVersion,
  }));
  const dir = await mkdtemp(join(tmpdir(), 'skerry-upgrade-'));
  try {
    const backup = join(dir, 'backup');
    await client.run('daemon.backup', { body: { to: backup }, signal: context.signal });
    const findings = await runOffline('upgrade-check', { dataDir: info.dataDir, backup, templates });
    return { running: info.version, version: await ownVersion(), findings: findings as UpgradeFinding[] };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Before anything is stopped it is clear that nothing is lost by it. */
async function stopDaemon(context: Context, socketPath: string, force: boolean): Promise<void> {
  const client = await context.client();
  const [vms, nodes] = await Promise.all([client.call('vm.list'), client.call('node.list')]);
  const running = vms.filter(({ status }) => status.process !== undefined).map(({ name }) => name);
  if (running.length > 0) {
    throw new SkerryError('in-use', `These VMs run on what would be replaced: ${running.join(', ')}`, {
      remedy: `skerry stop ${running.join(' ')}`,
      details: { vms: running },
    });
  }
  if (!force && vms.length + nodes.length > 0) {
    throw new SkerryError(
      'conflict',
      `The daemon has ${vms.length} VMs and ${nodes.length} nodes, which would be lost`,
      {
        remedy: 'Replace them with --force (make a backup first: `skerry daemon backup --to FILE`).',
      },
    );
  }
  await client.call('daemon.stop');
  while (await answers(socketPath)) await sleep(20);
}

async function freshClient(context: Context) {
  const { connect, ensureDaemon } = await import('@skerry/sdk');
  return connect(await ensureDaemon({ host: context.host }));
}

function notOurs(): SkerryError {
  return new SkerryError('unsupported', 'It is done on the machine of the daemon, by whoever runs it', {
    remedy: 'Leave out --host and SKERRY_HOST, and run it there.',
  });
}

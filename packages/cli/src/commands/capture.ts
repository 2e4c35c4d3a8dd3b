import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { formatBytes, parseSizeBytes, SkerryError, type CaptureInfo } from '@skerry/api/base';
import type { Args, Command, Positional } from '../grammar/index.ts';
import type { Column } from '../tables/index.ts';
import type { Skerry } from '@skerry/sdk';
import { untilInterrupted } from './follow.ts';

const COLUMNS: ReadonlyArray<Column<CaptureInfo>> = [
  { title: 'NIC', of: ({ vm, nic }) => `${vm}:${nic}` },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'FRAMES', of: ({ frames }) => frames },
  { title: 'KEPT', of: ({ keptBytes }) => formatBytes(keptBytes) },
  { title: 'RING', of: ({ ringBytes }) => (ringBytes === undefined ? undefined : formatBytes(ringBytes)) },
  { title: 'DROPS', of: ({ drops }) => (drops === 0 ? undefined : drops), optional: true },
  { title: 'MESSAGE', of: ({ message }) => message, optional: true },
  { title: 'SINCE', of: ({ startedAt }) => startedAt, wide: true },
];

const NIC: Positional = { name: 'nic', value: 'VM:NIC', summary: 'such as web:eth1' };

export const captureCommands: readonly Command[] = [
  {
    group: 'capture',
    verb: 'start',
    positionals: [NIC],
    options: [
      {
        name: 'ring',
        value: 'SIZE',
        summary: 'what is kept at most, such as 50Mi (default): the oldest frames go first',
      },
    ],
    summary: 'Keep what passes at a NIC from now on, as pcap',
    examples: ['skerry capture start web:eth1 --ring 50Mi'],
    async run(context, args) {
      const client = await context.client();
      const ring = args.text('ring');
      const body = ring === undefined ? {} : { ringBytes: parseSizeBytes(ring) };
      const info = await client.call('capture.start', { params: nicOf(args), body });
      await context.out.result(info, () => [
        `${info.vm}:${info.nic}: captured, ${formatBytes(info.ringBytes ?? 0)} at most`,
      ]);
    },
  },
  {
    group: 'capture',
    verb: 'stop',
    positionals: [NIC],
    summary: 'Capture no more; what was kept can still be read',
    examples: ['skerry capture stop web:eth1'],
    async run(context, args) {
      const client = await context.client();
      const info = await client.call('capture.stop', { params: nicOf(args) });
      await context.out.result(info, () => [
        `${info.vm}:${info.nic}: stopped, ${formatBytes(info.keptBytes)} are kept`,
      ]);
    },
  },
  {
    group: 'capture',
    verb: 'list',
    aliases: ['ls'],
    summary: 'Captures that run, and what is kept of those that have ended',
    examples: ['skerry capture list'],
    async run(context) {
      const client = await context.client();
      await context.out.rows(await client.call('capture.list'), COLUMNS);
    },
  },
  {
    group: 'capture',
    verb: 'read',
    positionals: [NIC],
    options: [
      {
        name: 'to',
        value: 'FILE',
        summary: 'the file to write; - is standard output (default), and follows a capture that runs',
      },
      {
        name: 'follow',
        short: 'f',
        summary: 'go on with what comes, until Ctrl-C; without a capture: what passes from now on',
      },
    ],
    summary: 'What a capture has kept, as pcap, and with --to - what it gets until it ends',
    examples: [
      'skerry capture read web:eth1 --to - | wireshark -k -i -',
      'skerry capture read web:eth1 --to web.pcap',
      'skerry capture read web:eth1 --follow --to - | tcpdump -n -r -',
    ],
    async run(context, args) {
      const to = args.text('to') ?? '-';
      const params = nicOf(args);
      if (to === '-' && process.stdout.isTTY) {
        throw new SkerryError('invalid', 'It is no text for a terminal', {
          remedy: 'Write --to FILE, or pipe it: `... --to - | tcpdump -r -`.',
        });
      }
      const client = await context.client();
      return await untilInterrupted(context, async () => {
        const query = { follow: args.flag('follow') || (to === '-' && (await isRunning(client, params))) };
        const frames = await client.download('capture.read', { params, query, signal: context.signal });
        const target = to === '-' ? process.stdout : createWriteStream(to, { mode: 0o600 });
        // Standard output is not destroyed with what has failed or was broken off: its error is for who reads no more, who may
        // have seen enough.
        await pipeline(frames, target, { end: to !== '-' }).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'EPIPE') throw error;
        });
      });
    },
  },
];

async function isRunning(client: Pick<Skerry, 'call'>, of: { vm: string; nic: string }): Promise<boolean> {
  const { name } = await client.call('vm.get', { params: { vm: of.vm } });
  const captures = await client.call('capture.list');
  return captures.some(({ vm, nic, state }) => vm === name && nic === of.nic && state === 'running');
}

/** @throws SkerryError `invalid` */
function nicOf(args: Args): { vm: string; nic: string } {
  const text = args.required('nic');
  const [, vm, nic] = /^([^:]+):(eth\d+)$/.exec(text) ?? [];
  if (vm !== undefined && nic !== undefined) return { vm, nic };
  throw new SkerryError('invalid', `'${text}' is no NIC of a VM`, { remedy: 'Write VM:NIC, such as web:eth1.' });
}
